"""Identities as dialog variables, under the names of Kamailio's uac module.

``_uac_fu`` and ``_uac_funew`` hold the URI of From before and after replacement,
``_uac_fdp`` and ``_uac_fdpnew`` the display names; ``_uac_to``, ``_uac_tonew``, ``_uac_tdp``
and ``_uac_tdpnew`` those of To. Four more of our own hold the heads as they were written,
white space and brackets; they count as long as they agree with the others, which a script
may change.
"""

from __future__ import annotations

from typing import Final

from uacproxy.errors import ParseError
from uacproxy.sip.grammar import octets_of, text
from uacproxy.sip.name_addr import parse_name_addr
from uacproxy.uac.replace import Identities

_FROM_ORIGINAL: Final = ("_uac_fu", "_uac_fdp", "_uac_fhead")
_FROM_SHOWN: Final = ("_uac_funew", "_uac_fdpnew", "_uac_fheadnew")
_TO_ORIGINAL: Final = ("_uac_to", "_uac_tdp", "_uac_thead")
_TO_SHOWN: Final = ("_uac_tonew", "_uac_tdpnew", "_uac_theadnew")


def to_variables(identities: Identities) -> dict[str, str]:
    """Return the variables that say what was replaced and by what."""
    variables: dict[str, str] = {}
    for names, head in (
        (_FROM_ORIGINAL, identities.from_original),
        (_FROM_SHOWN, identities.from_shown),
        (_TO_ORIGINAL, identities.to_original),
        (_TO_SHOWN, identities.to_shown),
    ):
        if head:
            address = parse_name_addr(head)
            variables[names[0]] = text(address.uri)
            variables[names[1]] = text(address.display)
            variables[names[2]] = text(head)
    return variables


def identities_of(variables: dict[str, str]) -> Identities | None:
    """Return the identities of a dialog, None where nothing was replaced or it is unreadable."""
    if "_uac_fu" not in variables and "_uac_to" not in variables:
        return None
    try:
        return Identities(
            _head(variables, _FROM_ORIGINAL),
            _head(variables, _FROM_SHOWN),
            _head(variables, _TO_ORIGINAL),
            _head(variables, _TO_SHOWN),
        )
    except ParseError:
        return None


def _head(variables: dict[str, str], names: tuple[str, str, str]) -> bytes:
    uri = octets_of(variables.get(names[0], ""))
    if not uri:
        return b""
    display = octets_of(variables.get(names[1], ""))
    head = octets_of(variables.get(names[2], ""))
    if head:
        address = parse_name_addr(head)
        if address.uri == uri and address.display == display:
            return head
    composed = display + b" <" + uri + b">" if display else b"<" + uri + b">"
    parse_name_addr(composed)
    return composed
