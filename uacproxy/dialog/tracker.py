"""All dialogs that a script or rule asked to track, by the ``did`` in their Record-Route.

A request inside a dialog brings the ``did`` along in its Route, so finding the dialog is
one look-up; what is not in memory (after a restart, or from another instance) is read
from the store. Confirmed dialogs are written through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, final

from uacproxy.counters import DialogCounters
from uacproxy.dialog.dialog import TABLE, Dialog, DialogInput, DialogState, decode_dialog
from uacproxy.errors import StoreCorrupt
from uacproxy.ports import Clock, Random, Store
from uacproxy.sip.grammar import text
from uacproxy.sip.message import Message

SPACE: Final = "dialogs"
MOST_AT_ONCE: Final = 1000  # dialogs looked at by one ``expire_due``


@final
class DialogTracker:
    """Every dialog here is early or confirmed; a terminated one is forgotten at once."""

    def __init__(
        self,
        *,
        clock: Clock,
        now_utc: Callable[[], float],
        random: Random,
        store: Store,
        counters: DialogCounters,
        early_timeout: float,
        lifetime: float,
        max_dialogs: int,
    ) -> None:
        self._clock = clock
        self._now_utc = now_utc
        self._random = random
        self._store = store
        self._counters = counters
        self._early_timeout = early_timeout  # s
        self._lifetime = lifetime  # s without a request or response of the dialog
        self._max_dialogs = max_dialogs
        self._dialogs: dict[bytes, Dialog] = {}
        # one FIFO per duration: the left end is due first, give or take what was refreshed
        self._early: deque[tuple[float, Dialog]] = deque()
        self._confirmed: deque[tuple[float, Dialog]] = deque()

    def __len__(self) -> int:
        """Return how many dialogs are tracked."""
        return len(self._dialogs)

    def track(self, request: Message) -> Dialog | None:
        """Begin a dialog for a request as received; None when ``max_dialogs`` are there."""
        if len(self._dialogs) >= self._max_dialogs:
            self._counters.refused += 1
            return None
        dialog = Dialog(
            self._random.token(),
            request.call_id,
            request.from_.tag,
            request.from_.uri,
            request.to.uri,
            self._now_utc(),
        )
        dialog.deadline = self._clock.seconds() + self._early_timeout
        self._dialogs[dialog.ident] = dialog
        self._early.append((dialog.deadline, dialog))
        self._counters.started += 1
        return dialog

    def find(self, ident: bytes, request: Message, then: Callable[[Dialog | None], None]) -> None:
        """Find the dialog of a request that names ``ident`` in its Route.

        Calls:
            then: at once when the dialog is in memory, else when the store has answered.
                A dialog with other tags or another Call-ID counts as none.
        """
        dialog = self._dialogs.get(ident)
        if dialog is not None:
            then(dialog if _fits(dialog, request) else None)
            return

        def answered(value: bytes | None) -> None:
            then(self._taken_over(ident, value, request))

        self._store.get(SPACE, ident, answered)

    def _taken_over(self, ident: bytes, value: bytes | None, request: Message) -> Dialog | None:
        if value is None:
            return None
        known = self._dialogs.get(ident)  # a second request may have asked meanwhile
        if known is None:
            try:
                known = decode_dialog(ident, value)
            except StoreCorrupt:
                self._counters.corrupt += 1
                return None
            if known.state is DialogState.TERMINATED or not _fits(known, request):
                return None
            self._dialogs[ident] = known
            self._counters.taken_over += 1
            self._refresh(known)
            self._queue_of(known).append((known.deadline, known))
        return known if _fits(known, request) else None

    def response_passed(self, dialog: Dialog, response: Message) -> None:
        """Hear a response to the request that began the dialog, on its way to the caller."""
        status = response.status
        if status >= 300:
            self._feed(dialog, DialogInput.FAILURE)
        elif status >= 200:
            dialog.callee_tag = response.to.tag
            self._feed(dialog, DialogInput.SUCCESS)
        else:
            self._feed(dialog, DialogInput.PROVISIONAL)

    def request_passed(self, dialog: Dialog, request: Message) -> None:
        """Hear a request inside the dialog."""
        if request.method == b"BYE":
            self._feed(dialog, DialogInput.ENDED)
        else:
            self._refresh(dialog)

    def failed(self, dialog: Dialog) -> None:
        """Hear that the request that began the dialog got no answer, or one of our own."""
        self._feed(dialog, DialogInput.FAILURE)

    def set_variable(self, dialog: Dialog, name: str, value: str | None) -> None:
        """Set a dialog variable, or remove it with None; a confirmed dialog is written anew."""
        if value is None:
            dialog.variables.pop(name, None)
        else:
            dialog.variables[name] = value
        if dialog.state is DialogState.CONFIRMED:
            self._write(dialog)

    def expire_due(self) -> None:
        """End what nobody has refreshed in time; the app calls this every few seconds."""
        now = self._clock.seconds()
        for queue in (self._early, self._confirmed):
            for _ in range(MOST_AT_ONCE):
                if not queue or queue[0][0] > now:
                    break
                _, dialog = queue.popleft()
                if dialog.state is DialogState.TERMINATED:
                    continue
                if dialog.deadline > now:
                    self._queue_of(dialog).append((dialog.deadline, dialog))
                else:
                    self._counters.expired += 1
                    self._feed(dialog, DialogInput.EXPIRED)

    def dialogs(self) -> Iterator[dict[str, object]]:
        """Yield every dialog as an operator sees it."""
        now = self._now_utc()
        for dialog in list(self._dialogs.values()):
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
        if after is DialogState.TERMINATED:
            self._dialogs.pop(dialog.ident, None)
            self._counters.ended += 1
            if before is DialogState.CONFIRMED:
                self._store.delete(SPACE, dialog.ident)
            return
        self._refresh(dialog)
        if after is DialogState.CONFIRMED and before is not after:
            self._counters.confirmed += 1
            self._confirmed.append((dialog.deadline, dialog))
            self._write(dialog)

    def _refresh(self, dialog: Dialog) -> None:
        early = dialog.state is DialogState.EARLY
        lasts = self._early_timeout if early else self._lifetime
        dialog.deadline = self._clock.seconds() + lasts

    def _queue_of(self, dialog: Dialog) -> deque[tuple[float, Dialog]]:
        return self._early if dialog.state is DialogState.EARLY else self._confirmed

    def _write(self, dialog: Dialog) -> None:
        remaining = dialog.deadline - self._clock.seconds()
        self._store.put(SPACE, dialog.ident, dialog.encode(), self._now_utc() + remaining)


def _fits(dialog: Dialog, request: Message) -> bool:
    return dialog.fits(request.call_id, request.from_.tag, request.to.tag)
