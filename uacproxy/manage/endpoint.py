"""Twisted endpoint strings: listening on one safely, and finding the client's side of it.

A UNIX socket is all the protection a management door has, so here it is never more
open than asked for (600 where nothing is asked), not even between ``bind`` and
``chmod``, and what a killed service left behind is told from a socket in use.
"""

# mypy: untyped-calls-exclude="twisted"

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from typing import Final, NamedTuple, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory

from uacproxy.errors import ConfigError

SECTION: Final = "management"
PRIVATE: Final = 0o600
WILDCARDS: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


class Description(NamedTuple):
    """An endpoint string taken apart: its kind, then positional and named arguments."""

    kind: str
    arguments: list[str]
    named: dict[str, str]


def parse_description(text: str) -> Description:
    """Take an endpoint string apart at its colons; a backslash takes the next character as it is.

    Raises:
        ValueError: there is no kind before a first colon.
    """
    kind, *words = re.findall(r"((?:[^:\\]|\\.)*)(?::|$)", text)[:-1] or [""]
    if not words:
        raise ValueError(f"{text!r} is no endpoint: write KIND:ARGUMENTS, as in unix:PATH")
    description = Description(kind, [], {})
    for word in words:
        named = re.fullmatch(r"(\w+)=(.*)", word)
        if named is None:
            description.arguments.append(_plain(word))
        else:
            description.named[named[1]] = _plain(named[2])
    return description


def client_description(text: str) -> str:
    """Return the client's endpoint string for a server's; a client's own stays what it is.

    ``unix:PATH:mode=600`` becomes ``unix:path=PATH``, ``tcp:8061:interface=127.0.0.1``
    becomes ``tcp:host=127.0.0.1:port=8061``.

    Raises:
        ValueError: the text is no endpoint string.
    """
    kind, arguments, named = parse_description(text)
    if kind == "unix":
        path = unix_path(text)
        return f"unix:path={quoteStringArgument(path)}"
    if kind in ("tcp", "tcp6") and "host" not in named and len(arguments) < 2:
        port = arguments[0] if arguments else named.get("port", "")
        if not port.isdigit():
            raise ValueError(f"{text!r} names no port")
        host = named.get("interface", "::1" if kind == "tcp6" else "")
        return f"tcp:host={quoteStringArgument(WILDCARDS.get(host, host))}:port={port}"
    return text


def unix_path(text: str) -> str:
    """Return the path of a ``unix:`` endpoint string, of a server or of a client."""
    _, arguments, named = parse_description(text)
    path = arguments[0] if arguments else named.get("path", named.get("address", ""))
    if not path:
        raise ValueError(f"{text!r} names no path")
    return path


async def listen(
    reactor: object, description: str, factory: IProtocolFactory, *, key: str
) -> IListeningPort:
    """Listen at a server's endpoint string.

    A UNIX socket that nobody answers at is replaced. While it is bound the umask of
    the process is tighter for a moment, so what another thread creates right then may
    come out more private than meant, never less.

    Args:
        reactor: what ``serverFromString`` needs of it.
        description: as Twisted has them; ``unix:PATH`` gets ``mode=600``.
        factory: of the server's protocols.
        key: of the ini section ``[management]``, for the error.

    Raises:
        ConfigError: no endpoint string, a socket in use, a path that is no socket, or
            whatever else keeps us from listening.
    """
    try:
        parsed = parse_description(description)
        if parsed.kind != "unix":
            return await _listening(reactor, description, factory)
        mode = int(parsed.named.get("mode", f"{PRIVATE:o}"), 8)
        path = unix_path(description)
        _make_way(path)
        was = os.umask(0o777 & ~mode)
        try:
            # Binds before it returns: nothing else of this thread runs under the umask.
            listening = _listening(reactor, _with_defaults(parsed, description), factory)
        finally:
            os.umask(was)
        return await listening
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error), section=SECTION, key=key) from error
    except CannotListenError as error:
        why = f"cannot listen at {description}: {_reason(error.socketError)}"
        raise ConfigError(why, section=SECTION, key=key) from error
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {description}: {_reason(error)}", section=SECTION, key=key
        ) from error


def _listening(
    reactor: object, description: str, factory: IProtocolFactory
) -> Deferred[IListeningPort]:
    return cast("Deferred[IListeningPort]", serverFromString(reactor, description).listen(factory))


def _with_defaults(parsed: Description, description: str) -> str:
    """Add what the operator left open.

    Twisted's lock file would name the process that holds the socket. After a kill the
    number may belong to another process, in a container even to ourselves, and the start
    would be refused; the probe of ``_make_way`` cannot be mistaken like that.
    """
    defaults = {"mode": f"{PRIVATE:o}", "lockfile": "0"}
    added = [f":{name}={value}" for name, value in defaults.items() if name not in parsed.named]
    return description + "".join(added)


def _make_way(path: str) -> None:
    """Remove a socket that a killed service left; OSError: it is in use, or no socket."""
    try:
        there = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there):
        raise FileExistsError(errno.EEXIST, "the path exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog, too, means that somebody is there
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "a running service answers at this socket")


def _reason(error: object) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _plain(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word)
