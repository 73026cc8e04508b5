"""Accounts fall into shards, and shards to members, by hashes every instance computes alike.

A shard goes to the member with the highest hash of both names (rendezvous hashing): when
one comes or goes, only the shards that it gains or leaves behind move.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def shard_of(name: str, shards: int) -> int:
    """Return the shard of an account's l_uuid, 0 to ``shards`` - 1."""
    return _hash(name) % shards


def pick_member(shard: int, members: Iterable[str]) -> str:
    """Return who shall have a shard; "" where there is nobody.

    Args:
        shard: its number.
        members: as ``member_name`` reads them. The hash is of the name alone, so one that
            starts anew gets the shards it had; of two with one name, the lower is picked.
    """
    best = ""
    most = (-1, "")
    for member in sorted(members, reverse=True):
        name = member_name(member)
        rank = (_hash(f"{shard} {name}"), name)
        if rank >= most:
            best, most = member, rank
    return best


def member_name(member: str) -> str:
    """Return the instance name of ``NAME#START``: what an operator called it, without its start."""
    return member.rpartition("#")[0] or member


def _hash(text: str) -> int:
    octets = text.encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(octets, digest_size=8).digest(), "big")
