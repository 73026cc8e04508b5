"""A dialog as one of its two ends has it: RFC 3261 12.

What a user agent remembers of the other side, and the requests it makes of that. Who
sends them, and what they mean, is for others: the client of an INVITE, the bridge.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import OwnMistake, ParseError, StoreCorrupt
from uacproxy.ports import Flow
from uacproxy.sip.build import build_request
from uacproxy.sip.grammar import octets_of_line, text
from uacproxy.sip.message import Message
from uacproxy.sip.names import (
    CALL_ID,
    CONTACT,
    CSEQ,
    FROM,
    MAX_FORWARDS,
    RECORD_ROUTE,
    ROUTE,
    TO,
)
from uacproxy.sip.uri import Uri, parse_uri

REFRESHES_TARGET: Final = frozenset((b"INVITE", b"UPDATE", b"SUBSCRIBE", b"NOTIFY", b"REFER"))
"""Methods whose Contact becomes the remote target (12.2, RFC 3311, RFC 6665)."""

LARGEST_CSEQ: Final = 2**31 - 1  # 8.1.1.5
LARGEST_STORED: Final = LARGEST_CSEQ - 2**16  # whoever takes a dialog over needs further numbers
NONE_YET: Final = -1  # the remote CSeq before a request came

_VERSION: Final = 1


@final
class UaDialog:
    """One dialog, early or confirmed; ``local_tag`` and ``call_id`` name it here.

    ``local`` and ``remote`` are the heads of From and To in our requests: display name
    and address, no tag. ``contact`` is the value of our Contact field, b"" for none.
    """

    __slots__ = (
        "call_id",
        "contact",
        "local",
        "local_cseq",
        "local_tag",
        "max_forwards",
        "remote",
        "remote_cseq",
        "remote_tag",
        "remote_target",
        "route_set",
        "secure",
    )

    def __init__(
        self,
        call_id: bytes,
        *,
        local: bytes,
        local_tag: bytes,
        remote: bytes,
        remote_tag: bytes,
        remote_target: bytes,
        route_set: list[bytes],
        contact: bytes,
        local_cseq: int,
        remote_cseq: int = NONE_YET,
        secure: bool = False,
        max_forwards: int = 70,
    ) -> None:
        self.call_id = call_id
        self.local = local
        self.local_tag = local_tag
        self.remote = remote
        self.remote_tag = remote_tag
        self.remote_target = remote_target  # URI
        self.route_set = route_set  # values of Route, the next hop first
        self.contact = contact
        self.local_cseq = local_cseq  # of the last request we made here
        self.remote_cseq = remote_cseq  # of the last one that came
        self.secure = secure
        self.max_forwards = max_forwards

    # -- requests of ours --------------------------------------------------------------

    def next_cseq(self) -> int:
        """Raise the local CSeq number and return it."""
        if self.local_cseq >= LARGEST_CSEQ:
            raise OwnMistake("no CSeq number left in a dialog")
        self.local_cseq += 1
        return self.local_cseq

    def build(
        self,
        method: bytes,
        fields: list[tuple[bytes, bytes]] | None = None,
        body: bytes = b"",
        *,
        cseq: int = 0,
    ) -> Message:
        """Make a request inside the dialog, without Via (12.2.1.1).

        Args:
            method: an ACK takes the number of its INVITE, every other the next one.
            fields: further ones, canonical name and value.
            body: its Content-Type is among ``fields``.
            cseq: the number, where it is not the next.
        """
        number = cseq if cseq else self.next_cseq()
        request_uri = self.remote_target
        routes = self.route_set
        if routes and not _is_loose(routes[0]):  # a strict router goes into the Request-URI
            routes = [*routes[1:], b"<" + request_uri + b">"]
            request_uri = _uri_of(self.route_set[0]).partition(b"?")[0]  # headers: 19.1.1
        made: list[tuple[bytes, bytes]] = [(ROUTE, route) for route in routes]
        made.append((MAX_FORWARDS, b"%d" % self.max_forwards))
        made.append((FROM, tagged(self.local, self.local_tag)))
        made.append((TO, tagged(self.remote, self.remote_tag)))
        made.append((CALL_ID, self.call_id))
        made.append((CSEQ, b"%d " % number + method))
        if self.contact and method in REFRESHES_TARGET:
            made.append((CONTACT, self.contact))
        if fields:
            made.extend(fields)
        return build_request(method, request_uri, made, body)

    def next_hop(self) -> Uri:
        """Return the URI that requests are sent to: the top of the route set, or the target.

        Raises:
            ParseError: (400) the peer gave one that is none.
        """
        if self.route_set:
            return parse_uri(_uri_of(self.route_set[0]))
        return parse_uri(self.remote_target)

    # -- requests and responses of theirs ----------------------------------------------

    def fits(self, request: Message) -> bool:
        """Tell whether a request came from the other end of this dialog (12.2.2).

        Raises:
            ParseError: (400) From or To cannot be read.
        """
        return (
            request.to.tag == self.local_tag
            and request.from_.tag == self.remote_tag
            and request.call_id == self.call_id
        )

    def take_cseq(self, request: Message) -> bool:
        """Note the number of a request that came; False where it is out of order: 500 (12.2.2).

        An ACK or CANCEL has the number of its INVITE, and is not to be asked about.
        """
        number = request.cseq.number
        if number <= self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def refresh_target(self, message: Message) -> bool:
        """Take the Contact of a target refresh, request or 2xx; tell whether it changed."""
        target = contact_uri(message)
        if not target or target == self.remote_target:
            return False
        self.remote_target = target
        return True

    def confirmed_by(self, response: Message) -> None:
        """Take the route set and target of a 2xx that confirms an early dialog (13.2.2.4)."""
        self.route_set = _routes_of(response, reverse=True)
        self.refresh_target(response)

    # -- the store ---------------------------------------------------------------------

    def record(self) -> list[object]:
        """Return the dialog as plain values, for JSON."""
        return [
            _VERSION,
            text(self.call_id),
            text(self.local),
            text(self.local_tag),
            text(self.remote),
            text(self.remote_tag),
            text(self.remote_target),
            [text(route) for route in self.route_set],
            text(self.contact),
            self.local_cseq,
            self.remote_cseq,
            self.secure,
            self.max_forwards,
        ]


def tagged(head: bytes, tag: bytes) -> bytes:
    """Return the value of From or To; a peer of RFC 2543 has no tag (12.1.1)."""
    return head + b";tag=" + tag if tag else head


def uas_dialog(request: Message, local_tag: bytes, contact: bytes) -> UaDialog:
    """Return the dialog that our response to ``request`` begins (12.1.1).

    Raises:
        ParseError: (400) a field is missing or cannot be read; an INVITE needs a Contact.
    """
    target = contact_uri(request)
    if not target:
        raise ParseError("no Contact that requests can be sent to", field=CONTACT)
    return UaDialog(
        request.call_id,
        local=request.to.head,
        local_tag=local_tag,
        remote=request.from_.head,
        remote_tag=request.from_.tag,
        remote_target=target,
        route_set=_routes_of(request, reverse=False),
        contact=contact,
        local_cseq=0,
        remote_cseq=request.cseq.number,
        secure=request.request_uri[:5].lower() == b"sips:",
    )


def uac_dialog(request: Message, response: Message) -> UaDialog:
    """Return the dialog that ``response`` to our ``request`` begins (12.1.2).

    Raises:
        ParseError: (400) a field of the response cannot be read.
    """
    return UaDialog(
        request.call_id,
        local=request.from_.head,
        local_tag=request.from_.tag,
        remote=request.to.head,
        remote_tag=response.to.tag,
        remote_target=contact_uri(response) or request.request_uri,
        route_set=_routes_of(response, reverse=True),
        contact=request.get(CONTACT) or b"",
        local_cseq=request.cseq.number,
        secure=request.request_uri[:5].lower() == b"sips:",
    )


def contact_for(flow: Flow, user: bytes, *, secure: bool) -> bytes:
    """Return the value of our Contact where the dialog's requests come by ``flow`` (8.1.1.8)."""
    transport = flow.transport
    if secure or transport == b"TLS":
        return b"<sips:" + user + b"@" + flow.sent_by + b">"
    if transport == b"UDP":
        return b"<sip:" + user + b"@" + flow.sent_by + b">"
    return b"<sip:" + user + b"@" + flow.sent_by + b";transport=" + transport.lower() + b">"


def ua_dialog_of(record: object) -> UaDialog:
    """Return the dialog that ``UaDialog.record`` told of.

    Raises:
        StoreCorrupt: it did not.
    """
    try:
        if not isinstance(record, list) or record[0] != _VERSION:
            raise StoreCorrupt("dialog record of another version")
        _, call_id, local, local_tag, remote, remote_tag, target, routes, contact, *rest = record
        local_cseq, remote_cseq, secure, max_forwards = rest
        if not 0 <= local_cseq <= LARGEST_STORED:
            raise StoreCorrupt("dialog record with a CSeq number that is none")
        return UaDialog(
            octets_of_line(call_id),
            local=octets_of_line(local),
            local_tag=octets_of_line(local_tag),
            remote=octets_of_line(remote),
            remote_tag=octets_of_line(remote_tag),
            remote_target=octets_of_line(target),
            route_set=[octets_of_line(route) for route in routes],
            contact=octets_of_line(contact),
            local_cseq=int(local_cseq),
            remote_cseq=int(remote_cseq),
            secure=bool(secure),
            max_forwards=int(max_forwards),
        )
    except (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise StoreCorrupt("dialog record cannot be read") from error


def contact_uri(message: Message) -> bytes:
    """Return the URI of the first Contact, b"" where there is none or it is no SIP URI.

    Raises:
        ParseError: (400) it cannot be read.
    """
    if not message.has(CONTACT):
        return b""
    value = message.get(CONTACT)
    if value is None or value == b"*":
        return b""
    address = message.addresses(CONTACT)[0]
    return address.uri if address.address.is_sip else b""


def _routes_of(message: Message, *, reverse: bool) -> list[bytes]:
    """Return Record-Route as a route set: as a UAC sees it, the last value comes first."""
    if not message.has(RECORD_ROUTE):
        return []
    found: list[bytes] = []
    for address in message.addresses(RECORD_ROUTE):
        if not address.address.is_sip:
            raise ParseError("nothing can be sent to this URI", field=RECORD_ROUTE)
        found.append(b"<" + address.uri + b">" + address.tail)
    if reverse:
        found.reverse()
    return found


def _uri_of(route: bytes) -> bytes:
    return route[1 : route.find(b">")]


def _is_loose(route: bytes) -> bool:
    return parse_uri(_uri_of(route)).param(b"lr") is not None
