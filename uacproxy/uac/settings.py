"""The settings of the uac functions: section ``[uac]``.

The keys are the parameters of Kamailio's uac module under their own names, so a
configuration can be carried over line by line; defaults differ only where ours are
safer, and then the text of the key says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, final

from uacproxy.settings import (
    ListenAddress,
    parse_address,
    parse_db_url,
    parse_listen,
    parse_table,
    setting,
)

_AVP = re.compile(r"\$avp\([A-Za-z0-9_:.-]+\)")
_PSEUDO_VARIABLE = re.compile(r"\$[A-Za-z_]+(\([A-Za-z0-9_:.=>-]+\))?")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9\-_.!~*'+%`]+")
_NOTIFY = re.compile(r"(postgresql|redis):([A-Za-z_][A-Za-z0-9_.:-]{0,62})")
_CREDENTIAL = re.compile(r"([^\s:]+)\s*:\s*([^\s:]+)\s*:\s*(\S+)")


class StaticCredential(NamedTuple):
    """One ``credential`` line; the password never shows in a ``repr``."""

    user: str
    realm: str
    password: str

    def __repr__(self) -> str:
        """Return the credential without its password."""
        return f"StaticCredential(user={self.user!r}, realm={self.realm!r})"

    def __str__(self) -> str:
        """Return the credential without its password."""
        return f"{self.user}:{self.realm}:"


def parse_credential(line: str) -> StaticCredential:
    """Parse ``user:realm:password``; the password may hold colons, no white space.

    Raises:
        ValueError: without a word of the line in it.
    """
    matched = _CREDENTIAL.fullmatch(line)
    if matched is None:
        raise ValueError("not of the form user:realm:password, one a line (not shown here)")
    return StaticCredential(matched[1], matched[2], matched[3])


class NoticeChannel(NamedTuple):
    """Where notices of changed accounts come from."""

    kind: str  # "postgresql" or "redis"
    channel: str

    def __str__(self) -> str:
        """Return it as it is written in the ini file."""
        return f"{self.kind}:{self.channel}"


def parse_notify(text: str) -> NoticeChannel:
    """Parse ``postgresql:CHANNEL`` or ``redis:CHANNEL``."""
    matched = _NOTIFY.fullmatch(text)
    if matched is None:
        raise ValueError(f"'{text}' is neither postgresql:CHANNEL nor redis:CHANNEL")
    return NoticeChannel(matched[1], matched[2])


def parse_avp(text: str) -> str:
    """Check that the text is one AVP, ``$avp(name)``."""
    if not _AVP.fullmatch(text):
        raise ValueError(f"'{text}' is not of the form $avp(name)")
    return text


def parse_variable(text: str) -> str:
    """Check that the text is one pseudo-variable a script can write, as ``$avp(name)``."""
    if not _PSEUDO_VARIABLE.fullmatch(text):
        raise ValueError(f"'{text}' is no pseudo-variable such as $avp(name) or $var(name)")
    return text


def parse_uri_parameter(text: str) -> str:
    """Check that the text is empty or can name a URI parameter (RFC 3261 25.1, pname)."""
    if text and not _PARAMETER_NAME.fullmatch(text):
        raise ValueError(f"'{text}' cannot be the name of a URI parameter")
    return text


def parse_contact_address(text: str) -> str:
    """Check ``HOST[:PORT][;parameters]``; the text stays as it is."""
    if text.lower().startswith(("sip:", "sips:")):
        raise ValueError("no scheme here: write HOST[:PORT][;parameters]")
    if "@" in text:
        raise ValueError("no user here: write HOST[:PORT][;parameters]; the user is the l_uuid")
    if re.search(r"[\s<>\"]", text):
        raise ValueError(f"'{text}' holds characters a URI cannot have")
    parse_address(text.partition(";")[0])
    return text


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UacSettings:
    """The parameters of Kamailio's uac module, under their own names."""

    restore_mode: str = setting(
        "auto",
        choices=("none", "manual", "auto"),
        doc="What happens to a replaced From or To later on. `auto`: replies and all later "
        "requests of the dialog are put right. `manual`: replies are, requests by "
        "`restore_from()` and `restore_to()` in the script. `none`: nothing is stored, nothing "
        "restored.",
    )
    restore_codec: str = setting(
        "sealed",
        choices=("sealed", "kamailio"),
        doc="How the identities travel in Record-Route. `sealed`: encrypted and authenticated, "
        "display names included. `kamailio`: the XOR value of the module, for farms that mix "
        "both; it gives the identity away to whoever knows the other half.",
    )
    restore_dlg: bool = setting(
        False,
        doc="Keep the identities of tracked dialogs with the dialog instead of in Record-Route.",
    )
    restore_passwd: str = setting(
        "",
        secret=True,
        doc="Password behind the values in Record-Route. Instances that serve the same dialogs "
        "need the same one.",
    )
    restore_passwd_previous: str = setting(
        "",
        secret=True,
        doc="The password before the last change: what was sealed with it can still be opened, so "
        "calls that are up survive the change. `sealed` only.",
    )
    restore_from_avp: str = setting(
        "",
        parse=parse_avp,
        doc="AVP that receives the From of the request as it came, such as "
        "`$avp(original_from)`; where it holds a value, replies get that one.",
    )
    restore_to_avp: str = setting(
        "",
        parse=parse_avp,
        doc="AVP that receives the To of the request as it came.",
    )
    rr_from_store_param: str = setting(
        "vsf",
        parse=parse_uri_parameter,
        doc="Name of the Record-Route parameter that carries the identity of From.",
    )
    rr_to_store_param: str = setting(
        "vst",
        parse=parse_uri_parameter,
        doc="Name of the Record-Route parameter that carries the identity of To.",
    )
    credential: tuple[StaticCredential, ...] = setting(
        (),
        many="lines",
        parse=parse_credential,
        secret=True,
        doc="`user:realm:password`, one a line; the key may also be repeated. Answers challenges "
        "of exactly this realm; of two lines for one realm the last wins.",
    )
    auth_realm_avp: str = setting(
        "",
        parse=parse_variable,
        doc="Variable the script puts the realm into before `auth()`; while it is empty, any "
        "realm is answered. Set all three `auth_*_avp` or none.",
    )
    auth_username_avp: str = setting(
        "",
        parse=parse_variable,
        doc="Variable the script puts the user name into before `auth()`.",
    )
    auth_password_avp: str = setting(
        "",
        parse=parse_variable,
        doc="Variable the script puts the password into before `auth()`.",
    )
    consume_credentials: bool = setting(
        True,
        doc="Take the client's own credentials for a realm out of a request that we answer for "
        "it in that realm (`consume_credentials()` of Kamailio's auth module), so that the next "
        "hop gets one answer for each realm. `no`: the client's go on beside ours, as with the "
        "module. What is for other realms always goes on.",
    )
    reg_db_url: str = setting(
        "",
        names="url",
        parse=parse_db_url,
        doc="Database with the accounts to register at their providers: `sqlite:///FILE`, "
        "`postgresql://...` or `mysql://...`. Empty: nothing is registered.",
    )
    reg_db_table: str = setting(
        "uacreg",
        parse=parse_table,
        doc="Table of the accounts, with Kamailio's columns.",
    )
    reg_contact_addr: str = setting(
        "",
        parse=parse_contact_address,
        doc="HOST[:PORT][;parameters] of the Contact we register, without `sip:`; the account's "
        "`contact_addr` goes first. Needed where `reg_db_url` is set.",
    )
    reg_timer_interval: int = setting(
        90,
        unit="s",
        low=1,
        high=86400,
        doc="How far ahead REGISTER requests are planned: at each of these beats, what is due "
        "before the next one is put in order and spread, earlier rather than later, so that no "
        "second has more of them than `reg_rate` allows. When an account is due does not depend "
        "on it.",
    )
    reg_refresh_from: int = setting(
        50,
        unit="%",
        low=10,
        high=95,
        doc="A binding is renewed when at least this part of what the registrar granted has "
        "passed, in the second in which the fewest others are.",
    )
    reg_refresh_until: int = setting(
        80,
        unit="%",
        low=10,
        high=95,
        doc="And when at most this part has passed.",
    )
    reg_rate: int = setting(
        1000,
        unit="/s",
        low=0,
        high=100000,
        doc="REGISTER requests a second in all, answers to challenges included, retransmissions "
        "not. Refreshes go first, those nearest to expiry before the others. 0: no limit.",
    )
    reg_rate_per_registrar: int = setting(
        500,
        unit="/s",
        low=0,
        high=100000,
        doc="REGISTER requests a second to one registrar (one `auth_proxy`, or one `r_domain` "
        "where there is none). 0: no limit.",
    )
    reg_slow_start: int = setting(
        10,
        unit="s",
        low=0,
        high=3600,
        doc="A registrar's rate grows from a tenth to all of it in this time, at first and "
        "whenever it has been silent. 0: all of it at once.",
    )
    reg_follow_redirect: bool = setting(
        False,
        doc="Follow a 3xx answer to a REGISTER, once. No: it is a failure like others.",
    )
    reg_learn_address: bool = setting(
        False,
        doc="Put the address the registrar sees us at (`received` and `rport` of its answer) in "
        "place of HOST:PORT of our Contact, and register anew when it changes, at most three "
        "times an hour.",
    )
    reg_outbound: bool = setting(
        False,
        doc="Register by RFC 5626: `reg-id` and `+sip.instance` in the Contact. A registrar whose "
        "proxy answers 439 is asked again without.",
    )
    reg_path: bool = setting(
        False,
        doc="Say `Supported: path`, so that proxies on the way may add themselves (RFC 3327).",
    )
    reg_service_route: bool = setting(
        False,
        doc="Send an account's calls by the Service-Route its registrar gave (RFC 3608).",
    )
    reg_retry_interval: int = setting(
        30,
        unit="s",
        low=0,
        high=86400,
        doc="First pause after a failed registration; it grows with each further failure. 0: the "
        "account is disabled after its first failure, the module's default.",
    )
    reg_keep_callid: bool = setting(
        True,
        doc="Keep Call-ID and count CSeq up over all REGISTER requests of an account, as RFC 3261 "
        "10.2 asks. The module's default is no.",
    )
    reg_random_delay: int = setting(
        0,
        unit="s",
        low=0,
        high=86400,
        doc="The first REGISTER of an account without `reg_delay` of its own waits a random time "
        "below this.",
    )
    reg_active: bool = setting(
        True,
        doc="No: accounts are loaded and can be looked up, but none is registered.",
    )
    reg_release: str = setting(
        "release",
        choices=("release", "keep"),
        doc="What an ordered stop does with the bindings. `release`: each is taken back, for 5 s "
        "at most. `keep`: they stay until they expire, so calls still come for whoever takes "
        "over: another instance, or the next start, which sends nothing for what is still valid.",
    )
    reg_use_domain: bool = setting(
        False,
        doc="Look-ups of accounts by local user compare the domain as well.",
    )
    reload_delta: int = setting(
        30,
        unit="s",
        low=0,
        high=86400,
        doc="Shortest time between two `uac.reg_reload`.",
    )
    reg_poll_interval: int = setting(
        0,
        unit="s",
        low=0,
        high=86400,
        doc="How often the table is read again without being asked to, for changes made by others; "
        "only what has changed is registered anew. 0: never.",
    )
    reg_notify: NoticeChannel | None = setting(
        None,
        parse=parse_notify,
        doc="Who tells of changed accounts, so that they are read again without being asked for: "
        "`postgresql:CHANNEL`, the database of `reg_db_url` by NOTIFY; `redis:CHANNEL`, the Redis "
        "of `[store] url` by PUBLISH. The payload is an `l_uuid`, or empty for all. Empty: nobody.",
    )
    default_socket: ListenAddress | None = setting(
        None,
        parse=parse_listen,
        doc="`udp:ADDRESS:PORT` or `tcp:ADDRESS:PORT`, one of `[sip] listen`, that REGISTER and "
        "requests of our own leave from. Empty: the one that fits the next hop.",
    )
    event_callback: str = setting(
        "",
        doc="Name of a function of the route script to call instead of its "
        '`event_route("uac:reply")`, as `NAME(ctx, "uac:reply")`.',
    )
    reg_gc_interval: int = setting(
        150,
        unit="s",
        low=0,
        high=86400,
        doc="Taken so that a Kamailio configuration can be carried over; a reload here has no old "
        "table to clear away, so it changes nothing.",
    )
    reg_hash_size: int = setting(
        4,
        low=2,
        high=14,
        doc="Taken so that a Kamailio configuration can be carried over; it changes nothing.",
    )
