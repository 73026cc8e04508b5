"""Two CSeq spaces in one dialog (RFC 3261 8.1.3.5, 12.2).

When we answer a challenge for a sender, our request carries the next CSeq, so from then
on its later requests are one (or more) ahead on the other side. What happened to the
request that began the dialog travels in our Record-Route parameter ``cs`` and so comes
back with every request of the dialog, to this process or another. A route set does not
change afterwards (12.2), so what happens inside the dialog is kept in ``Shifts``.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.sip.grammar import is_digits
from uacproxy.sip.message import Message
from uacproxy.sip.names import CSEQ, RACK
from uacproxy.sip.uri import Uri

PARAM: Final = b"cs"
LARGEST_CSEQ: Final = 2**31 - 1  # RFC 3261 8.1.1.5

_MOST_STEPS: Final = 16  # of one direction; the oldest count for every number then
_MOST_OVERTAKEN: Final = 4


@final
class Raised:
    """By how much the numbers of one sender are ahead, a step up for each challenge answered.

    A request is shifted by the steps at its own number and below. So the ACK of an INVITE,
    and the RAck of a PRACK, find the number their INVITE went out with, whatever has been
    challenged since.
    """

    __slots__ = ("_base", "_overtaken", "_steps", "highest")

    def __init__(self) -> None:
        self.highest = 0  # number of the sender so far, ACK and CANCEL apart
        self._base = 0  # steps below all that are remembered singly
        self._steps: list[int] = []  # numbers of the sender, ascending
        self._overtaken: dict[int, int] = {}  # shifts of requests sent again behind later ones

    def __len__(self) -> int:
        """Return how many challenges were answered."""
        return self._base + len(self._steps)

    def passed(self, number: int) -> None:
        """Hear of a request of the sender."""
        if number > self.highest:
            self.highest = number

    def shift(self, number: int) -> int:
        """Return what to raise the sender's ``number`` by."""
        overtaken = self._overtaken.get(number)
        if overtaken is not None:
            return overtaken
        by = self._base
        for step in self._steps:
            if step > number:
                break
            by += 1
        return by

    def raise_at(self, number: int) -> int:
        """Give the request with the sender's ``number`` the next free one; return its shift."""
        if number >= self.highest and (not self._steps or self._steps[-1] <= number):
            self.highest = number
            self._step(number)
            return self.shift(number)
        self._step(self.highest + 1)
        by = self.highest + len(self) - number
        self._overtaken.pop(number, None)
        self._overtaken[number] = by
        if len(self._overtaken) > _MOST_OVERTAKEN:
            del self._overtaken[next(iter(self._overtaken))]
        return by

    def _step(self, number: int) -> None:
        self._steps.append(number)
        if len(self._steps) > _MOST_STEPS:
            del self._steps[0]
            self._base += 1

    def record(self) -> list[object]:
        """Return what a store keeps, in what JSON knows."""
        overtaken = [[number, by] for number, by in self._overtaken.items()]
        return [self.highest, self._base, list(self._steps), overtaken]


def raised_of(record: list[object]) -> Raised:
    """Read what ``Raised.record`` gave.

    Raises:
        ValueError: it did not; TypeError alike.
    """
    highest, base, steps, overtaken = record
    if not isinstance(steps, list) or not isinstance(overtaken, list):
        raise ValueError("no steps")
    raised = Raised()
    raised.highest = _number(highest)
    raised._base = _number(base)
    raised._steps = sorted(_number(step) for step in steps)[-_MOST_STEPS:]
    for pair in overtaken[-_MOST_OVERTAKEN:]:
        raised._overtaken[_number(pair[0])] = _number(pair[1])
    return raised


def _number(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("no number")
    return value


@final
class Shifts:
    """Both directions of one dialog, beyond what ``cs`` says."""

    __slots__ = ("to_callee", "to_caller")

    def __init__(self, to_callee: Raised, to_caller: Raised) -> None:
        self.to_callee = to_callee
        self.to_caller = to_caller

    def toward(self, callee: bool) -> Raised:
        """Return the direction of a request."""
        return self.to_callee if callee else self.to_caller

    @property
    def is_level(self) -> bool:
        """Tell whether nothing was raised yet."""
        return not len(self.to_callee) and not len(self.to_caller)


def shift_cseq(request: Message, by: int) -> None:
    """Raise the CSeq number of a request."""
    cseq = request.cseq
    request.set(CSEQ, b"%d " % (cseq.number + by) + cseq.method)


def shift_rack(request: Message, by: int, raised: Raised | None = None) -> None:
    """Give RAck the number that the INVITE it names went out with (RFC 3262 7.2).

    Args:
        request: a PRACK, or any other.
        by: what ``cs`` says.
        raised: what happened inside the dialog, in the direction of the request.
    """
    if not by and raised is None:
        return
    rack = request.get(RACK)
    if rack is None:
        return
    words = rack.split()
    if len(words) != 3 or not is_digits(words[1]) or len(words[1]) > 10:
        return
    number = int(words[1])
    by += 0 if raised is None else raised.shift(number)
    if by:
        words[1] = b"%d" % (number + by)
        request.set(RACK, b" ".join(words))


def restore_cseq(response: Message, request: Message) -> None:
    """Give a response the CSeq of the request as it was received."""
    if response.has(CSEQ):
        response.set(CSEQ, request.need(CSEQ))


def shift_of(route: Uri) -> int:
    """Return the difference that a Route URI of ours carries, 0 when it has none or nonsense."""
    value = route.param(PARAM)
    if value is None or len(value) > 4 or not is_digits(value):
        return 0
    return int(value)
