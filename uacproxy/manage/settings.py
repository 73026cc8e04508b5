"""The settings of the operator's doors: section ``[management]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from twisted.internet import endpoints

from uacproxy.settings import setting

_KINDS = ("unix", "tcp", "tcp6", "systemd")
_server_from_string: Callable[[object, str], object] = endpoints.serverFromString


def parse_endpoint(text: str) -> str:
    """Check a Twisted server endpoint string; the text stays as it is, "" is no endpoint.

    Raises:
        ValueError: with the reason.
    """
    if not text:
        return text
    try:
        if text.partition(":")[0] not in _KINDS:
            raise ValueError
        # No reactor is touched before listen(), so none is needed to read the words.
        _server_from_string(None, text)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(
            f"'{text}' is no Twisted endpoint such as unix:FILE:mode=600 or "
            f"tcp:PORT:interface=127.0.0.1"
        ) from error
    return text


def _parse_http(text: str) -> str:
    raise ValueError("HTTP is not available in this version; leave it empty and use amp")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementSettings:
    """How the running service is asked and told things."""

    amp: str = setting(
        "unix:uacproxy.sock:mode=600",
        names="endpoint",
        parse=parse_endpoint,
        doc="Endpoint of the AMP interface that `uacctl` uses. Whoever can connect can operate "
        "the service, so keep it a UNIX socket or a loopback port. Empty: none.",
    )
    manhole: str = setting(
        "",
        names="endpoint",
        parse=parse_endpoint,
        doc="Endpoint of a Python prompt inside the service over SSH, such as "
        "`tcp:2222:interface=127.0.0.1`; public keys only. Empty: none.",
    )
    manhole_keys: str = setting(
        "",
        names="file",
        doc="`authorized_keys` file with the public keys that may open the manhole.",
    )
    manhole_host_key: str = setting(
        "uacproxy-manhole.key",
        names="made",
        doc="The manhole's own SSH key; made at the first start where the file is missing.",
    )
    http: str = setting(
        "",
        parse=_parse_http,
        doc="Not available in this version; has to stay empty.",
    )
