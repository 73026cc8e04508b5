"""Credentials of INVITEs that were let in, for the ACKs of their 2xx (RFC 3261 22.1).

An ACK cannot be challenged, so it repeats what its INVITE carried. It comes in a
transaction of its own, behind which nothing of the INVITE is left to look at.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

from uacproxy.sip.message import Message
from uacproxy.uac.auth import Authorized

MOST_ACKS: Final = 10_000  # calls answered last whose ACK may still come, or come again


@final
class AckAnswers:
    """What the ACK of a 2xx repeats: the credentials its INVITE was let in with (22.1)."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[bytes, bytes, bytes, int], list[Authorized]] = (
            OrderedDict()
        )

    def keep(self, invite: Message, response: Message, given: list[Authorized]) -> None:
        """Keep the answers an INVITE went out with; ``invite`` is as received."""
        key = (invite.call_id, invite.from_.tag, response.to.tag, invite.cseq.number)
        self._answers[key] = given
        self._answers.move_to_end(key)
        if len(self._answers) > MOST_ACKS:
            self._answers.popitem(last=False)

    def find(self, ack: Message) -> list[Authorized]:
        """Return what the ACK of a 2xx is to carry."""
        if not self._answers:
            return []
        key = (ack.call_id, ack.from_.tag, ack.to.tag, ack.cseq.number)
        return self._answers.get(key, [])
