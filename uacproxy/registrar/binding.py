"""One binding: a contact of an address of record, until it expires (RFC 3261 10.2.1)."""

from __future__ import annotations

from typing import Final, final

from uacproxy.ports import Target
from uacproxy.sip.grammar import unescape
from uacproxy.sip.uri import Uri

DEFAULT_Q: Final = 1.0


@final
class Binding:
    """Never changed: a REGISTER that touches it puts another one in its place."""

    __slots__ = (
        "behind_nat",
        "call_id",
        "contact",
        "cseq",
        "expires_at_utc",
        "instance",
        "params",
        "path",
        "q",
        "received",
        "reg_id",
    )

    def __init__(
        self,
        *,
        contact: bytes,
        params: bytes,
        expires_at_utc: float,
        q: float,
        call_id: bytes,
        cseq: int,
        received: Target,
        behind_nat: bool,
        path: list[bytes],
        instance: bytes,
        reg_id: int,
    ) -> None:
        self.contact = contact  # the URI as registered, no brackets
        self.params = params  # ";name=value" of the Contact, all but expires, as registered
        self.expires_at_utc = expires_at_utc  # s of the epoch
        self.q = q  # 0 to 1
        self.call_id = call_id  # of the REGISTER that came last, with its CSeq number
        self.cseq = cseq
        self.received = received  # where that REGISTER came from
        self.behind_nat = behind_nat  # the contact is an address its owner alone believes in
        self.path = path  # route to the user agent, as its Path fields say (RFC 3327)
        self.instance = instance  # +sip.instance, b"" when absent
        self.reg_id = reg_id  # RFC 5626, 0 when absent

    @property
    def target(self) -> Target | None:
        """Return where requests have to go in place of the contact's own host, if anywhere."""
        return self.received if self.behind_nat and not self.path else None

    def seconds_left(self, now_utc: float) -> int:
        """Return the whole seconds until it expires, at least 1 while it has not."""
        left = self.expires_at_utc - now_utc
        return 0 if left <= 0 else max(1, round(left))


def canonical_aor(uri: Uri) -> bytes:
    """Return the index of a SIP address of record: ``user@host`` (RFC 3261 10.3 step 5).

    Escapes are undone, so ``%00`` is an octet like any other; the host is in lower case;
    scheme, port, password and parameters do not count.
    """
    return unescape(uri.user) + b"@" + uri.host
