"""Two CSeq spaces in one dialog (RFC 3261 8.1.3.5, 12.2).

When we answer a challenge for the caller, our request carries the next CSeq, so from
then on every request of the caller is one (or more) ahead on the callee's side. The
difference travels in our Record-Route parameter ``cs`` and so comes back with every
request of the dialog, to this process or another.
"""

from __future__ import annotations

from typing import Final

from uacproxy.sip.grammar import is_digits
from uacproxy.sip.message import Message
from uacproxy.sip.names import CSEQ, RACK
from uacproxy.sip.uri import Uri

PARAM: Final = b"cs"
LARGEST_SHIFT: Final = 9999  # as many digits as we read back


def shift_cseq(request: Message, by: int) -> None:
    """Raise the CSeq number, and that inside RAck, of a request from the caller."""
    cseq = request.cseq
    request.set(CSEQ, b"%d " % (cseq.number + by) + cseq.method)
    rack = request.get(RACK)
    if rack is not None:
        words = rack.split()
        if len(words) == 3 and is_digits(words[1]) and len(words[1]) <= 10:
            words[1] = b"%d" % (int(words[1]) + by)
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
