"""The key that seals identities, from the password in the configuration (RFC 7914).

Instances with the same ``restore_passwd`` open each other's values. Where it is empty
there is no key here: a random one of ``KEY_LENGTH`` octets, kept with the state, serves
one instance as well.
"""

from __future__ import annotations

import hashlib
from typing import Final

from uacproxy.errors import OwnMistake

KEY_LENGTH: Final = 32  # octets
_SALT: Final = b"uacproxy restore_passwd"  # fixed: every instance has to find the same key


def derive_key(restore_passwd: str) -> bytes:
    """Return the key for a password: scrypt, N = 2**14, r = 8, p = 1.

    Takes some 50 ms and 16 MiB on purpose, so a guess costs as much: once, at start.

    Raises:
        OwnMistake: the password is empty.
    """
    if not restore_passwd:
        raise OwnMistake("no password to derive a key from")
    password = restore_passwd.encode("utf-8", "surrogateescape")
    return hashlib.scrypt(password, salt=_SALT, n=1 << 14, r=8, p=1, dklen=KEY_LENGTH)
