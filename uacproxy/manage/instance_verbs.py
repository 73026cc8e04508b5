"""The verbs about the instances that share the accounts."""

from __future__ import annotations

from typing import Final

from uacproxy.manage.verb import Fault, InstancesView, Rows, Value, Verb, Views


def _instances(views: Views) -> Rows:
    return _shared(views).instances()


def _drain(views: Views) -> Value:
    instances = _shared(views)
    if not instances.has_heirs:
        raise Fault(500, "No other instance is there to take the accounts")
    instances.drain()
    return "The accounts go to the other instances."


def _undrain(views: Views) -> Value:
    _shared(views).undrain()
    return "This instance takes its share of the accounts again."


def _shared(views: Views) -> InstancesView:
    if views.instances is None or not views.instances.enabled:
        raise Fault(500, "Not enabled: [store] url is no redis://, or share_registrations = no")
    return views.instances


INSTANCE_VERBS: Final = (
    Verb(
        "instances",
        "The instances that share the accounts, and how many shards each has.",
        _instances,
        columns=("instance", "state", "shards", "of", "since", "here"),
    ),
    Verb("drain", "Give all accounts to the other instances, before a planned stop.", _drain),
    Verb("undrain", "Take a share of the accounts again.", _undrain),
)
