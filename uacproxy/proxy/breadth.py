"""How far a request may still be forked: Max-Breadth (RFC 5393 5).

Without it a loop that forks at each turn doubles its requests until Max-Forwards ends it.
One branch alone takes the breadth along as it came; only forks have to share.
"""

from __future__ import annotations

from typing import Final

from uacproxy.errors import ParseError
from uacproxy.sip.grammar import parse_number
from uacproxy.sip.message import Message

MAX_BREADTH: Final = b"max-breadth"
USUAL_BREADTH: Final = 60  # of a request that names none


def shares_of(request: Message, branches: int) -> list[bytes]:
    """Return the value for each of several parallel branches, the first ones favoured.

    An empty list says that the request may not be forked so far (440).
    """
    breadth = USUAL_BREADTH
    value = request.get(MAX_BREADTH)
    if value is not None:
        try:
            breadth = parse_number(value, field=MAX_BREADTH)
        except ParseError:
            breadth = 1  # malformed: of no use to anybody, and no reason to refuse the request
    if branches > breadth:
        return []
    each, more = divmod(breadth, branches)
    return [b"%d" % (each + (index < more)) for index in range(branches)]
