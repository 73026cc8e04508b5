"""Every leg in memory, found by the tags a request of its peer has (RFC 3261 12.2.2)."""

from __future__ import annotations

from typing import final

from uacproxy.bridge.leg import Leg
from uacproxy.sip.message import Message


@final
class LegTable:
    """Legs by local and remote tag; early dialogs of one INVITE share the local one."""

    __slots__ = ("_aliases", "_by_alias", "_by_key", "_by_tag")

    def __init__(self) -> None:
        self._by_key: dict[bytes, Leg] = {}
        self._by_tag: dict[bytes, Leg] = {}  # one of those with a local tag

        self._by_alias: dict[bytes, Leg] = {}
        self._aliases: dict[bytes, bytes] = {}  # by the leg's key

    def __len__(self) -> int:
        """Return how many legs there are."""
        return len(self._by_key)

    def add(self, leg: Leg) -> None:
        """Let requests of its peer find the leg."""
        self._by_key[leg.key] = leg
        self._by_tag[leg.dialog.local_tag] = leg

    def remove(self, leg: Leg) -> None:
        """Let nothing find it any more."""
        if self._by_key.get(leg.key) is leg:
            del self._by_key[leg.key]
        tag = leg.dialog.local_tag
        if self._by_tag.get(tag) is leg:
            del self._by_tag[tag]

        alias = self._aliases.pop(leg.key, b"")
        if alias:
            del self._by_alias[alias]

    def alias(self, leg: Leg) -> bytes:
        """Return a word that stands for the leg's dialog where its ids must not be seen."""
        alias = self._aliases.get(leg.key)
        if alias is None:
            alias = leg.wiring.random.token()
            self._aliases[leg.key] = alias
            self._by_alias[alias] = leg
        return alias

    def knows(self, local_tag: bytes) -> bool:
        """Tell whether a To tag is one of ours."""
        return local_tag in self._by_tag

    def find(self, request: Message) -> Leg | None:
        """Return the leg a request belongs to, None where it fits none."""
        leg = self._by_key.get(request.to.tag + b" " + request.from_.tag)
        if leg is None or leg.dialog.call_id != request.call_id:
            return None
        return leg

    def find_by_dialog(self, call_id: bytes, one_tag: bytes, other_tag: bytes) -> Leg | None:
        """Return the leg whose dialog has these tags, whichever is ours, or this alias."""
        aliased = self._by_alias.get(call_id)
        if aliased is not None:
            return aliased if one_tag == call_id == other_tag else None
        for key in (one_tag + b" " + other_tag, other_tag + b" " + one_tag):
            leg = self._by_key.get(key)
            if leg is not None and leg.dialog.call_id == call_id:
                return leg
        return None
