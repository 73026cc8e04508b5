"""The settings of dialog tracking: section ``[dialog]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from uacproxy.settings import setting


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DialogSettings:
    """How long a tracked dialog is remembered, and whether its CSeq numbers are kept in step."""

    track_cseq: bool = setting(
        True,
        doc="Keep the CSeq numbers of both sides apart after an authentication raised one of "
        "them, for the rest of the dialog (`track_cseq_updates` of Kamailio's dialog module).",
    )
    early_timeout: float = setting(
        300.0,
        unit="s",
        low=1,
        high=86400,
        doc="A dialog that was never answered is forgotten after this.",
    )
    lifetime: float = setting(
        43200.0,
        unit="s",
        low=1,
        high=2592000,
        doc="An answered dialog is forgotten when no request came through it for this long.",
    )
