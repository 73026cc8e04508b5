"""Routing: what happens to a request, decided by a script or by rules.

A route script imports its decorators and actions from here.
"""

from __future__ import annotations

from uacproxy.routing.actions import Bridge, Drop, Relay, Reply
from uacproxy.routing.context import RouteContext
from uacproxy.routing.script import (
    branch_failure_route,
    branch_route,
    dialog_route,
    event_route,
    failure_route,
    onreply_route,
    request_route,
)

__all__ = [
    "Bridge",
    "Drop",
    "Relay",
    "Reply",
    "RouteContext",
    "branch_failure_route",
    "branch_route",
    "dialog_route",
    "event_route",
    "failure_route",
    "onreply_route",
    "request_route",
]
