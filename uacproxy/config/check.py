"""``uacproxy-check FILE``: everything that is wrong with a configuration, before it is run.

Reading finds what is wrong with one key; ``CHECKS`` find what is wrong between them.
The service starts through ``load`` as well, so both see the same errors.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address

from uacproxy.config.ini import ConfigErrors, read_config
from uacproxy.config.schema import RULE_PREFIX, SECTIONS, Config
from uacproxy.config.script import check_script
from uacproxy.config.values import keys_of, value_text
from uacproxy.errors import ConfigError
from uacproxy.routing.settings import RuleSettings
from uacproxy.settings import ListenAddress

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h

Check = Callable[[Config], list[ConfigError]]


def check_listen(config: Config) -> list[ConfigError]:
    """There is something to listen on, once each."""
    listen = config.sip.listen
    errors = []
    if not listen:
        errors.append(config.error("sip", "listen", "at least one udp:HOST:PORT or tcp:HOST:PORT"))
    twice = {address for address in listen if listen.count(address) > 1 and address.port}
    errors += [
        config.error("sip", "listen", f"{address} stands there twice") for address in sorted(twice)
    ]
    return errors


def check_default_socket(config: Config) -> list[ConfigError]:
    """The socket that requests of our own leave from is one we listen on."""
    wanted = config.uac.default_socket
    if wanted is None or not config.was_read("sip", "listen"):
        return []
    if any(_is_same_socket(wanted, listening) for listening in config.sip.listen):
        return []
    there = " ".join(str(listening) for listening in config.sip.listen)
    why = f"{wanted} is none of [sip] listen, which has {there or 'none'}"
    return [config.error("uac", "default_socket", why)]


def _is_same_socket(one: ListenAddress, other: ListenAddress) -> bool:
    if (one.transport, one.port) != (other.transport, other.port):
        return False
    return ip_address(one.host) == ip_address(other.host)


def check_restore(config: Config) -> list[ConfigError]:
    """Identities that are to be restored have a parameter to travel in."""
    uac = config.uac
    if uac.restore_mode == "none":
        return []
    why = f"may not be empty while restore_mode is {uac.restore_mode}"
    errors = [
        config.error("uac", key, why)
        for key in ("rr_from_store_param", "rr_to_store_param")
        if not getattr(uac, key)
    ]
    if uac.rr_from_store_param and uac.rr_from_store_param == uac.rr_to_store_param:
        errors.append(
            config.error("uac", "rr_to_store_param", "has to differ from rr_from_store_param")
        )
    return errors


def check_auth_variables(config: Config) -> list[ConfigError]:
    """The three ``auth_*_avp`` are set together."""
    keys = ("auth_realm_avp", "auth_username_avp", "auth_password_avp")
    missing = [key for key in keys if not getattr(config.uac, key)]
    if len(missing) in (0, len(keys)):
        return []
    given = next(key for key in keys if key not in missing)
    return [
        config.error("uac", key, f"has to be set as well, because {given} is") for key in missing
    ]


def check_registration(config: Config) -> list[ConfigError]:
    """Accounts that register have a Contact to register; who tells of them is there."""
    if config.uac.reg_db_url and not config.uac.reg_contact_addr:
        return [config.error("uac", "reg_contact_addr", "has to be set, because reg_db_url is")]
    notify = config.uac.reg_notify
    why = ""
    if notify is not None and not config.uac.reg_db_url:
        why = "[uac] reg_db_url has to be set"
    elif notify is not None and notify.kind == "postgresql":
        if not config.uac.reg_db_url.startswith("postgres"):
            why = "[uac] reg_db_url has to name a PostgreSQL"
    elif notify is not None and not config.store.url.startswith("redis://"):
        why = "[store] url has to name a Redis"
    return [config.error("uac", "reg_notify", f"is {notify}, so {why}")] if why else []


def check_registrar(config: Config) -> list[ConfigError]:
    """Local users can be authenticated where they are to be, and the times are in order."""
    registrar = config.registrar
    errors = []
    if registrar.authenticate and not registrar.subscriber_db_url:
        errors.append(
            config.error(
                "registrar", "subscriber_db_url", "has to be set, because authenticate is yes"
            )
        )
    if registrar.authenticate and not registrar.realm and not config.sip.domains:
        errors.append(
            config.error(
                "registrar", "realm", "has to be set while authenticate is yes and [sip] domains "
                "is empty",
            )
        )  # fmt: skip
    if registrar.min_expires > registrar.max_expires:
        errors.append(config.error("registrar", "min_expires", "is more than max_expires"))
    elif not registrar.min_expires <= registrar.default_expires <= registrar.max_expires:
        errors.append(
            config.error(
                "registrar", "default_expires", "is not between min_expires and max_expires"
            )
        )
    return errors


def check_rules(config: Config) -> list[ConfigError]:
    """Each rule has one outcome and credentials that exist; no rule is dead."""
    errors = []
    if config.routing.script and config.rules:
        errors.append(
            config.error(
                "routing",
                "script",
                "decides alone, so no [rule:NAME] would ever be asked: leave it empty, or take "
                "the rules out",
            )
        )
    for rule in config.rules:
        errors += _check_outcome(config, rule)
        errors += _check_rule_auth(config, rule)
    return errors


def _check_outcome(config: Config, rule: RuleSettings) -> list[ConfigError]:
    section = RULE_PREFIX + rule.name
    if not all(config.was_read(section, key) for key in ("relay", "bridge", "reply", "drop")):
        return []
    outcomes = {
        "relay": rule.relay is not None,
        "bridge": rule.bridge is not None,
        "reply": rule.reply is not None,
        "drop": rule.drop,
    }
    chosen = [key for key, given in outcomes.items() if given]
    if not chosen:
        return [config.error(section, "", "needs one of relay, bridge, reply, drop")]
    errors = [
        config.error(section, key, f"{chosen[0]} is there already; a rule has one outcome")
        for key in chosen[1:]
    ]
    if chosen in (["relay"], ["bridge"]):
        return errors
    useless = {
        "replace_from": rule.replace_from is not None,
        "replace_to": rule.replace_to is not None,
        "auth": rule.auth is not None,
    }
    return errors + [
        config.error(section, key, "does nothing without relay or bridge")
        for key, given in useless.items()
        if given and rule.relay is None and rule.bridge is None
    ]


def _check_rule_auth(config: Config, rule: RuleSettings) -> list[ConfigError]:
    section = RULE_PREFIX + rule.name
    if rule.auth is None:
        return []
    if rule.auth.source == "account":
        if config.uac.reg_db_url or not config.was_read("uac", "reg_db_url"):
            return []
        return [config.error(section, "auth", "there are no accounts: [uac] reg_db_url is empty")]
    if not config.was_read("uac", "credential"):
        return []
    users = sorted({credential.user for credential in config.uac.credential})
    if rule.auth.source == "realm" and not users:
        return [config.error(section, "auth", "there is no [uac] credential to answer with")]
    if rule.auth.source == "user" and rule.auth.name not in users:
        there = f"there are {', '.join(users)}" if users else "there is none at all"
        why = f"no [uac] credential of user {rule.auth.name}; {there}"
        return [config.error(section, "auth", why)]
    return []


def check_manhole(config: Config) -> list[ConfigError]:
    """A manhole has keys that open it."""
    if config.management.manhole and not config.management.manhole_keys:
        return [config.error("management", "manhole_keys", "has to be set, because manhole is")]
    return []


def check_workers(config: Config) -> list[ConfigError]:
    """What several workers cannot share is not asked for."""
    if config.sip.workers == 1:
        return []
    errors = []
    many = f"[sip] workers is {config.sip.workers}"
    if config.store.url == "memory:":
        why = (
            f"is the memory of one process, and {many}: use sqlite:///FILE or redis://HOST:PORT/DB"
        )
        errors.append(config.error("store", "url", why))
    if config.management.manhole:
        why = f"opens into one process, and {many}: leave it empty"
        errors.append(config.error("management", "manhole", why))
    return errors


def check_files(config: Config) -> list[ConfigError]:
    """Files that the service only reads are there."""
    resolved = config.resolved()
    wanted = [
        ("routing", "script", resolved.routing.script),
        ("management", "manhole_keys", resolved.management.manhole_keys),
        ("tls", "cert", resolved.tls.cert),
        ("tls", "key", resolved.tls.key),
        ("tls", "ca", resolved.tls.ca),
    ]
    return [
        config.error(section, key, f"cannot read {path}")
        for section, key, path in wanted
        if path and not (os.path.isfile(path) and os.access(path, os.R_OK))
    ]


def check_not_yet(config: Config) -> list[ConfigError]:
    """What this version cannot do is refused, not silently left undone."""
    why = "not available in this version; leave it out"
    later = {"tls": ("cert", "key", "ca")}
    return [
        config.error(section, key, why)
        for section, keys in later.items()
        for key in keys
        if getattr(getattr(config, section), key)
    ]


CHECKS: tuple[Check, ...] = (
    check_not_yet,
    check_listen,
    check_default_socket,
    check_restore,
    check_auth_variables,
    check_registration,
    check_registrar,
    check_rules,
    check_manhole,
    check_workers,
    check_files,
    check_script,
)


def load(path: str, checks: Sequence[Check] = CHECKS) -> Config:
    """Read an ini file and look at it as a whole.

    Args:
        path: the ini file.
        checks: asked in this order, even when reading found errors; what they say of a key
            that could not be read is left out.

    Raises:
        ConfigErrors: with every error of both.
    """
    errors: list[ConfigError] = []
    try:
        config = read_config(path)
    except ConfigErrors as found:
        if found.config is None:
            raise
        config, errors = found.config, found.errors
    for check in checks:
        errors += [error for error in check(config) if config.was_read(error.section, error.key)]
    if errors:
        raise ConfigErrors(errors, config)
    return config


def warnings(config: Config) -> Iterator[str]:
    """Yield what works as configured and may still not be what the operator wants."""
    uac = config.uac
    if uac.restore_codec == "kamailio" and uac.restore_mode != "none" and not uac.restore_passwd:
        yield (
            "[uac] restore_passwd is empty: with restore_codec = kamailio whoever sees a"
            " Record-Route can compute the hidden identity"
        )
    open_to_all = [each for each in config.sip.listen if not each.host.startswith(("127.", "::1"))]
    if open_to_all and not config.registrar.authenticate:
        yield "[registrar] authenticate is no: anybody may register as any local user"
    if not config.routing.script and not config.rules:
        yield "neither [routing] script nor a rule: every request is answered 404"


def summary(config: Config) -> Iterator[str]:
    """Yield a line for each section that differs from its defaults, passwords masked."""
    sections = [(name, getattr(config, name)) for name in SECTIONS]
    sections += [(RULE_PREFIX + rule.name, rule) for rule in config.rules]
    for name, settings in sections:
        changed = [
            f"{key.word} = {value_text(key, value)}".rstrip()
            for key in keys_of(type(settings)).values()
            if (value := getattr(settings, key.attribute)) != key.default
        ]
        if changed:
            yield f"[{name}] {' | '.join(changed)}"


def main(argv: Sequence[str] | None = None, checks: Sequence[Check] = CHECKS) -> int:
    """Run ``uacproxy-check``; return 0, or 78 when something is wrong."""
    parser = argparse.ArgumentParser(
        prog="uacproxy-check",
        description="Read a configuration and tell everything that is wrong with it.",
        epilog="Exit status: 0 all is well, 78 errors, 2 wrong usage.",
    )
    parser.add_argument("file", metavar="FILE", help="the ini file")
    path: str = parser.parse_args(argv).file
    try:
        config = load(path, checks)
    except ConfigErrors as found:
        for error in found.errors:
            print(error, file=sys.stderr)
        return EXIT_CONFIG
    for line in summary(config):
        print(line)
    for warning in warnings(config):
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{path}: no errors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
