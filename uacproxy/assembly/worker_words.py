"""What workers tell each other of their writes: bindings of local users, and registrations.

A worker that is started anew reads the store; what was told while it was away waits in its
inbox and comes after that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, final

from uacproxy.registrar import bindings
from uacproxy.registrar.bindings import BindingTable
from uacproxy.sip.grammar import text
from uacproxy.store.open import OpenStore
from uacproxy.store.told import ToldStore, read_change
from uacproxy.store.worker_changes import WorkerChanges
from uacproxy.transport.letters import Kind, Letter
from uacproxy.transport.post import Post
from uacproxy.uac import owner_wishes
from uacproxy.uac.registration_shards import SPACES

_WISHES: Final = owner_wishes.SPACE.encode("ascii")
WRITING: Final = 0.3  # s that a batch may take to be written, beside the wait for it


@final
class WorkerWords:
    """``store`` tells the others; what they tell goes to ``changes`` and to the bindings."""

    def __init__(
        self, medium: OpenStore, flush_interval: float, seconds: Callable[[], float]
    ) -> None:
        """Begin without others; ``join`` finds them.

        Args:
            medium: that all workers share.
            flush_interval: s, that it lags behind.
            seconds: a clock, s.
        """
        spaces = {bindings.SPACE: True, **dict.fromkeys(SPACES, False)}
        self.store = ToldStore(medium, spaces, self._tell)
        self.changes = WorkerChanges(seconds, flush_interval + WRITING)
        self._post: Post | None = None
        self._bindings: BindingTable | None = None

    def join(self, post: Post, table: BindingTable) -> None:
        """Tell by this post, and hear."""
        self._post = post
        self._bindings = table
        post.take(Kind.NOTICE, self._notices_received)

    def _tell(self, space: bytes, change: bytes) -> None:
        if space == _WISHES:  # left for an owner that we may be a moment later
            self.changes.told(owner_wishes.SPACE, read_change(change).key)
        if self._post is not None:
            self._post.put_to_others(Kind.NOTICE, place=space, octets=change)

    def _notices_received(self, letters: list[Letter]) -> None:
        for letter in letters:
            try:
                change = read_change(letter.octets)
            except struct.error:
                continue
            space = text(letter.place)
            if space != bindings.SPACE:
                self.changes.told(space, change.key)
            elif self._bindings is not None:
                self._bindings.heard(change.key, change.value)
