"""The instances that share a Redis, as operators see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import final

from uacproxy.uac.shard_set import ShardSet
from uacproxy.uac.shards import member_name


@final
class InstanceList:
    """One record for each instance, this one's own first; and what drains it."""

    def __init__(self, shards: ShardSet | None) -> None:
        """Make a view.

        Args:
            shards: None where this instance shares with nobody.
        """
        self._shards = shards

    @property
    def enabled(self) -> bool:
        """Tell whether there is something to share."""
        return self._shards is not None

    def instances(self) -> Iterator[dict[str, object]]:
        """Yield name, state, shards held, and the seconds the instance takes part or has left."""
        shards = self._shards
        if shards is None:
            return
        held = Counter(lease.member for lease in shards.others.values())
        held[shards.member] = shards.held
        names = sorted(shards.members, key=lambda name: (name != shards.member, name))
        if shards.member not in names:
            names.insert(0, shards.member)
        for name in names:
            member = shards.members.get(name)
            is_here = name == shards.member
            yield {
                "instance": member_name(name),
                "state": self._state(name),
                "shards": held[name],
                "of": len(shards),
                "since": 0 if member is None else int(member.since),
                "here": "yes" if is_here else "no",
            }

    def _state(self, name: str) -> str:
        shards = self._shards
        assert shards is not None
        if name == shards.member:
            if shards.is_cut_off:
                return "cut off"
            return "takes part" if shards.takes_part else "drained"
        return "takes part" if shards.members[name].since > 0.0 else "drained"

    @property
    def has_heirs(self) -> bool:
        """Tell whether another instance would take what this one gives back."""
        return self._shards is not None and self._shards.has_heirs

    def drain(self) -> None:
        """Give all shards back and take none."""
        if self._shards is not None:
            self._shards.drain()

    def undrain(self) -> None:
        """Take part again."""
        if self._shards is not None:
            self._shards.take_part()

    def gauges(self) -> dict[str, int]:
        """Return how many shards are held here, how many have an owner, and the members."""
        shards = self._shards
        if shards is None:
            return {}
        return {
            "instances.members": len(shards.members),
            "instances.shards": shards.held,
            "instances.shards_owned": len(shards.others),
            "instances.cut_off": int(shards.is_cut_off),
        }
