"""Values that travel through others and come back: sealed under AES-SIV (RFC 5297).

What they are bound to has to be the same when they are opened, so that none can be carried
into another dialog or taken for a value of another kind.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import b2a_base64
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from uacproxy.errors import OwnMistake, RestoreFailed
from uacproxy.sip.grammar import ALPHANUM
from uacproxy.uac.restore_key import KEY_LENGTH

_URL_SAFE: Final = ALPHANUM + b"-_"
_TO_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


@final
class Seal:
    """Seals to base64url without padding, which needs no escape in a URI."""

    __slots__ = ("_keys",)

    def __init__(self, keys: list[bytes]) -> None:
        """Take the keys: 32 octets each; the first seals, all open.

        They may be those of ``rr_param.SealedCodec``: neither opens what the other sealed.
        """
        if not keys or any(len(key) != KEY_LENGTH for key in keys):
            raise OwnMistake(f"sealing needs keys of {KEY_LENGTH} octets")
        self._keys: list[AESSIV] = [AESSIV(key) for key in keys]

    def seal(self, plain: bytes, bound_to: list[bytes]) -> bytes:
        """Return the sealed value; ``plain`` is not empty."""
        made = b2a_base64(self._keys[0].encrypt(plain, bound_to), newline=False)
        return made.rstrip(b"=").translate(_TO_URL_SAFE)

    def open(self, value: bytes, bound_to: list[bytes]) -> bytes:
        """Return what was sealed.

        Raises:
            RestoreFailed: not a value of ours, or bound to something else.
        """
        if len(value) % 4 == 1 or value.translate(None, _URL_SAFE):
            raise RestoreFailed("altered")
        sealed = urlsafe_b64decode(value + b"=" * (-len(value) % 4))
        for key in self._keys:
            try:
                return key.decrypt(sealed, bound_to)
            except InvalidTag:
                continue
        raise RestoreFailed("altered")
