"""All dialogs that a script or rule asked to track, by the ``did`` in their Record-Route.

A request inside a dialog brings the ``did`` along in its Route, so finding the dialog is
one look-up; what is not in memory (after a restart, or from another instance) is read
from the store. Confirmed dialogs are written through.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, final

from uacproxy.counters import DialogCounters
from uacproxy.dialog.cseq import Raised, Shifts
from uacproxy.dialog.dialog import (
    TABLE,
    Dialog,
    DialogInput,
    DialogState,
    decode_dialog,
    ident_of_call,
)
from uacproxy.errors import StoreCorrupt
from uacproxy.ports import Clock, Random, Store
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message

SPACE: Final = "dialogs"
LINGERS: Final = 40.0  # s an ended dialog is known: longer than a transaction (64*T1) lasts
MOST_PASSING: Final = 10_000  # untracked dialogs whose newest numbers are known
MOST_AT_ONCE: Final = 1000  # dialogs of either state ended by one ``expire_due``
FEW: Final = 4  # that each new dialog ends or forgets: no rate of calls can outrun it


@final
class DialogTracker:
    """Every dialog here is early or confirmed; a terminated one is forgotten at once."""

    def __init__(
        self,
        *,
        clock: Clock,
        now_utc: Callable[[], float],
        random: Random,
        store: Store | None,
        counters: DialogCounters,
        early_timeout: float,
        lifetime: float,
        max_dialogs: int,
        is_shared: bool = False,
    ) -> None:
        """Begin with nothing.

        Args:
            clock: for deadlines.
            now_utc: wall time, s of the epoch.
            random: names dialogs.
            store: keeps them; None where it would end with the process, as they do here.
            counters: shared.
            early_timeout: s.
            lifetime: s without a request of the dialog.
            max_dialogs: tracked at a time.
            is_shared: whether other instances have the same store.
        """
        self.is_shared = is_shared  # other instances have the same store
        self._clock = clock
        self._now_utc = now_utc
        self._random = random
        self._store = store
        self._counters = counters
        self._early_timeout = early_timeout  # s
        self._lifetime = lifetime  # s without a request of the dialog
        self._max_dialogs = max_dialogs
        # each in the order of the deadlines, as all of one state last equally long
        self._early: OrderedDict[bytes, Dialog] = OrderedDict()
        self._confirmed: OrderedDict[bytes, Dialog] = OrderedDict()
        self._ended: OrderedDict[bytes, Dialog] = OrderedDict()  # for what comes late
        self._passing: OrderedDict[tuple[bytes, bytes, bytes], Shifts] = OrderedDict()

    def __len__(self) -> int:
        """Return how many dialogs are tracked."""
        return len(self._early) + len(self._confirmed)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing can be found in memory."""
        return not self._confirmed and not self._early and not self._ended

    def track(self, request: Message) -> Dialog | None:
        """Begin a dialog for a request as received; None when ``max_dialogs`` are there."""
        self.expire_due(FEW)
        if len(self) >= self._max_dialogs:
            self._counters.refused += 1
            return None
        dialog = Dialog(
            self._random.token(),
            request.call_id,
            request.from_.tag,
            request.from_.uri,
            request.to.uri,
            request.method,
            self._now_utc(),
        )
        self._early[dialog.ident] = dialog
        self._refresh(dialog)
        self._counters.started += 1
        return dialog

    def find(
        self,
        ident: bytes,
        request: Message,
        then: Callable[[Dialog | None], None],
        *,
        in_store: bool = True,
    ) -> None:
        """Find the dialog of a request that names ``ident`` in its Route.

        Args:
            ident: named there, or made by ``ident_of_call``.
            request: as received.
            then: see below.
            in_store: whether the store may know one that is not in memory.

        Calls:
            then: at once when the dialog is in memory, else when the store has answered.
                A dialog with other tags or another Call-ID counts as none.
        """
        dialog = self._known(ident)
        if dialog is not None:
            then(dialog if _fits(dialog, request) else None)
            return
        store = self._store
        if not in_store or store is None:
            then(None)
            return

        def answered(value: bytes | None) -> None:
            then(self._taken_over(ident, value, request))

        store.get(SPACE, ident, answered)

    def _known(self, ident: bytes) -> Dialog | None:
        dialog = self._confirmed.get(ident)
        if dialog is None:
            dialog = self._early.get(ident)
        return self._ended.get(ident) if dialog is None else dialog

    def _taken_over(self, ident: bytes, value: bytes | None, request: Message) -> Dialog | None:
        known = self._known(ident)  # a request before this one may have asked too
        if known is None:
            if value is None:
                return None
            try:
                known = decode_dialog(ident, value)
            except StoreCorrupt:
                self._counters.corrupt += 1
                return None
            if known.state is DialogState.TERMINATED or not _fits(known, request):
                return None
            early = known.state is DialogState.EARLY
            (self._early if early else self._confirmed)[ident] = known
            self._counters.taken_over += 1
            self._refresh(known)
            self._write_if_confirmed(known)  # whoever routes its INVITE writes an early one
        return known if _fits(known, request) else None

    def response_passed(self, dialog: Dialog, response: Message) -> None:
        """Hear a response to the request that began the dialog, on its way to the caller."""
        status = response.status
        if status >= 300:
            self._feed(dialog, DialogInput.FAILURE)
        elif status >= 200:
            if dialog.state is DialogState.EARLY:
                dialog.callee_tag = response.to.tag
            self._feed(dialog, DialogInput.SUCCESS)
        else:
            self._feed(dialog, DialogInput.PROVISIONAL)

    def request_passed(self, dialog: Dialog, request: Message) -> None:
        """Hear a request inside the dialog; one that ends it leaves it known for a while.

        A BYE may be challenged and come again, or cross another. An ACK, or an INVITE of
        either side (14.1), tells that a call taken over while it was early has been answered.
        """
        if dialog.state is DialogState.EARLY and _tells_an_answer(dialog, request):
            is_callers = request.from_.tag == dialog.caller_tag
            dialog.callee_tag = request.to.tag if is_callers else request.from_.tag
            self._feed(dialog, DialogInput.SUCCESS)
        if _ends_subscription(dialog, request) or _ends_call(dialog, request):
            self._feed(dialog, DialogInput.ENDED)
        elif dialog.state is not DialogState.TERMINATED:
            self._refresh(dialog)
            if dialog.deadline - dialog.kept_until > self._lifetime / 2:
                self._write_if_confirmed(dialog)

    def failed(self, dialog: Dialog) -> None:
        """Hear that the request that began the dialog got no answer, or one of our own."""
        self._feed(dialog, DialogInput.FAILURE)

    def keep_early(self, dialog: Dialog) -> None:
        """Write a dialog that is not confirmed yet: its identities are nowhere else."""
        if dialog.state is DialogState.EARLY:
            self._write(dialog)

    def set_variable(self, dialog: Dialog, name: str, value: str | None) -> None:
        """Set a dialog variable, or remove it with None; a confirmed dialog is written anew."""
        if value is None:
            dialog.variables.pop(name, None)
        else:
            dialog.variables[name] = value
        self._write_if_confirmed(dialog)

    def shifts_of(self, dialog: Dialog | None, request: Message, toward_callee: bool) -> Shifts:
        """Return the CSeq numbers of the dialog of a request, and count that request.

        Those of a dialog that is not tracked are known while others do not push them out:
        so a request that is sent again does not take the number of one beside it.
        """
        callee_tag = request.to.tag if toward_callee else request.from_.tag
        if dialog is not None:
            shifts = dialog.shifts_with(callee_tag)
        else:
            caller_tag = request.from_.tag if toward_callee else request.to.tag
            key = (request.call_id, caller_tag, callee_tag)
            known = self._passing.get(key)
            if known is None:
                known = Shifts(Raised(), Raised())
                self._passing[key] = known
                if len(self._passing) > MOST_PASSING:
                    self._passing.popitem(last=False)
            else:
                self._passing.move_to_end(key)
            shifts = known
        if request.method != b"ACK":
            shifts.toward(toward_callee).passed(request.cseq.number)
        return shifts

    def cseq_raised(
        self, dialog: Dialog | None, shifts: Shifts, request: Message, toward_callee: bool
    ) -> int:
        """Hear that a challenge to a request inside the dialog is being answered.

        The dialog is tracked from here on, if it was not: its route set cannot tell of it
        any more. Where ``max_dialogs`` are tracked already it is known in memory alone.

        Args:
            dialog: of the request, if it is tracked.
            shifts: of the dialog, from ``shifts_of``.
            request: as received.
            toward_callee: its direction.

        Returns:
            What to raise the number of the request by, beyond what our Route says.
        """
        by = shifts.toward(toward_callee).raise_at(request.cseq.number)
        if dialog is None and request.method != b"BYE":
            dialog = self._adopt(request, shifts, toward_callee)
        if dialog is not None and dialog.state is not DialogState.TERMINATED:
            self._write(dialog)
        return by

    def _adopt(self, request: Message, shifts: Shifts, toward_callee: bool) -> Dialog | None:
        """Track a dialog of which only a request inside it is known."""
        if len(self) >= self._max_dialogs:
            self._counters.refused += 1
            return None
        caller, callee = request.from_, request.to
        if not toward_callee:
            caller, callee = callee, caller
        is_call = request.method not in (b"SUBSCRIBE", b"NOTIFY")
        dialog = Dialog(
            ident_of_call(request.call_id, caller.tag),
            request.call_id,
            caller.tag,
            caller.uri,
            callee.uri,
            b"INVITE" if is_call else b"SUBSCRIBE",
            self._now_utc(),
        )
        known = self._known(dialog.ident)
        if known is not None:  # by another callee of the fork, or a challenge beside this one
            known.shifts[callee.tag] = shifts
            return known
        dialog.shifts[callee.tag] = shifts
        if request.method != b"PRACK":  # which alone is of no use after the answer
            dialog.state = DialogState.CONFIRMED
            dialog.callee_tag = callee.tag
        early = dialog.state is DialogState.EARLY
        (self._early if early else self._confirmed)[dialog.ident] = dialog
        self._counters.started += 1
        self._refresh(dialog)
        return dialog

    def written_again(self) -> Iterator[None]:
        """Write everything again, a dialog a step, to a store that may have lost it."""
        for dialog in [*self._early.values(), *self._confirmed.values()]:
            if dialog.kept_until and dialog.state is not DialogState.TERMINATED:
                self._write(dialog)
            yield

    def expire_due(self, most: int = MOST_AT_ONCE) -> None:
        """End what nobody has refreshed in time, forget what ended long ago.

        The app calls this every few seconds, and so does each new dialog for a few.
        """
        now = self._clock.seconds()
        for _ in range(min(most, len(self._ended))):
            ident, dialog = next(iter(self._ended.items()))
            if dialog.deadline > now:
                break
            del self._ended[ident]
            self._forget(dialog)
        for dialogs in (self._early, self._confirmed):
            for _ in range(min(most, len(dialogs))):
                dialog = next(iter(dialogs.values()))
                if dialog.deadline > now:
                    break
                self._counters.expired += 1
                self._feed(dialog, DialogInput.EXPIRED)

    def dialogs(self) -> Iterator[dict[str, object]]:
        """Yield every dialog as an operator sees it."""
        now = self._now_utc()
        for dialog in [*self._early.values(), *self._confirmed.values()]:
            yield {
                "did": text(dialog.ident),
                "call_id": text(dialog.call_id),
                "state": dialog.state.name.lower(),
                "from_uri": text(dialog.caller),
                "to_uri": text(dialog.callee),
                "from_tag": text(dialog.caller_tag),
                "to_tag": text(dialog.callee_tag),
                "age": int(now - dialog.started_at_utc),
                "variables": dict(dialog.variables),
            }

    def _feed(self, dialog: Dialog, what: DialogInput) -> None:
        after = TABLE.get((dialog.state, what))
        if after is None:
            return
        before = dialog.state
        dialog.state = after
        if after is not before:
            if before is DialogState.EARLY:
                self._early.pop(dialog.ident, None)
            else:
                self._confirmed.pop(dialog.ident, None)
            if after is DialogState.TERMINATED:
                self._counters.ended += 1
                if what is DialogInput.ENDED:
                    dialog.deadline = self._clock.seconds() + LINGERS
                    self._ended[dialog.ident] = dialog
                elif what is DialogInput.FAILURE:
                    self._forget(dialog)
                return  # what expired here expires in the store, unless another instance has it
            self._counters.confirmed += 1
            self._confirmed[dialog.ident] = dialog
        self._refresh(dialog)
        if after is not before:
            self._write(dialog)

    def _forget(self, dialog: Dialog) -> None:
        if dialog.kept_until and self._store is not None:
            self._store.delete(SPACE, dialog.ident)

    def _refresh(self, dialog: Dialog) -> None:
        """Give a dialog its full time again, which puts it behind all others."""
        if dialog.state is DialogState.EARLY:
            dialog.deadline = self._clock.seconds() + self._early_timeout
            self._early.move_to_end(dialog.ident)
        else:
            dialog.deadline = self._clock.seconds() + self._lifetime
            self._confirmed.move_to_end(dialog.ident)

    def _write_if_confirmed(self, dialog: Dialog) -> None:
        if dialog.state is DialogState.CONFIRMED:
            self._write(dialog)

    def _write(self, dialog: Dialog) -> None:
        if self._store is None:
            return
        remaining = dialog.deadline - self._clock.seconds()
        dialog.kept_until = dialog.deadline
        self._store.put(SPACE, dialog.ident, dialog.encode(), self._now_utc() + remaining)


def _fits(dialog: Dialog, request: Message) -> bool:
    return dialog.fits(request.call_id, request.from_.tag, request.to.tag)


def _tells_an_answer(dialog: Dialog, request: Message) -> bool:
    return dialog.begun_by == b"INVITE" and request.method in (b"ACK", b"INVITE")


def _ends_call(dialog: Dialog, request: Message) -> bool:
    """Tell whether a BYE ends the call: not one for another callee of a fork, or an early one.

    What becomes of the call then is for the final response to its INVITE to say.
    """
    if request.method != b"BYE":
        return False
    is_callers = request.from_.tag == dialog.caller_tag
    return dialog.is_with(request.to.tag if is_callers else request.from_.tag)


def _ends_subscription(dialog: Dialog, request: Message) -> bool:
    """Tell whether a NOTIFY ends the subscription that the dialog is for (RFC 6665 4.4.1)."""
    if request.method != b"NOTIFY" or dialog.begun_by == b"INVITE":
        return False
    state = request.get(b"subscription-state") or b""
    return state.partition(b";")[0].strip().lower() == b"terminated"
