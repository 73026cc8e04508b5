"""The settings of TLS: section ``[tls]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from uacproxy.settings import setting


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Certificates and keys. They are read, but this version does not speak TLS yet."""

    cert: str = setting(
        "",
        names="file",
        doc="PEM file with our certificate and the chain behind it.",
    )
    key: str = setting(
        "",
        names="file",
        doc="PEM file with the private key of the certificate.",
    )
    ca: str = setting(
        "",
        names="file",
        doc="PEM file with the authorities that peers' certificates are checked against. "
        "Empty: those of the system.",
    )
    verify: bool = setting(
        True,
        doc="Refuse a peer whose certificate does not hold.",
    )
