"""The routing read again while the service runs: its route script, or the rules of its ini file."""

from __future__ import annotations

from uacproxy.config.check import load
from uacproxy.config.ini import ConfigErrors
from uacproxy.config.schema import Config
from uacproxy.config.script import read_script
from uacproxy.errors import ConfigError, ScriptError
from uacproxy.routing.rules import compile_rules
from uacproxy.routing.script import Script


def read_routing_again(config: Config) -> Script:
    """Return what the file of the routing says by now; nothing else of the ini file is taken up.

    Args:
        config: what the service runs with, resolved.

    Raises:
        ScriptError: with file and line. Rules are refused for anything that is wrong in
            their ini file, in whatever section.
    """
    try:
        if config.routing.script or not config.file:
            return read_script(config)
        found = load(config.file)
    except ConfigErrors as errors:
        raise ScriptError(str(errors)) from errors
    except ConfigError as error:
        raise ScriptError(error.why, file=config.routing.script) from error
    if found.routing.script:
        why = "a script in place of rules takes a restart"
        raise ScriptError(str(found.error("routing", "script", why)))
    return compile_rules(found.rules, config.file)
