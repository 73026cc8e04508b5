"""The manhole: a Python prompt inside the running service, over SSH, for keys on a list.

Whoever gets in may do all that the service may. So it is off unless an endpoint is
configured, knows no passwords, and refuses to start where the list of keys is
missing, empty, not understood or writable by others. The list is read again at each
login: a key taken off it is out at once.
"""

# mypy: allow-untyped-calls
# (conch has no annotations)

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)
from twisted.conch.checkers import IAuthorizedKeysDB, SSHPublicKeyChecker
from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.interfaces import IConchUser, ISession
from twisted.conch.manhole import ColoredManhole
from twisted.conch.manhole_ssh import ConchFactory, TerminalRealm, TerminalSession
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHServerTransport
from twisted.cred.portal import Portal
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from zope.interface import implementer

from uacproxy.errors import ConfigError

SECTION: Final = "management"
KEYS: Final = "manhole_keys"
HOST_KEY: Final = "manhole_host_key"
PRIVATE: Final = 0o600
USER_ALGORITHMS: Final = (
    b"ssh-ed25519",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
    b"rsa-sha2-512",
    b"rsa-sha2-256",
)

_log = Logger()


def manhole_factory(
    authorized_keys_path: str, host_key_path: str, namespace: Mapping[str, object]
) -> IProtocolFactory:
    """Return the SSH server's factory; the host key is made where there is none yet.

    Args:
        authorized_keys_path: public keys in OpenSSH's format, one a line, no options
            before the key. Any user name goes with any of them.
        host_key_path: an ed25519 key of mode 600; made at the first start.
        namespace: names at the prompt; each session has its own copy.

    Raises:
        ConfigError: naming ``manhole_keys`` or ``manhole_host_key``.
    """
    read_authorized_keys(authorized_keys_path)  # a bad list is told now, not at a login
    host_key = read_or_make_host_key(host_key_path)
    realm: Any = TerminalRealm()
    realm.sessionFactory = _Session
    realm.chainedProtocolFactory = partial(ServerProtocol, ColoredManhole, dict(namespace))
    portal = Portal(realm, [SSHPublicKeyChecker(_AuthorizedKeys(authorized_keys_path))])
    factory: Any = ConchFactory(portal)
    factory.protocol = _Transport
    factory.noisy = False
    factory.publicKeys = {host_key.sshType(): host_key.public()}
    factory.privateKeys = {host_key.sshType(): host_key}
    return cast(IProtocolFactory, factory)


def read_authorized_keys(path: str) -> list[Key]:
    """Return the keys of the list; ConfigError: unreadable, empty, or a line not understood."""
    try:
        with open(path, "rb") as lines:
            if os.fstat(lines.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise _wrong(KEYS, f"{path} may be written by others: chmod go-w")
            keys = [
                _parse_key(line.strip(), f"{path}:{number}")
                for number, line in enumerate(lines, 1)
                if line.strip() and not line.lstrip().startswith(b"#")
            ]
    except OSError as error:
        raise _wrong(KEYS, f"cannot read {path}: {error.strerror}") from error
    if not keys:
        raise _wrong(KEYS, f"{path} has no key")
    return keys


def read_or_make_host_key(path: str) -> Key:
    """Return the private key in ``path``, made there first (mode 600) where it is missing."""
    try:
        if not os.path.exists(path):
            _make_host_key(path)
        with open(path, "rb") as key_file:
            if os.fstat(key_file.fileno()).st_mode & 0o077:
                raise _wrong(HOST_KEY, f"{path} is open to others: chmod 600")
            return Key(load_ssh_private_key(key_file.read(), password=None))
    except OSError as error:
        raise _wrong(HOST_KEY, f"cannot use {path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _wrong(HOST_KEY, f"{path} holds no private key without passphrase") from error


def _make_host_key(path: str) -> None:
    key = Ed25519PrivateKey.generate()
    octets = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    unfinished = f"{path}.{os.getpid()}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(descriptor, "wb") as key_file:
        key_file.write(octets)
    os.rename(unfinished, path)  # a crash leaves no half key


def _parse_key(line: bytes, where: str) -> Key:
    try:
        key = load_ssh_public_key(line)
    except (ValueError, UnsupportedAlgorithm) as error:
        why = f"{where}: not a public key (options before the key are not understood)"
        raise _wrong(KEYS, why) from error
    if not isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey):
        raise _wrong(KEYS, f"{where}: keys are ed25519, ecdsa or rsa")
    return Key(key)


def _wrong(key: str, why: str) -> ConfigError:
    return ConfigError(why, section=SECTION, key=key)


class _Transport(SSHServerTransport):
    """Tells clients which keys may log in (RFC 8308 3.1).

    Conch names the algorithms of its host key there, so that a client with an rsa key
    believes it need not try.
    """

    def sendExtInfo(self, extensions: list[tuple[bytes, bytes]]) -> None:  # noqa: N802
        accepted = {b"server-sig-algs": b",".join(USER_ALGORITHMS)}
        super().sendExtInfo([(name, accepted.get(name, value)) for name, value in extensions])


@implementer(IAuthorizedKeysDB)
class _AuthorizedKeys:
    def __init__(self, path: str) -> None:
        self._path = path

    def getAuthorizedKeys(self, avatarId: bytes) -> Iterable[Key]:  # noqa: N802, N803
        try:
            return read_authorized_keys(self._path)
        except ConfigError as error:
            _log.warn("nobody may log in at the manhole: {error}", error=error)
            return []


@implementer(ISession)
class _Session(TerminalSession):
    """A prompt, with or without a terminal at the other end; commands are not run."""

    height, width = 24, 80  # where the client asks for no terminal
    _terminal: Any = None  # a ServerProtocol, once the prompt is open

    def openShell(self, proto: Any) -> None:  # noqa: N802
        self._terminal = self.chainedProtocolFactory()
        user = IConchUser(self.original)
        self.transportFactory(proto, self._terminal, user, self.width, self.height)

    def execCommand(self, proto: Any, cmd: bytes) -> None:  # noqa: N802
        proto.errReceived(b"The manhole is a prompt: log in without a command.\r\n")
        proto.loseConnection()

    def windowChanged(self, newWindowSize: tuple[int, ...]) -> None:  # noqa: N802, N803
        self.height, self.width = newWindowSize[:2]
        if self._terminal is not None and self._terminal.terminalProtocol is not None:
            self._terminal.terminalProtocol.terminalSize(self.width, self.height)

    def eofReceived(self) -> None:  # noqa: N802
        if self._terminal is not None:
            self._terminal.loseConnection()
