"""What an account keeps between two REGISTER exchanges.

Call-ID and CSeq go on over all of them (RFC 3261 10.2.4). Beside them stands what the
registrar taught: nonces, the shortest interval, the target that answered, a Service-Route
(RFC 3608), our address as it sees it, and that it knows no RFC 5626. There may be
very many accounts, so this is as small as it can be: what many share is shared.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from uacproxy.ports import Target
from uacproxy.sip.digest import read_challenges
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.usual_register import UsualRegister

PEER: Final = b""  # a book of nonces for each account knows one peer
MOST_NONCES: Final = 2  # a proxy's and a registrar's
LONGEST_CHALLENGE: Final = 1024  # octets; a longer one is not kept

MOST_MOVES: Final = 3  # changes of our public address followed within ``MOVES_SPAN``
MOVES_SPAN: Final = 3600.0  # s

# A process that was killed sent requests nobody noted: not more than these before the
# note was written, and so many a second while the store could not be reached.
UNNOTED_REQUESTS: Final = 100
REQUESTS_PER_SECOND: Final = 10
UNNOTED_USES: Final = 8  # of a nonce


class KeptNonce(NamedTuple):
    """A challenge whose nonce may serve the next request."""

    name: bytes  # AUTHORIZATION or PROXY_AUTHORIZATION
    challenge: bytes  # as the server sent it
    nc: int  # uses so far


@final
class RegisterSeries:
    """All REGISTER requests of one account, seen from between two of them."""

    __slots__ = (
        "call_id",
        "cseq",
        "from_tag",
        "is_plain",
        "min_expires",
        "moved_at",
        "moves",
        "nonces",
        "old_contact",
        "public",
        "service_route",
        "target",
        "usual",
    )

    def __init__(self) -> None:
        self.call_id = b""  # b"": the next request begins a new call
        self.from_tag = b""
        self.cseq = 0  # of the last request
        self.min_expires = 0  # s, learnt from a 423
        self.nonces: tuple[KeptNonce, ...] = ()
        self.target: Target | None = None  # answered last
        self.service_route: tuple[bytes, ...] = ()
        self.public = b""  # HOST:PORT the registrar sees us at; b"": as configured
        self.old_contact = b""  # URI of a Contact to be taken back with the next request
        self.moves = 0  # of ``public``, within the span
        self.moved_at = 0.0  # s on the clock's time
        self.is_plain = False  # a hop said 439: no reg-id, no instance
        self.usual: UsualRegister | None = None  # what the next is like, if it is as the last was

    def move(self, public: bytes, now: float) -> bool:
        """Take another public address, unless it changes too often to be followed."""
        if public == self.public:
            return False
        if now - self.moved_at > MOVES_SPAN:
            self.moves = 0
        if self.moves >= MOST_MOVES:
            return False
        self.moves += 1
        self.moved_at = now
        self.public = public
        return True

    def resume(self, elapsed: float) -> None:
        """Go on after a restart, ``elapsed`` s after this was noted.

        What was sent in between is not known, and a registrar takes no lower CSeq with the
        same Call-ID (10.3 step 7), nor a nonce count twice.
        """
        self.cseq += UNNOTED_REQUESTS + REQUESTS_PER_SECOND * int(max(0.0, elapsed))
        self.nonces = tuple(
            [KeptNonce(kept.name, kept.challenge, kept.nc + UNNOTED_USES) for kept in self.nonces]
        )

    # -- nonces --------------------------------------------------------------------------

    def nonce_book(self, username: bytes) -> NonceBook:
        """Return the nonces as a book for one exchange."""
        book = NonceBook(1)
        for kept in self.nonces:
            for challenge in read_challenges(kept.challenge)[:1]:
                book.remember(username, PEER, kept.name, challenge, nc=kept.nc)
        return book

    def keep_nonces(self, username: bytes, book: NonceBook) -> None:
        """Keep what a book holds after an exchange, the newest first to be kept."""
        kept: list[KeptNonce] = []
        before = [one.challenge for one in self.nonces]
        for known in book.known(username, PEER)[-MOST_NONCES:]:
            raw = known.challenge.raw
            encoded = raw if raw in before else known.challenge.encode()
            if len(encoded) <= LONGEST_CHALLENGE:
                kept.append(KeptNonce(known.name, encoded, known.nc))
        self.nonces = tuple(kept)
