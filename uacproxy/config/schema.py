"""Which section of the ini file fills which settings, and all of them together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from uacproxy.bridge.settings import BridgeSettings
from uacproxy.config.log_settings import LogSettings
from uacproxy.config.tls_settings import TlsSettings
from uacproxy.config.values import keys_of
from uacproxy.dialog.settings import DialogSettings
from uacproxy.errors import ConfigError
from uacproxy.manage.settings import ManagementSettings
from uacproxy.proxy.settings import SipSettings
from uacproxy.registrar.settings import RegistrarSettings
from uacproxy.resolve.settings import DnsSettings
from uacproxy.routing.settings import RoutingSettings, RuleSettings
from uacproxy.sip.limits import LimitSettings
from uacproxy.store.instance_settings import InstanceSettings
from uacproxy.store.settings import StoreSettings
from uacproxy.uac.settings import UacSettings

SECTIONS: dict[str, type[Any]] = {
    "sip": SipSettings,
    "store": StoreSettings,
    "instances": InstanceSettings,
    "uac": UacSettings,
    "dialog": DialogSettings,
    "bridge": BridgeSettings,
    "registrar": RegistrarSettings,
    "routing": RoutingSettings,
    "tls": TlsSettings,
    "dns": DnsSettings,
    "limits": LimitSettings,
    "log": LogSettings,
    "management": ManagementSettings,
}
RULE_PREFIX = "rule:"

_FILE_IN_URL = re.compile(r"(sqlite(?:\+[a-z0-9_]+)?:///)([^?]+)(.*)", re.DOTALL)
_FILE_IN_ENDPOINT = re.compile(r"(unix:(?:address=)?)((?:\\.|[^:\\])+)(.*)", re.DOTALL)

Place = tuple[str, str]
"""Section and key; an empty key is the section itself."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of the service; ``Config()`` has every default."""

    sip: SipSettings = field(default_factory=SipSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    instances: InstanceSettings = field(default_factory=InstanceSettings)
    uac: UacSettings = field(default_factory=UacSettings)
    dialog: DialogSettings = field(default_factory=DialogSettings)
    bridge: BridgeSettings = field(default_factory=BridgeSettings)
    registrar: RegistrarSettings = field(default_factory=RegistrarSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    rules: tuple[RuleSettings, ...] = ()  # in the order of the file
    tls: TlsSettings = field(default_factory=TlsSettings)
    dns: DnsSettings = field(default_factory=DnsSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    log: LogSettings = field(default_factory=LogSettings)
    management: ManagementSettings = field(default_factory=ManagementSettings)
    file: str = ""  # the ini file as it was named; "" where there is none
    lines: Mapping[Place, int] = field(default_factory=dict, repr=False, compare=False)
    unread: frozenset[Place] = field(default=frozenset(), repr=False, compare=False)

    def resolved(self) -> Config:
        """Return these settings with every file name in them absolute.

        What the service only reads stands beside the ini file; what it makes and writes
        starts at the working directory, because the ini file's may be write-protected. Do
        it once, before anything changes directory.
        """
        beside = os.path.dirname(os.path.abspath(self.file)) if self.file else os.getcwd()
        changed = {}
        for name, section in SECTIONS.items():
            settings = getattr(self, name)
            named = {
                key.attribute: _absolute(
                    key.noted.names,
                    getattr(settings, key.attribute),
                    beside if key.noted.names == "file" else os.getcwd(),
                )
                for key in keys_of(section).values()
                if key.noted.names
            }
            if named:
                changed[name] = replace(settings, **named)
        return replace(self, **changed, file=os.path.abspath(self.file) if self.file else "")

    def error(self, section: str, key: str, why: str) -> ConfigError:
        """Make an error that names the line of the key, or of its section where it is absent."""
        line = self.lines.get((section, key)) or self.lines.get((section, ""))
        where = f"{self.file}:{line}" if line else self.file
        return ConfigError(why, section=section, key=key, where=where)

    def was_read(self, section: str, key: str) -> bool:
        """Tell whether the key was absent or fine, so that its value can be reasoned with."""
        return (section, key) not in self.unread


def _absolute(names: str, text: str, start: str) -> str:
    """Return the text with the file it names, if any, made absolute."""
    if not text:
        return text
    if names in ("file", "made"):
        return os.path.join(start, text)
    if names == "url":
        matched = _FILE_IN_URL.fullmatch(text)
        if matched is None or matched[2].startswith((":memory:", "file:")):
            return text
        return matched[1] + os.path.join(start, matched[2]) + matched[3]
    matched = _FILE_IN_ENDPOINT.fullmatch(text)
    if matched is None or matched[2].startswith("/"):
        return text
    quoted = re.sub(r"([\\:=])", r"\\\1", os.path.join(start, ""))
    return matched[1] + quoted + matched[2] + matched[3]
