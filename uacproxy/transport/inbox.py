"""The descriptor of a worker's inbox."""

from __future__ import annotations

import socket
from typing import final

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from uacproxy.transport.post import Post


@final
@implementer(IReadDescriptor)
class InboxDescriptor:
    """Reads while the reactor watches it; what it reads is not closed here."""

    def __init__(self, inbox: socket.socket, post: Post) -> None:
        self._inbox = inbox
        self._post = post

    def doRead(self) -> None:  # noqa: N802  (Twisted's name)
        """Read what others have handed over."""
        self._post.read()

    def fileno(self) -> int:
        """Return the number the reactor watches."""
        return self._inbox.fileno()

    def logPrefix(self) -> str:  # noqa: N802  (Twisted's name)
        """Name it in log lines."""
        return "inbox"

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802  (Twisted's name)
        """Hear of the reactor's end."""
