"""How a feature declares its settings, once: type, default, unit, range and meaning.

Each feature keeps a frozen dataclass made of ``setting()`` fields on its own floor;
the ini reader, the reference page and the checks are all driven by these. What
several features write in the same way (addresses, databases) is parsed here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, field
from typing import Any, Literal, NamedTuple, final

SIP_PORT = 5060

_LISTEN_TRANSPORTS = {"udp": b"UDP", "tcp": b"TCP"}
_LATER_TRANSPORTS = ("tls", "ws", "wss")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*)(\.[A-Za-z0-9_-]+)*\.?")
_DB_URL = re.compile(r"(sqlite|postgresql|postgres|mysql|mariadb)(\+[a-z0-9_]+)?://.+", re.DOTALL)
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")

Many = Literal["", "words", "lines", "folded"]
Names = Literal["", "file", "made", "url", "endpoint"]


@final
@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one key beside its type and default; see ``setting`` for the words."""

    doc: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    parse: Callable[[str], Any] | None
    secret: bool
    key: str
    many: Many
    names: Names


def setting(
    default: Any = None,
    *,
    doc: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    parse: Callable[[str], Any] | None = None,
    secret: bool = False,
    factory: Callable[[], Any] | None = None,
    key: str = "",
    many: Many = "",
    names: Names = "",
) -> Any:
    """Declare one key of an ini section.

    Args:
        default: used when the key is absent; ``factory`` for mutable ones.
        doc: one or two sentences for the reference page, in an operator's words.
        unit: of the number, as printed: ``s``, ``ms``, ``octets``.
        low: smallest value allowed, inclusive; ``high`` the largest.
        choices: the words allowed, compared without case.
        parse: text to value; raises ValueError with the reason. Absent: by the type.
            Never called with an empty text where the default is empty or None.
        secret: never printed by checks, dumps, errors or ``repr``; ``parse`` must keep
            the text out of its ValueError.
        key: the word in the file where it is no Python name, such as ``from``.
        many: ``words``, ``lines``: the value is a tuple, and ``parse`` sees one item at a
            time. A key of ``lines`` may be repeated in the file. ``folded``: one value that
            may run over several lines, which ``parse`` sees joined by spaces.
        names: the text names a ``file`` that is read, and stands beside the ini file where
            its name is relative; or one that is ``made`` by the service, or held by a
            database ``url`` or a Twisted ``endpoint``, and starts at the working directory.
            A ``url`` may hold a password, so ``repr`` leaves it out.
    """
    metadata = {"setting": Setting(doc, unit, low, high, choices, parse, secret, key, many, names)}
    shown = not secret and names != "url"
    if factory is not None:
        return field(default_factory=factory, metadata=metadata, repr=shown)
    return field(default=default, metadata=metadata, repr=shown)


def setting_of(declared: Field[Any]) -> Setting | None:
    """Return what ``setting()`` noted on a dataclass field; None for a field that is no key."""
    noted = declared.metadata.get("setting")
    return noted if isinstance(noted, Setting) else None


class Address(NamedTuple):
    """A host and a port as an operator writes them; port 0 where none was given."""

    host: str  # a name or an address, no brackets
    port: int

    def __str__(self) -> str:
        """Return ``HOST[:PORT]``, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


class ListenAddress(NamedTuple):
    """One socket to listen on; port 0 lets the system choose."""

    transport: bytes  # as in Via: b"UDP", b"TCP"
    host: str  # an IPv4 or IPv6 address, no brackets
    port: int

    def __str__(self) -> str:
        """Return ``udp:HOST:PORT``, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport.decode('ascii').lower()}:{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Parse ``HOST[:PORT]``, IPv6 in brackets.

    Raises:
        ValueError: with the reason, for the operator.
    """
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed:
            raise ValueError(f"no ']' in '{text}'")
        if not is_ip_address(host) or ":" not in host:
            raise ValueError(f"'{host}' is no IPv6 address")
        if rest and not rest.startswith(":"):
            raise ValueError(f"'{rest}' after ']', where :PORT may stand")
        return Address(host, parse_port(rest[1:]) if rest else 0)
    if text.count(":") > 1:
        raise ValueError(f"IPv6 addresses go in brackets: [{text}]")
    host, colon, port = text.partition(":")
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"'{host}' is no host name or address")
    return Address(host, parse_port(port) if colon else 0)


def parse_port(text: str) -> int:
    """Parse a port number, 0 to 65535; raise ValueError with the reason."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError(f"'{text}' is no port (0 to 65535)")
    return int(text)


def parse_listen(word: str) -> ListenAddress:
    """Parse ``udp:HOST[:PORT]`` or ``tcp:HOST[:PORT]``, port 5060 where none is given.

    Raises:
        ValueError: with the reason; transports to come are named as such.
    """
    transport, colon, rest = word.partition(":")
    transport = transport.lower()
    if transport in _LATER_TRANSPORTS:
        raise ValueError(f"{transport}: is not available in this version; use udp: or tcp:")
    if not colon or transport not in _LISTEN_TRANSPORTS:
        raise ValueError(f"'{word}' is not udp:HOST:PORT or tcp:HOST:PORT")
    address = parse_address(rest)
    if not is_ip_address(address.host):
        raise ValueError(
            f"'{address.host}' is no IP address; 0.0.0.0 or [::] means every interface"
        )
    said = rest.rpartition("]")[2] if rest.startswith("[") else rest
    port = address.port if ":" in said else SIP_PORT
    return ListenAddress(_LISTEN_TRANSPORTS[transport], address.host, port)


def parse_host(word: str) -> str:
    """Parse a host name or address without a port, in small letters, no brackets."""
    address = parse_address(word)
    if address.port or word.endswith(":0"):
        raise ValueError(f"'{word}' has a port; write the host alone")
    return address.host.lower()


def is_ip_address(host: str) -> bool:
    """Tell whether ``host`` is an IPv4 or IPv6 address, written without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def parse_db_url(text: str) -> str:
    """Check the scheme of a database URL; a refused one, with its password, is not repeated."""
    if not _DB_URL.fullmatch(text):
        raise ValueError("begins with none of sqlite:///, postgresql://, mysql://")
    return text


def parse_table(text: str) -> str:
    """Check that the text is a plain table name, ``SCHEMA.NAME`` at most."""
    if not _TABLE.fullmatch(text):
        raise ValueError(f"'{text}' is no plain table name")
    return text
