"""Whatever From and To look like, each side of a dialog sees only its own form of them."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tests.support.identity_forms import (
    SHOWN,
    Replacement,
    Written,
    addresses,
    replacements,
)
from uacproxy.sip.message import Message
from uacproxy.sip.names import FROM, RECORD_ROUTE, ROUTE, TO
from uacproxy.sip.parse import check_required, parse_message
from uacproxy.uac.replace import Identities, replace_in
from uacproxy.uac.restore import (
    Restored,
    direction,
    restore_from_identities,
    restore_request,
    restore_response,
)
from uacproxy.uac.rr_param import KamailioCodec, RestoreCodec, SealedCodec

SEALED = SealedCodec(b"vsf", b"vst", [bytes(32)])
KAMAILIO = KamailioCodec(b"vsf", b"vst", b"s3cret")


class Setting(NamedTuple):
    """What the two endpoints write, and what the script does."""

    caller: Written
    dialled: Written
    replace_from: list[Replacement]
    replace_to: list[Replacement]
    names: tuple[bytes, bytes]  # as spelled, with what stands before the value
    tails: tuple[bytes, bytes]  # behind the tags
    other: Written  # what an endpoint may write instead later on


SETTINGS = st.builds(
    Setting,
    addresses("caller"),
    addresses("dialled"),
    replacements("fshown"),
    replacements("tshown"),
    st.sampled_from(
        [(b"From: ", b"To: "), (b"f:", b"t:"), (b"FROM :  ", b"tO\t:"), (b"F: ", b"T: ")]
    ),
    st.sampled_from([(b"", b""), (b";x=1", b" ; y"), (b"\r\n ;x", b';y="<sip:z@z>"')]),
    addresses("changed"),
)


class Proxy:
    """What the proxy does with one dialog's From and To; every message goes over the wire."""

    def __init__(self, setting: Setting, codec: RestoreCodec | None) -> None:
        self.setting = setting
        self.codec = codec  # None: identities are kept with the dialog
        self.kept = Identities()
        self.route = b""

    def invite(self, received: Message) -> Message:
        branch = received.branch_copy()
        for display, uri in self.setting.replace_from:
            replace_in(branch, FROM, display, uri, self.kept)
        for display, uri in self.setting.replace_to:
            replace_in(branch, TO, display, uri, self.kept)
        params = []
        if self.codec is not None:
            params = self.codec.params(self.kept, received.call_id, received.from_.tag)
        raw = b"".join(b";" + name + b"=" + value for name, value in params)
        self.route = b"<sip:p.example;lr;ftag=" + received.from_.tag + raw + b">"
        branch.push(RECORD_ROUTE, self.route)
        return over_the_wire(branch)

    def request(self, received: Message) -> tuple[Message, Restored]:
        branch = received.branch_copy()
        route = branch.addresses(ROUTE)[0].address
        branch.pop(ROUTE)
        toward_callee = direction(route, received)
        if self.codec is None:
            restored = restore_from_identities(branch, self.kept, toward_callee)
        else:
            restored = restore_request(branch, route, self.codec, toward_callee)
        assert restored.failed == ""
        return over_the_wire(branch), restored

    @property
    def from_changed(self) -> bool:
        return self.kept.from_original != b""

    @property
    def to_changed(self) -> bool:
        return self.kept.to_original != b""


def over_the_wire(message: Message) -> Message:
    arrived = parse_message(message.encode())
    check_required(arrived)
    return arrived


def write(
    first: bytes,
    from_: bytes,
    to: bytes,
    tags: tuple[bytes, bytes],
    setting: Setting,
    more: bytes = b"",
) -> Message:
    names, tails = setting.names, setting.tails
    to_tag = b";tag=" + tags[1] if tags[1] else b""
    return over_the_wire(
        parse_message(
            first + b"\r\nVia: SIP/2.0/UDP n.invalid;branch=z9hG4bK1\r\n" + more
            + names[0] + from_ + b";tag=" + tags[0] + tails[0] + b"\r\n"
            + names[1] + to + to_tag + tails[1] + b"\r\n"
            + b"Call-ID: c1@n.invalid\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        )
    )  # fmt: skip


def answer(request: Message, from_: bytes, to: bytes, setting: Setting, to_tag: bytes) -> Message:
    return write(b"SIP/2.0 200 OK", from_, to, (request.from_.tag, to_tag), setting)


def hidden(mine: bytes, yours: bytes, *words: bytes) -> list[bytes]:
    """Return the words that stand in my form of an address and not in yours."""
    return [one for one in words if one and one in mine and one not in yours]


REQUEST = b"INVITE sip:n.invalid SIP/2.0"


@given(
    codec=st.sampled_from([SEALED, None]),
    setting=SETTINGS,
    altered=st.booleans(),
    keep_uri=st.booleans(),
)
def test_each_side_sees_its_own_form_alone(
    codec: RestoreCodec | None, setting: Setting, altered: bool, keep_uri: bool
) -> None:
    proxy = Proxy(setting, codec)
    caller, dialled = setting.caller, setting.dialled

    invite = write(REQUEST, caller.wire, dialled.wire, (b"at", b""), setting)
    at_callee = proxy.invite(invite)
    seen_from, seen_to = at_callee.from_.head, at_callee.to.head

    words = (*caller.words, *dialled.words)
    shown = SHOWN.findall(seen_from + seen_to)
    not_for_callee = hidden(caller.head + dialled.head, seen_from + seen_to, *words)
    not_for_caller = hidden(seen_from + seen_to, caller.head + dialled.head, *shown)
    if not proxy.from_changed:
        assert seen_from == caller.head
    if not proxy.to_changed:
        assert seen_to == dialled.head

    def check_callee(message: Message, from_: bytes, to: bytes) -> None:
        assert (message.from_.head, message.to.head) == (from_, to)
        assert [one for one in not_for_callee if one in message.encode()] == []

    def check_caller(message: Message, from_: bytes, to: bytes) -> None:
        assert (message.from_.head, message.to.head) == (from_, to)
        assert [one for one in not_for_caller if one in message.encode()] == []

    def alter(wire: bytes) -> bytes:
        if not altered:
            return wire
        if keep_uri and wire.startswith(b"<"):
            return b'"Changed" ' + wire
        return setting.other.wire

    def kept_or(head: bytes, changed: bool, written: bytes) -> bytes:
        """Return what has to arrive: a replaced field restored, another as it was written."""
        return head if changed else written

    def flat(wire: bytes) -> bytes:
        return setting.other.head if wire == setting.other.wire else wire

    check_callee(at_callee, seen_from, seen_to)

    # its answer, with From and To as it pleases
    f, t = alter(seen_from), alter(seen_to)
    response = answer(at_callee, f, t, setting, b"bt")
    restore_response(response, invite, proxy.from_changed, proxy.to_changed)
    check_caller(
        over_the_wire(response),
        kept_or(caller.head, proxy.from_changed, flat(f)),
        kept_or(dialled.head, proxy.to_changed, flat(t)),
    )
    assert response.to.tag == b"bt"

    # the caller again
    more = b"Route: " + proxy.route + b"\r\n"
    f, t = alter(caller.head), alter(dialled.head)
    received = write(REQUEST, f, t, (b"at", b"bt"), setting, more)
    sent, restored = proxy.request(received)
    check_callee(
        sent,
        kept_or(seen_from, proxy.from_changed, flat(f)),
        kept_or(seen_to, proxy.to_changed, flat(t)),
    )
    assert (sent.from_.tail, sent.to.tail) == (received.from_.tail, received.to.tail)
    response = answer(sent, sent.from_.head, sent.to.head, setting, b"bt")
    restore_response(response, received, restored.from_changed, restored.to_changed)
    check_caller(over_the_wire(response), flat(f), flat(t))

    # the callee
    f, t = alter(seen_to), alter(seen_from)
    received = write(REQUEST, f, t, (b"bt", b"at"), setting, more)
    sent, restored = proxy.request(received)
    check_caller(
        sent,
        kept_or(dialled.head, proxy.to_changed, flat(f)),
        kept_or(caller.head, proxy.from_changed, flat(t)),
    )
    assert (sent.from_.tail, sent.to.tail) == (received.from_.tail, received.to.tail)
    response = answer(sent, sent.from_.head, sent.to.head, setting, b"at")
    restore_response(response, received, restored.from_changed, restored.to_changed)
    check_callee(over_the_wire(response), flat(f), flat(t))


@given(setting=SETTINGS)
def test_kamailio_values_show_each_side_its_uris_while_endpoints_echo_them(
    setting: Setting,
) -> None:
    proxy = Proxy(setting, KAMAILIO)
    invite = write(REQUEST, setting.caller.wire, setting.dialled.wire, (b"at", b""), setting)
    at_callee = proxy.invite(invite)
    more = b"Route: " + proxy.route + b"\r\n"
    ours, theirs = (invite.from_, invite.to), (at_callee.from_, at_callee.to)

    received = write(REQUEST, ours[0].head, ours[1].head, (b"at", b"bt"), setting, more)
    sent, _ = proxy.request(received)
    assert (sent.from_.uri, sent.to.uri) == (theirs[0].uri, theirs[1].uri)
    assert (sent.from_.display, sent.to.display) == (ours[0].display, ours[1].display)

    received = write(REQUEST, theirs[1].head, theirs[0].head, (b"bt", b"at"), setting, more)
    sent, _ = proxy.request(received)
    assert (sent.from_.uri, sent.to.uri) == (ours[1].uri, ours[0].uri)
