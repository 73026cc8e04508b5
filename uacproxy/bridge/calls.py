"""All bridged calls: found by what arrives, kept so that another process can go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, final

from uacproxy.bridge.call import Call, CallUser
from uacproxy.bridge.call_states import CallState
from uacproxy.bridge.leg import Leg
from uacproxy.bridge.legs import LegTable
from uacproxy.bridge.record import LegRecord, decode_call, encode_call
from uacproxy.bridge.reoffer import Reoffer
from uacproxy.bridge.requests import take_request
from uacproxy.bridge.wiring import BridgeWiring
from uacproxy.errors import StoreCorrupt
from uacproxy.sip.build import build_response
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message
from uacproxy.sip.name_addr import parse_name_addr
from uacproxy.transaction.server import ServerTransaction

SPACE: Final = "calls"
KEPT_FOR: Final = 86400.0  # s, of a call that may last for ever; written anew while it is used
SKIPPED: Final = 16  # CSeq numbers, on taking over: the last ones may not have been written

_OTHER: Final = b"@"  # before the inner tag, in the record of an outer one


@final
class Calls:
    """Every call of this process, and the way to those of one before it."""

    __slots__ = ("_calls", "_wiring", "legs")

    def __init__(self, wiring: BridgeWiring) -> None:
        self._wiring = wiring
        self._calls: set[Call] = set()
        self.legs = LegTable()

    def __len__(self) -> int:
        """Return how many calls there are, those not answered yet with them."""
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        """Give every call."""
        return iter(list(self._calls))

    @property
    def wiring(self) -> BridgeWiring:
        """Return the surroundings of all calls."""
        return self._wiring

    def begin(
        self, user: CallUser, server: ServerTransaction, received: Message, max_time: float
    ) -> Call | None:
        """Begin a call for an INVITE; None where ``max_calls`` are there."""
        counters = self._wiring.counters
        if len(self._calls) >= self._wiring.max_calls:
            counters.refused += 1
            return None
        call = Call(self._wiring, self.legs, self, user, server, received, max_time)
        self._calls.add(call)
        counters.started += 1
        return call

    # -- from the network --------------------------------------------------------------

    def knows(self, to_tag: bytes) -> bool:
        """Tell whether a To tag is one of ours."""
        return self.legs.knows(to_tag)

    def request_received(self, server: ServerTransaction, request: Message) -> None:
        """Take a request with a To tag that we know."""
        leg = self.legs.find(request)
        if leg is None:
            self._unknown(server, request)
        else:
            take_request(leg, server, request, self.legs)

    def ack_received(self, ack: Message) -> bool:
        """Take the ACK of a 2xx; False where it is not one of ours."""
        if not self.legs.knows(ack.to.tag):
            return False
        leg = self.legs.find(ack)
        if leg is not None:
            leg.ack_received(ack)
        return True

    def cancel_received(self, context: object, cancel: Message) -> None:
        """Take the CANCEL of a re-INVITE."""
        if isinstance(context, Reoffer):
            context.cancel_received(cancel)

    def find_kept(self, server: ServerTransaction, request: Message) -> None:
        """Take a request that came to our Contact for a call not in memory."""
        tag = request.to.tag

        def found(value: bytes | None) -> None:
            self._take_over(value)
            self.request_received(server, request)

        def looked(value: bytes | None) -> None:
            if value is not None and value.startswith(_OTHER):
                self._wiring.store.get(SPACE, value[len(_OTHER) :], found)
            else:
                found(value)

        self._wiring.store.get(SPACE, tag, looked)

    def _unknown(self, server: ServerTransaction, request: Message) -> None:
        server.respond(build_response(request, 481))

    # -- the store ---------------------------------------------------------------------

    def keep(self, call: Call) -> None:
        """Write a call that was answered."""
        inner = call.inner
        outer = call.outer
        if inner is None or outer is None:
            return
        wiring = self._wiring
        expires = call.ends_at_utc or wiring.now_utc() + KEPT_FOR
        tag = inner.dialog.local_tag
        value = encode_call(
            inner,
            outer,
            call.started_at_utc,
            call.ends_at_utc,
            call.auth_source,
            call.auth_to_caller,
        )
        wiring.store.put(SPACE, tag, value, expires)
        wiring.store.put(SPACE, outer.dialog.local_tag, _OTHER + tag, expires)

    def forget(self, call: Call) -> None:
        """Let go of a call that is over."""
        self._calls.discard(call)
        if call.inner is not None and call.outer is not None:
            self._wiring.store.delete(SPACE, call.inner.dialog.local_tag)
            self._wiring.store.delete(SPACE, call.outer.dialog.local_tag)

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield every call as an operator sees it, in the columns of a tracked dialog."""
        now = self._wiring.now_utc()
        for call in self:
            row = _row(call)
            if row:
                row["age"] = int(now - call.started_at_utc)
                yield row

    def written_again(self) -> Iterator[None]:
        """Write every answered call once more, to a store that has lost them."""
        for call in self:
            if call.state is CallState.CONFIRMED:
                self.keep(call)
            yield

    def load(
        self, done: Callable[[], None], is_ours: Callable[[bytes], bool] | None = None
    ) -> None:
        """Take over every call of the store: for a store that no other instance uses.

        Args:
            done: called at the end.
            is_ours: tells by the caller's Call-ID what other workers do not have; None: all.
        """
        values: list[bytes] = []

        def each(key: bytes, value: bytes, expires_at_utc: float) -> None:
            if not value.startswith(_OTHER):
                values.append(value)

        def finished() -> None:
            for value in values:
                self._take_over(value, is_ours)
            done()

        self._wiring.store.scan(SPACE, each, finished)

    def _take_over(
        self, value: bytes | None, is_ours: Callable[[bytes], bool] | None = None
    ) -> None:
        wiring = self._wiring
        if value is None:
            return
        try:
            record = decode_call(value)
        except StoreCorrupt:
            wiring.counters.corrupt += 1
            return
        if is_ours is not None and not is_ours(record.inner.dialog.call_id):
            return
        if self.legs.knows(record.inner.dialog.local_tag):
            return  # a request before this one asked too
        call = Call(wiring, self.legs, self, None, None, None, 0.0)
        call.started_at_utc = record.started_at_utc
        call.auth_source = record.auth_source
        call.auth_to_caller = record.auth_to_caller
        call.inner = self._leg(call, record.inner, is_outer=False)
        call.outer = self._leg(call, record.outer, is_outer=True)
        call.inner.other = call.outer
        call.outer.other = call.inner
        dialog = call.inner.dialog
        tag = dialog.remote_tag
        if record.auth_source:
            kept = wiring.credentials_of(record.auth_source, dialog.call_id, tag)
            call.outer.credentials = kept
        if record.auth_to_caller:
            kept = wiring.credentials_of(record.auth_to_caller, dialog.call_id, tag)
            call.inner.credentials = kept
        self.legs.add(call.inner)
        self.legs.add(call.outer)
        self._calls.add(call)
        wiring.counters.taken_over += 1
        call.taken_over(record.ends_at_utc)

    def _leg(self, call: Call, record: LegRecord, *, is_outer: bool) -> Leg:
        leg = Leg(self._wiring, call, record.dialog, is_outer=is_outer)
        leg.dialog.local_cseq += SKIPPED
        leg.peer_allow = record.allow
        leg.last_body = record.last_body
        leg.hidden = record.hidden
        if record.interval:
            leg.timer.start(record.interval, we_refresh=record.we_refresh)
        return leg


def _row(call: Call) -> dict[str, object]:
    """Return the call as an operator sees it; an empty one when it is just over."""
    received = call.received
    inner = call.inner
    outer = call.outer
    if inner is not None and outer is not None:
        dialog = inner.dialog
        call_id, from_tag, to_tag = dialog.call_id, dialog.remote_tag, dialog.local_tag
        from_uri, to_uri = dialog.remote, dialog.local
    elif received is not None:
        call_id, from_tag, to_tag = received.call_id, received.from_.tag, b""
        from_uri, to_uri = received.from_.head, received.to.head
    else:
        return {}
    return {
        "did": text(to_tag),
        "call_id": text(call_id),
        "state": "bridged" if inner is not None else "calling",
        "from_uri": text(parse_name_addr(from_uri).uri),
        "to_uri": text(parse_name_addr(to_uri).uri),
        "from_tag": text(from_tag),
        "to_tag": text(to_tag),
        "variables": {} if outer is None else {"outer_call_id": text(outer.dialog.call_id)},
    }
