"""The routing a configuration names: its route script, or its rules compiled."""

from __future__ import annotations

from uacproxy.config.schema import Config
from uacproxy.errors import ConfigError, ScriptError
from uacproxy.routing.rules import compile_rules
from uacproxy.routing.script import Script, load_script


def read_script(config: Config) -> Script:
    """Load the route script of a configuration, or compile its rules.

    Raises:
        ScriptError: with file and line.
        ConfigError: the file cannot be read, or ``event_callback`` names no function of it.
    """
    path = config.routing.script
    callback = config.uac.event_callback
    if not path and callback:
        why = f"names {callback} of the route script, and there is no [routing] script"
        raise config.error("uac", "event_callback", why)
    if not path:
        return compile_rules(config.rules, config.file)
    try:
        with open(path, encoding="utf-8") as file:
            source = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise config.error("routing", "script", f"cannot read {path}: {error}") from error
    script = load_script(path, source)
    if callback and not script.call_for_event("uac:reply", callback):
        raise config.error("uac", "event_callback", f"{path} has no function {callback}")
    return script


def check_script(config: Config) -> list[ConfigError]:
    """Load the route script as the service would; what it says at once is wrong with it."""
    try:
        read_script(config.resolved())
    except ScriptError as error:
        return [ConfigError(error.why, where=f"{error.file}:{error.line}")]
    except ConfigError as error:
        if error.key == "event_callback":
            return [error]
        return []  # that the file cannot be read is told by the check of all files
    return []
