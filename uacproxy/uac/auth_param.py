"""Whose credentials answer challenges inside a dialog, as a parameter of our Record-Route.

The provider may challenge any request of a call, hours after its INVITE, to this process
or another. So what answers travels along as ``au``: the account or credential by its
name, never a password. It is encrypted, padded and bound to Call-ID and caller's tag:
neither side learns from it who calls through which account, nor can it be carried into
another dialog.
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import OwnMistake, RestoreFailed
from uacproxy.uac.seal import Seal

PARAM: Final = b"au"  # of our Record-Route URI

MOST_KEPT: Final = 4096  # values remembered; a forgotten one is made or opened again
_BOUND_TO: Final = b"auth"
_BLOCK: Final = 16  # octets; lengths of names are not told more exactly
_BOOT: Final = 4  # octets


@final
class DialogAuth:
    """Whose credentials answer each side; b"" for nobody's. See ``credential_sources``."""

    __slots__ = ("is_of_this_run", "to_callee", "to_caller")

    def __init__(self, to_callee: bytes, to_caller: bytes, is_of_this_run: bool = True) -> None:
        self.to_callee = to_callee  # challenges to requests of the caller
        self.to_caller = to_caller
        self.is_of_this_run = is_of_this_run  # the dialog began in this process


@final
class AuthSeal:
    """Seals who answers; see ``Seal``."""

    __slots__ = ("_boot", "_opened", "_plains", "_reads", "_seal", "_sealed")

    def __init__(self, keys: list[bytes], boot: bytes) -> None:
        """Take the keys and what tells this run of the process from others.

        Args:
            keys: the first seals, all open.
            boot: at least 4 random octets.
        """
        if len(boot) < _BOOT:
            raise OwnMistake("sealing needs a run to name")
        self._seal = Seal(keys)
        self._boot = boot[:_BOOT]
        # of late: an INVITE that is challenged goes out twice, its ACK and BYE come soon
        self._sealed: dict[tuple[bytes, bytes, bytes], bytes] = {}
        self._opened: dict[tuple[bytes, bytes, bytes], DialogAuth] = {}
        self._plains: dict[tuple[bytes, bytes], bytes] = {}
        self._reads: dict[bytes, DialogAuth] = {}

    def seal(self, auth: DialogAuth, call_id: bytes, caller_tag: bytes) -> bytes:
        """Return the value of the parameter."""
        plain = self._plain(auth)
        known = self._sealed.get((plain, call_id, caller_tag))
        if known is not None:
            return known
        value = self._seal.seal(plain, _bound_to(call_id, caller_tag))
        if len(self._sealed) >= MOST_KEPT:
            self._sealed.clear()
        self._sealed[(plain, call_id, caller_tag)] = value
        self._remember((value, call_id, caller_tag), self._read(plain))
        return value

    def _plain(self, auth: DialogAuth) -> bytes:
        """Return what is sealed, which is the same for all calls of an account."""
        of = (auth.to_callee, auth.to_caller)
        plain = self._plains.get(of)
        if plain is None:
            names = [auth.to_callee.replace(b"\0", b""), auth.to_caller.replace(b"\0", b""), b""]
            plain = self._boot + b"\0".join(names)
            plain = plain.ljust(len(plain) + -len(plain) % _BLOCK, b"\0")
            if len(self._plains) >= MOST_KEPT:
                self._plains.clear()
            self._plains[of] = plain
        return plain

    def _read(self, plain: bytes) -> DialogAuth:
        """Return what says so; the same object for all calls of an account.

        Raises:
            RestoreFailed: nothing of ours.
        """
        known = self._reads.get(plain)
        if known is None:
            names = plain[_BOOT:].split(b"\0")
            if len(names) < 3:
                raise RestoreFailed("altered")
            known = DialogAuth(names[0], names[1], plain[:_BOOT] == self._boot)
            if len(self._reads) >= MOST_KEPT:
                self._reads.clear()
            self._reads[plain] = known
        return known

    def open(self, value: bytes, call_id: bytes, caller_tag: bytes) -> DialogAuth:
        """Return what was sealed for this dialog.

        Raises:
            RestoreFailed: not a value of ours, or from another dialog.
        """
        where = (value, call_id, caller_tag)
        known = self._opened.get(where)
        if known is not None:
            return known
        plain = self._seal.open(value, _bound_to(call_id, caller_tag))
        opened = self._read(plain)
        self._remember(where, opened)
        return opened

    def _remember(self, sealed: tuple[bytes, bytes, bytes], opened: DialogAuth) -> None:
        if len(self._opened) >= MOST_KEPT:
            self._opened.clear()
        self._opened[sealed] = opened


def _bound_to(call_id: bytes, caller_tag: bytes) -> list[bytes]:
    return [_BOUND_TO, call_id, caller_tag]
