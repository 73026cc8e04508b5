"""A dialog through a ``World`` whose every message is held against what each side may see.

``Ledger`` lets two endpoints send, and keeps of each request who sent it and how it wrote
From and To. Whatever the proxy sends is matched with that by the branch of the endpoint's
own Via, and has to show its receiver that one's own form, octet for octet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.support.identity_forms import SHOWN, Written
from tests.support.identity_plot import CALLEES, Line, Plot, Style
from tests.support.world import CALLER, World
from uacproxy.dialog.dialog import FORMS_DIALOG
from uacproxy.dialog.tracker import LINGERS
from uacproxy.ports import HostPort
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import parse_name_addr
from uacproxy.sip.names import FROM, RECORD_ROUTE, TO, VIA
from uacproxy.sip.parse import parse_message
from uacproxy.transaction.timers import T1


@dataclass
class Dialog:
    """One dialog of the call, early or not, as its two ends know it."""

    peer: HostPort
    tag: bytes  # of the callee
    from_seen: Written  # by the callee
    to_seen: Written
    from_replaced: bool
    to_replaced: bool
    for_callee: list[bytes]  # the callee's route set
    for_caller: list[bytes] = field(default_factory=list)  # known once it was answered
    confirmed: bool = False
    ended_at: float | None = None  # s, the first BYE or last NOTIFY in it


@dataclass
class Request:
    """A request an endpoint sent, what became of it and what it was answered."""

    sender: HostPort
    method: bytes
    from_: Line
    to: Line
    octets: bytes
    dialog: Dialog | None = None  # None in the one that opens
    sent: list[tuple[HostPort, Message]] = field(default_factory=list)  # as it arrived, once each
    answers: list[tuple[HostPort, int, Line, Line]] = field(default_factory=list)
    final: int = 0  # as the sender heard


class Ledger:
    """The world, what was written into it, and the judgement of what came out."""

    def __init__(self, world: World, plot: Plot) -> None:
        self.world = world
        self.plot = plot
        self.requests: dict[bytes, Request] = {}  # by the sender's branch
        self.hops: dict[bytes, tuple[Request, Message]] = {}  # by our own branch
        self.dialogs: list[Dialog] = []
        self.received: list[tuple[bytes, HostPort, bytes]] = []  # for sending again
        self._seen = 0
        self._numbers = 0
        self._began = world.clock.seconds()
        exact = plot.mode != "kamailio"
        made = plot.all_replacements
        caller_words = plot.caller.words, plot.dialled.words
        self.words = {word for words in caller_words for word in words[:2]}
        for one in made:
            self.words.update(SHOWN.findall(one.uri))
        self.names = {word for words in caller_words for word in words[2:] if word}
        for one in made:
            self.names.update(SHOWN.findall(one.display or b""))
        self.exact = exact  # display names are promised in later requests too
        self.own: dict[HostPort, bytes] = {CALLER: plot.caller.head + plot.dialled.head}
        self.opening = self._open()

    # -- what the endpoints do -------------------------------------------------------------

    def _open(self) -> Request:
        plot = self.plot
        lines = plot.style.lines(plot.caller, plot.dialled, plot.caller_tag, b"")
        up = [b"<sip:192.0.2.1;lr;x=up>"] if plot.others else []
        more = plot.style.routes(b"Record-Route", up)
        return self._send(CALLER, plot.method, b"sip:bob@proxied.example", lines, more, None, 0)

    def request(
        self,
        dialog: Dialog,
        from_caller: bool,
        method: bytes,
        style: Style,
        altered: tuple[Written | None, Written | None] = (None, None),
        more: bytes = b"",
    ) -> Request:
        """Let one end send a request within a dialog, with From and To perhaps altered."""
        plot = self.plot
        ends = (plot.caller, plot.dialled) if from_caller else (dialog.to_seen, dialog.from_seen)
        tags = plot.caller_tag, dialog.tag
        from_, to = (other or end for other, end in zip(altered, ends, strict=True))
        lines = style.lines(from_, to, *(tags if from_caller else tags[::-1]))
        routes = style.routes(b"Route", dialog.for_caller if from_caller else dialog.for_callee)
        number = 1 if method == b"ACK" and from_caller else 0
        tcp = b";transport=tcp" if plot.tcp else b""
        uri = b"sip:bob@" + dialog.peer[0].encode() + tcp
        if not from_caller:
            uri = b"sip:alice@192.0.2.1"
        sender = CALLER if from_caller else dialog.peer
        if method == b"BYE" or b"terminated" in more:
            dialog.ended_at = dialog.ended_at or self.world.clock.seconds()
        return self._send(sender, method, uri, lines, routes + more, dialog, number)

    def _send(
        self,
        sender: HostPort,
        method: bytes,
        uri: bytes,
        lines: tuple[Line, Line],
        more: bytes,
        dialog: Dialog | None,
        number: int,
    ) -> Request:
        self._numbers += 1
        branch = b"z9hG4bKown%d" % self._numbers
        octets = (
            method + b" " + uri + b" SIP/2.0\r\n"
            b"Via: SIP/2.0/" + self._transport(sender) + b" " + sender[0].encode() + b";branch="
            + branch + b"\r\nMax-Forwards: 70\r\n" + more
            + lines[0].octets + b"\r\n" + lines[1].octets + b"\r\n"
            b"Call-ID: c1@n.invalid\r\nCSeq: %d " % (number or self._numbers) + method + b"\r\n"
            b"Contact: <sip:contact@" + sender[0].encode() + b">\r\nContent-Length: 0\r\n\r\n"
        )  # fmt: skip
        request = Request(sender, method, *lines, octets, dialog)
        self.requests[branch] = request
        self.receive(octets, sender)
        return request

    def answer(
        self,
        request: Request,
        which: int,
        status: int,
        tag: bytes,
        style: Style,
        altered: tuple[Written | None, Written | None] = (None, None),
    ) -> None:
        """Let a receiver answer a request, with From and To perhaps altered."""
        if not request.sent:
            return
        peer, arrived = request.sent[which % len(request.sent)]
        from_, to = (
            other or Written(address.head, address.head, ())
            for other, address in zip(altered, (arrived.from_, arrived.to), strict=True)
        )
        tag = arrived.to.tag or _tag_at(peer, tag)
        if request.dialog is None and request.method in FORMS_DIALOG:
            dialog = self._dialog(peer, tag)
            dialog.confirmed = dialog.confirmed or 200 <= status < 300
        lines = style.lines(from_, to, arrived.from_.tag, tag)
        request.answers.append((peer, status, *lines))
        down = []
        if request.dialog is None and self.plot.others:
            tcp = b";transport=tcp" if self.plot.tcp else b""
            down = [b"<sip:" + peer[0].encode() + tcp + b";lr;x=down>"]
        recorded = [one.raw for one in arrived.addresses(RECORD_ROUTE)]
        octets = (
            b"SIP/2.0 %d Whatever\r\n" % status
            + b"".join(b"Via: " + one + b"\r\n" for one in arrived.fields(VIA))
            + style.routes(b"Record-Route", [*down, *recorded])
            + lines[0].octets + b"\r\n" + lines[1].octets + b"\r\n"
            b"Call-ID: c1@n.invalid\r\nCSeq: %d " % arrived.cseq.number + arrived.cseq.method
            + b"\r\nContact: <sip:contact@" + peer[0].encode() + b">\r\nContent-Length: 0\r\n\r\n"
        )  # fmt: skip
        self.receive(octets, peer)

    def cancel(self, request: Request) -> None:
        """Let the sender of an INVITE cancel it."""
        octets = request.octets.replace(b"INVITE", b"CANCEL")
        octets = re.sub(rb"(Record-)?Route: [^\r]*\r\n", b"", octets)
        self.receive(octets, request.sender)

    def again(self, which: int) -> None:
        """Let something come once more; it is a new request where the old one is long over."""
        octets, peer, transport = self.received[which % len(self.received)]
        request = self.requests.get(_branch(octets.partition(b"\r\nVia: ")[2]))
        if request is None or request.dialog is None or not self.is_forgotten(request.dialog):
            self.receive(octets, peer, transport)

    def let(self, seconds: float) -> None:
        """Let time pass; the trackers of the service look for what is over now and then."""
        self.world.let(seconds)
        self.world.tracker.expire_due()
        self.judge()

    def receive(self, octets: bytes, peer: HostPort, transport: bytes = b"") -> None:
        transport = transport or self._transport(peer)
        self.received.append((octets, peer, transport))
        self.world.receive(octets, peer, transport)
        self.judge()

    def _transport(self, peer: HostPort) -> bytes:
        return b"TCP" if self.plot.tcp and peer != CALLER else b"UDP"

    def dialog(self, which: int) -> Dialog | None:
        """Return one of the dialogs, in the order they began."""
        return self.dialogs[which % len(self.dialogs)] if self.dialogs else None

    def begin(self, which: int, tag: bytes) -> Dialog | None:
        """Begin a dialog by a request of the callee (RFC 6665 4.1.3), or find it."""
        sent = self.opening.sent
        if not sent:
            return None
        peer = sent[which % len(sent)][0]
        return self._dialog(peer, _tag_at(peer, tag))

    def is_forgotten(self, dialog: Dialog) -> bool:
        """Tell whether the proxy need not know a dialog any more.

        Each failed call is forgotten, and so is a request of another kind that got no final
        response in 64*T1: nothing is answered to it then (RFC 4320 4.2). A tracked call is a
        while after its first BYE.
        """
        opening = self.opening
        if opening.final >= 300:
            return True
        now = self.world.clock.seconds()
        if opening.method != b"INVITE" and not opening.final and now >= self._began + 64 * T1:
            return True
        if self.plot.mode != "dialog":
            return False
        ends = [one.ended_at for one in self.dialogs if one.ended_at is not None]
        return bool(ends) and min(ends) + LINGERS <= now

    def _dialog(self, peer: HostPort, tag: bytes) -> Dialog:
        for one in self.dialogs:
            if (one.peer, one.tag) == (peer, tag):
                return one
        plot = self.plot
        arrived = next(message for to, message in self.opening.sent if to == peer)
        heads = arrived.from_.head, arrived.to.head
        dialog = Dialog(
            peer,
            tag,
            Written(heads[0], heads[0], ()),
            Written(heads[1], heads[1], ()),
            heads[0] != plot.caller.head,
            heads[1] != plot.dialled.head,
            [one.raw for one in arrived.addresses(RECORD_ROUTE)],
        )
        self.dialogs.append(dialog)
        return dialog

    # -- what may come of it ---------------------------------------------------------------

    def judge(self) -> None:
        """Hold everything sent since the last time against what its receiver may see."""
        sent = self.world.sent[self._seen :]
        self._seen = len(self.world.sent)
        for _, peer, _, octets in sent:
            message = parse_message(octets)
            vias = message.fields(VIA)
            if message.is_request and len(vias) == 1:
                self._judge_hop(message)
                request = self.hops[message.via.branch][0]
            elif message.is_request:
                request = self.requests[_branch(vias[-1])]
                self._judge_request(request, peer, message)
            else:
                request = self.requests[_branch(vias[-1])]
                self._judge_response(request, message)
            if self.exact or request.dialog is None:
                words = self.words | self.names
            else:  # those in a display name as well may be seen there
                words = {w for w in self.words if not any(w in name for name in self.names)}
            own = self.own[peer]
            assert [one for one in words if one not in own and one in octets] == [], octets

    def _judge_request(self, request: Request, peer: HostPort, message: Message) -> None:
        dialog = request.dialog
        self.hops[message.via.branch] = request, message
        if dialog is None:
            self._judge_opening(request, peer, message)
        elif request.sender == CALLER:
            self._judge_field(
                message,
                FROM,
                request.from_,
                dialog.from_seen,
                self.plot.caller,
                dialog.from_replaced,
            )
            self._judge_field(
                message, TO, request.to, dialog.to_seen, self.plot.dialled, dialog.to_replaced
            )  # fmt: skip
        else:
            self._judge_field(
                message,
                FROM,
                request.from_,
                self.plot.dialled,
                dialog.to_seen,
                dialog.to_replaced,
            )
            self._judge_field(
                message, TO, request.to, self.plot.caller, dialog.from_seen, dialog.from_replaced
            )  # fmt: skip
        if all(one.via.branch != message.via.branch for _, one in request.sent):
            request.sent.append((peer, message))

    def _judge_field(
        self,
        message: Message,
        name: bytes,
        written: Line,
        seen: Written,
        opposite: Written,
        replaced: bool,
    ) -> None:
        """Check From or To of a request within a dialog.

        Args:
            message: as it left us.
            name: FROM or TO.
            written: by its sender.
            seen: what the receiver knows that end as.
            opposite: what the sender knows it as.
            replaced: whether the two differ.
        """
        line = message.lines[message.find(name)]
        if not replaced:
            assert line == written.octets
        elif self.exact:
            assert written.became(line, seen.head), (line, written, seen)
        else:
            here = message.from_ if name == FROM else message.to
            uri = parse_name_addr(seen.head).uri
            if uri == parse_name_addr(opposite.head).uri:
                assert line == written.octets
            else:
                assert (here.uri, here.display) == (
                    uri,
                    parse_name_addr(written.who.head).display,
                )
                assert written.became(line, here.head)

    def _judge_opening(self, request: Request, peer: HostPort, message: Message) -> None:
        plot = self.plot
        index = CALLEES.index(peer)
        for name, written, here in (
            (FROM, request.from_, message.from_),
            (TO, request.to, message.to),
        ):
            wrote = parse_name_addr(written.who.head)
            display, uri = wrote.display, wrote.uri
            made = plot.replacements(name, index)
            for one in made:
                display = display if one.display is None else one.display
                uri = one.uri or uri
            assert (here.display, here.uri) == (display, uri)
            line = message.lines[message.find(name)]
            assert written.became(line, here.head if made else None)
        self.own[peer] = message.from_.head + message.to.head

    def _judge_hop(self, message: Message) -> None:
        """Check an ACK or CANCEL of our own: it is like the INVITE as it went (9.1, 17.1.1.3)."""
        request, invite = self.hops[message.via.branch]
        assert message.method in (b"ACK", b"CANCEL")
        assert message.lines[message.find(FROM)] == invite.lines[invite.find(FROM)]
        line = message.lines[message.find(TO)]
        if message.method == b"CANCEL":
            assert line == invite.lines[invite.find(TO)]
        else:
            assert line in [to.octets for _, _, _, to in request.answers]

    def _judge_response(self, request: Request, message: Message) -> None:
        from_line, to_line = (message.lines[message.find(name)] for name in (FROM, TO))
        from_head, to_head = self._restored(request)
        possible = [
            from_.became(from_line, from_head) and to.became(to_line, to_head)
            for _, status, from_, to in request.answers
            if status == message.status
        ]
        ours = from_line == request.from_.octets and to_line.startswith(request.to.octets)
        assert ours or any(possible), (message.encode(), request)
        if message.status >= 200 and message.cseq.method == request.method:
            request.final = request.final or message.status
        if request.dialog is None and message.status > 100 and message.to.tag:
            self._learn_routes(message)

    def _restored(self, request: Request) -> tuple[bytes | None, bytes | None]:
        """Return the heads that answers have to be given, None for those that stay."""
        heads: list[bytes | None] = []
        for name, written in ((FROM, request.from_), (TO, request.to)):
            if request.dialog is None:
                indices = range(1 + self.plot.forks)
                changed = any(self.plot.replacements(name, index) for index in indices)
            else:
                changed = any(
                    (one.from_ if name == FROM else one.to).head != written.who.head
                    for _, one in request.sent
                )
            heads.append(written.who.head if changed else None)
        return heads[0], heads[1]

    def _learn_routes(self, message: Message) -> None:
        recorded = [one.raw for one in message.addresses(RECORD_ROUTE)]
        routes = [one for one in reversed(recorded) if b";x=up" not in one]
        for dialog in self.dialogs:
            if dialog.tag == message.to.tag and not dialog.for_caller:
                dialog.for_caller = routes


def _tag_at(peer: HostPort, tag: bytes) -> bytes:
    """Return a tag that no other callee has."""
    return tag + b"-%d" % CALLEES.index(peer)


def _branch(via: bytes) -> bytes:
    return re.split(rb"[;\r]", via.partition(b";branch=")[2])[0]
