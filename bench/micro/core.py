"""Whether the core that is measured is compiled."""

from __future__ import annotations

from uacproxy.sip import message


def kind_of_core() -> str:
    """Return ``compiled`` or ``plain``."""
    return "compiled" if str(message.__file__).endswith(".so") else "plain"
