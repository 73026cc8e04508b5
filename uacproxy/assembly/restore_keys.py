"""The keys that seal what has to come back to us: from ``restore_passwd``, or made and kept."""

from __future__ import annotations

from typing import Any, Final, final

from uacproxy.sip.grammar import octets_of
from uacproxy.store.open import OpenStore
from uacproxy.store.secret import find_secret, keep_secret, put_secret
from uacproxy.uac.restore_key import KEY_LENGTH, derive_key
from uacproxy.uac.rr_param import KamailioCodec, RestoreCodec, SealedCodec
from uacproxy.uac.settings import UacSettings

RESTORE_KEY: Final = b"restore_key"


@final
class RestoreKeys:
    """Loaded once the store is open; a key that was made is written again where it got lost."""

    def __init__(self, settings: UacSettings, reactor: Any) -> None:
        self._settings = settings
        self._reactor = reactor
        self._made = b""  # the key in use, where no password is set

    async def load(self, store: OpenStore) -> list[bytes]:
        """Return the keys; the first seals, all open."""
        settings = self._settings
        if not settings.restore_passwd:
            self._made = await keep_secret(store, RESTORE_KEY, KEY_LENGTH, self._reactor)
            keys = [self._made]
        else:
            keys = [derive_key(settings.restore_passwd)]
            made = await find_secret(store, RESTORE_KEY, KEY_LENGTH)
            if made is not None:
                keys.append(made)  # sealed before there was a password
        if settings.restore_passwd_previous:
            keys.append(derive_key(settings.restore_passwd_previous))
        return keys

    def write_again(self, store: OpenStore) -> None:
        """Write the key that was made, if one was, to a store that may have lost it."""
        if self._made:
            put_secret(store, RESTORE_KEY, self._made)


def restore_codec(settings: UacSettings, keys: list[bytes]) -> RestoreCodec:
    """Return what writes From and To into our Record-Route, as ``restore_codec`` says."""
    from_param = octets_of(settings.rr_from_store_param)
    to_param = octets_of(settings.rr_to_store_param)
    if settings.restore_codec == "kamailio":
        return KamailioCodec(from_param, to_param, octets_of(settings.restore_passwd))
    return SealedCodec(from_param, to_param, keys)
