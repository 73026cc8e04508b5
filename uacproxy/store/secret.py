"""A secret made at the first start and kept with the state, so that a restart finds it.

It is on the medium before anybody uses it: what it seals would be lost with it. A medium
that is away is an error, not a reason to make another secret, which would overwrite the
one other instances use.
"""

from __future__ import annotations

import os
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from uacproxy.errors import StoreUnavailable
from uacproxy.store.open import OpenStore

SPACE: Final = "secrets"
FOR_EVER: Final = 253402300799.0  # s of the epoch
WRITTEN_WITHIN: Final = 5.0  # s
_LOOK_EVERY: Final = 0.02  # s


async def find_secret(store: OpenStore, name: bytes, length: int) -> bytes | None:
    """Return the secret that is kept, None where there is none of that length."""
    kept: Deferred[bytes | None] = Deferred()
    store.get(SPACE, name, kept.callback)
    secret = await kept
    return secret if secret is not None and len(secret) == length else None


def put_secret(store: OpenStore, name: bytes, secret: bytes) -> None:
    """Write a secret, also once more where the store may have lost it."""
    store.put(SPACE, name, secret, FOR_EVER)


async def keep_secret(store: OpenStore, name: bytes, length: int, clock: IReactorTime) -> bytes:
    """Return the secret that is kept; where there is none, make one and see it written.

    Two instances that make one at the same instant both use the one that was written
    last, as far as each can tell; whoever needs certainty configures a password.

    Raises:
        StoreUnavailable: the store cannot be read now, or did not take the secret.
    """
    secret = await find_secret(store, name, length)
    if secret is not None:
        return secret
    if not store.is_connected:
        raise StoreUnavailable(
            f"cannot tell whether {name.decode()} was made: the store is away;"
            " with [uac] restore_passwd the service starts without it"
        )
    made = os.urandom(length)
    put_secret(store, name, made)
    waited = 0.0
    while store.unwritten:
        if waited >= WRITTEN_WITHIN:
            raise StoreUnavailable(f"{name.decode()} could not be written to the store")
        await deferLater(clock, _LOOK_EVERY, lambda: None)
        waited += _LOOK_EVERY
    return await find_secret(store, name, length) or made
