"""What one worker hands to another: a message, or word of one, as one datagram of UNIX.

    kind, sender, listener | connection | ticket | length of place | place, octets

A *place* is where a message came from or goes to: as the wire writes it for a datagram, as
``HOST PORT`` for a stream. Both ends are one program at one time, so there is no version.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

MOST_HANDED: Final = 65_000  # octets of a message; a longer one stays where it came
_HEAD: Final = struct.Struct("=BBHQIH")


class Kind(IntEnum):
    """What a letter is about."""

    DATAGRAM = 1  # received on a socket that all share
    FRAME = 2  # a message received on the sender's connection
    WRITE = 3  # to be sent on the receiver's connection, or on a new one where a port is given
    FAILED = 4  # what a ticket was for could not be sent
    UNREACHABLE = 5  # an ICMP error about an address
    NOTICE = 6  # of a change in what all workers have, the place being its subject


class Letter(NamedTuple):
    """One of them; what a kind does not need is 0 or empty."""

    kind: int
    sender: int  # number of a worker, from 0
    listener: int  # index in the list of those all workers have
    connection: int
    ticket: int  # 0: nobody waits to hear of a failure
    place: bytes
    octets: bytes


def write_letter(letter: Letter) -> bytes:
    """Return the octets of a letter."""
    kind, sender, listener, connection, ticket, place, octets = letter
    return _HEAD.pack(kind, sender, listener, connection, ticket, len(place)) + place + octets


def read_letter(octets: bytes) -> Letter:
    """Return what ``write_letter`` was given; struct.error where it was nothing of ours."""
    kind, sender, listener, connection, ticket, length = _HEAD.unpack_from(octets)
    begin = _HEAD.size + length
    place = octets[_HEAD.size : begin]
    return Letter(kind, sender, listener, connection, ticket, place, octets[begin:])


def stream_place(host: str, port: int) -> bytes:
    """Return an address as the place of a stream."""
    return b"%b %d" % (host.encode("ascii"), port)


def address_of_stream(place: bytes) -> tuple[str, int]:
    """Return what ``stream_place`` was given."""
    host, _, port = place.partition(b" ")
    return host.decode("ascii"), int(port)
