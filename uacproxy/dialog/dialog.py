"""A dialog as the proxy in its path sees it (RFC 3261 12), and its life as a table.

The caller is who sent the request that began it, whoever sends later ones. A forked
call has one ``Dialog`` here: the callee's tag is that of the 2xx that confirmed it.
"""

from __future__ import annotations

import json
from enum import IntEnum
from hashlib import blake2b
from math import isfinite
from typing import Final, final

from uacproxy.dialog.cseq import Raised, Shifts, raised_of
from uacproxy.errors import StoreCorrupt
from uacproxy.sip.grammar import octets_of_line, text

FORMS_DIALOG: Final = frozenset((b"INVITE", b"SUBSCRIBE", b"REFER"))
"""Methods whose 2xx makes a dialog (12.1, RFC 6665, RFC 3515)."""

_VERSION: Final = 3
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
_SHOWN: Final = "_uac_"  # begins the names of variables whose values go on the wire
_MOST_CALLEES: Final = 16  # of one forked call, whose numbers are kept apart


class DialogState(IntEnum):
    """Where a dialog stands."""

    EARLY = 0
    CONFIRMED = 1
    TERMINATED = 2


class DialogInput(IntEnum):
    """What can happen to a dialog."""

    PROVISIONAL = 0
    SUCCESS = 1  # 2xx to the request that began it
    FAILURE = 2  # final failure of the request that began it
    ENDED = 3  # BYE, or a NOTIFY that terminates the subscription
    EXPIRED = 4  # nothing was heard for its lifetime


TABLE: Final[dict[tuple[DialogState, DialogInput], DialogState]] = {
    (DialogState.EARLY, DialogInput.PROVISIONAL): DialogState.EARLY,
    (DialogState.EARLY, DialogInput.SUCCESS): DialogState.CONFIRMED,
    (DialogState.EARLY, DialogInput.FAILURE): DialogState.TERMINATED,
    (DialogState.EARLY, DialogInput.ENDED): DialogState.TERMINATED,
    (DialogState.EARLY, DialogInput.EXPIRED): DialogState.TERMINATED,
    (DialogState.CONFIRMED, DialogInput.SUCCESS): DialogState.CONFIRMED,
    (DialogState.CONFIRMED, DialogInput.ENDED): DialogState.TERMINATED,
    (DialogState.CONFIRMED, DialogInput.EXPIRED): DialogState.TERMINATED,
}


@final
class Dialog:
    """One tracked dialog; ``ident`` is the ``did`` in our Record-Route."""

    __slots__ = (
        "begun_by",
        "call_id",
        "callee",
        "callee_tag",
        "caller",
        "caller_tag",
        "deadline",
        "ident",
        "kept_until",
        "shifts",
        "started_at_utc",
        "state",
        "variables",
    )

    def __init__(
        self,
        ident: bytes,
        call_id: bytes,
        caller_tag: bytes,
        caller: bytes,
        callee: bytes,
        begun_by: bytes,
        started_at_utc: float,
    ) -> None:
        self.ident = ident
        self.call_id = call_id
        self.caller_tag = caller_tag
        self.callee_tag = b""
        self.caller = caller  # URI of From as received
        self.callee = callee  # URI of To as received
        self.begun_by = begun_by  # method of the request that began it
        self.started_at_utc = started_at_utc
        self.state = DialogState.EARLY
        self.deadline = 0.0  # s, monotonic
        self.kept_until = 0.0  # s, monotonic; deadline of what the store has
        self.shifts: dict[bytes, Shifts] = {}  # by the callee's tag
        self.variables: dict[str, str] = {}

    def fits(self, call_id: bytes, from_tag: bytes, to_tag: bytes) -> bool:
        """Tell whether a request with these belongs here, whichever side sent it.

        The callee's tag does not count: every callee of a fork is of this call, and sees
        the same identities of it.
        """
        return call_id == self.call_id and self.caller_tag in (from_tag, to_tag)

    def is_with(self, tag: bytes) -> bool:
        """Tell whether ``tag`` is that of the callee whose answer confirmed the dialog."""
        return self.state is DialogState.CONFIRMED and tag == self.callee_tag

    def shifts_with(self, tag: bytes) -> Shifts:
        """Return the CSeq numbers between the caller and the callee with this tag."""
        shifts = self.shifts.get(tag)
        if shifts is None:
            shifts = Shifts(Raised(), Raised())
            self.shifts[tag] = shifts
            if len(self.shifts) > _MOST_CALLEES:
                del self.shifts[next(iter(self.shifts))]
        return shifts

    def encode(self) -> bytes:
        """Return what a store keeps."""
        shifts = {
            text(tag): [each.to_callee.record(), each.to_caller.record()]
            for tag, each in self.shifts.items()
            if not each.is_level
        }
        record = [
            _VERSION,
            text(self.call_id),
            text(self.caller_tag),
            text(self.callee_tag),
            text(self.caller),
            text(self.callee),
            text(self.begun_by),
            self.started_at_utc,
            int(self.state),
            shifts,
            self.variables,
        ]
        return _ENCODER.encode(record).encode("ascii")


def ident_of_call(call_id: bytes, caller_tag: bytes) -> bytes:
    """Return the ident of a dialog that nobody tracked before a challenge in it was answered.

    It is in no Record-Route: every request of the dialog leads to it.
    """
    return blake2b(call_id + b"\n" + caller_tag, digest_size=16).hexdigest().encode("ascii")


def decode_dialog(ident: bytes, value: bytes) -> Dialog:
    """Read what ``Dialog.encode`` wrote.

    Raises:
        StoreCorrupt: it did not.
    """
    try:
        record = json.loads(value)
        if record[0] != _VERSION:
            raise StoreCorrupt(f"dialog record of version {record[0]}")
        _, call_id, caller_tag, callee_tag, caller, callee, begun_by, started, *rest = record
        state, shifts, kept = rest
        dialog = Dialog(
            ident,
            octets_of_line(call_id),
            octets_of_line(caller_tag),
            octets_of_line(caller),
            octets_of_line(callee),
            octets_of_line(begun_by),
            float(started),
        )
        if not isfinite(dialog.started_at_utc):
            raise StoreCorrupt("dialog record with a time that is none")
        dialog.callee_tag = octets_of_line(callee_tag)
        dialog.state = DialogState(state)
        for tag in list(shifts)[:_MOST_CALLEES]:
            to_callee, to_caller = shifts[tag]
            dialog.shifts[octets_of_line(tag)] = Shifts(raised_of(to_callee), raised_of(to_caller))
        dialog.variables = {str(name): str(kept[name]) for name in kept}
        for name, shown in dialog.variables.items():
            if name.startswith(_SHOWN):
                octets_of_line(shown)
    except (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise StoreCorrupt("dialog record cannot be read") from error
    return dialog
