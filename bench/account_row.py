"""The accounts of measurements, as rows of the table ``uacreg``."""

from __future__ import annotations

PASSWORD = "s3cret01"


def account_row(number: int, registrar: tuple[str, int], expires: int) -> dict[str, object]:
    """Return the row of one account.

    Args:
        number: of the account.
        registrar: where it registers.
        expires: s.
    """
    return {
        "l_uuid": f"acc{number:06d}",
        "l_username": f"user{number:06d}",
        "l_domain": "pbx.example",
        "r_username": f"49301{number:06d}",
        "r_domain": "provider.example.net",
        "realm": "provider.example.net",
        "auth_username": f"49301{number:06d}",
        "auth_password": PASSWORD,
        "auth_ha1": "",
        "auth_proxy": f"sip:{registrar[0]}:{registrar[1]}",
        "expires": expires,
        "flags": 0,
        "reg_delay": 0,
        "contact_addr": "",
        "socket": "",
    }
