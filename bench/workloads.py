"""What is measured with SIPp: the workloads, and the systems each is measured on.

W1 trunk call with From replaced and restored by Record-Route; W1D the same by dialog
variables; W2 the provider asks for credentials; W4 the call bridged; W5 INFO inside
standing dialogs; W6 REGISTERs that arrive here. (W3, our own registrations, has no SIPp
caller.) W1 beside Sippy, and W1 and W2 without a compiler, at rates those can bear.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.sippy import sippy_command
from bench.systems import HERE, interpreted_command, kamailio_command, uacproxy_command

CALLS = HERE / "calls"

USUAL = {
    "LISTEN": "127.7.0.1:5060",
    "UAC": "",
    "STORE": "memory:",
    "PROBE": "",
    "RULE": "",
    "TARGET": "relay = sip:127.7.0.2:5070",
    "TAIL": "",
}

Command = Callable[[Path], "list[str] | None"]


class Workload(NamedTuple):
    """One workload; ``systems`` by name, the second is what the first is compared with."""

    name: str
    title: str
    caller: str  # scenario below calls/
    callee: str  # empty: the system answers itself
    systems: dict[str, Command]
    rates: tuple[int, ...] = (1000,)  # units/s, where the command line says nothing
    unit: str = "call"
    searches: bool = False  # for the highest rate, too
    stands: bool = False  # calls begin in 10 s, then each sends a unit every 10 s, four times


def uacproxy(**words: str) -> Command:
    """Return what starts uacproxy on ``calls/uacproxy.ini`` with these words filled in."""
    filled = {**USUAL, **words}
    return lambda run: uacproxy_command(run, CALLS / "uacproxy.ini", **filled)


def interpreted(**words: str) -> Command:
    """Return the same for the core that is not compiled."""
    filled = {**USUAL, **words}
    return lambda run: interpreted_command(run, CALLS / "uacproxy.ini", **filled)


def kamailio(*defines: str) -> Command:
    """Return what starts Kamailio on ``calls/kamailio.cfg`` with these defines."""
    lines = "\n".join(f"#!define {word}" for word in defines)
    return lambda run: kamailio_command(run, CALLS / "kamailio.cfg", DEFINES=lines)


_CREDENTIAL = "credential = trunk01:provider.example.net:s3cret01"
_CHALLENGED = {"UAC": _CREDENTIAL, "RULE": "auth = trunk01"}
BY_DIALOG = {"UAC": "restore_dlg = yes", "RULE": "track = yes"}
_W1 = uacproxy()

WORKLOADS = {
    one.name: one
    for one in (
        Workload(
            "w1",
            "trunk call, identity by Record-Route",
            "caller.xml",
            "callee.xml",
            {"uacproxy": _W1, "kamailio": kamailio("WITH_UAC")},
            searches=True,
        ),
        Workload(
            "w1d",
            "trunk call, identity by dialog variables",
            "caller.xml",
            "callee.xml",
            {"uacproxy": uacproxy(**BY_DIALOG), "kamailio": kamailio("WITH_UAC", "WITH_DLG")},
        ),
        Workload(
            "w2",
            "trunk call, the provider challenges with 407",
            "caller.xml",
            "callee_407.xml",
            {
                "uacproxy": uacproxy(**_CHALLENGED),
                "kamailio": kamailio("WITH_UAC", "WITH_AUTH"),
            },
        ),
        Workload(
            "w4",
            "bridged call, beside our own W1",
            "caller.xml",
            "callee.xml",
            {"uacproxy": uacproxy(TARGET="bridge = sip:127.7.0.2:5070"), "uacproxy w1": _W1},
        ),
        Workload(
            "w5",
            "INFO inside standing dialogs",
            "caller_info.xml",
            "callee_info.xml",
            {"uacproxy": _W1, "kamailio": kamailio("WITH_UAC")},
            unit="INFO",
            stands=True,
        ),
        Workload(
            "w6",
            "REGISTER at the local registrar",
            "register.xml",
            "",
            {
                "uacproxy": uacproxy(
                    TAIL="[registrar]\nauthenticate = no", TARGET="relay = sip:127.7.0.2:5070"
                ),
                "kamailio": kamailio("WITH_REGISTRAR"),
            },
            unit="REGISTER",
        ),
        Workload(
            "sippy",
            "trunk call beside Sippy B2BUA, which replaces nothing",
            "caller.xml",
            "callee.xml",
            {"uacproxy": _W1, "sippy": sippy_command},
            rates=(50, 100),
        ),
        Workload(
            "w1-plain",
            "trunk call, interpreted beside compiled",
            "caller.xml",
            "callee.xml",
            {"interpreted": interpreted(), "compiled": _W1},
            rates=(200,),
        ),
        Workload(
            "w2-plain",
            "trunk call with a 407, interpreted beside compiled",
            "caller.xml",
            "callee_407.xml",
            {"interpreted": interpreted(**_CHALLENGED), "compiled": uacproxy(**_CHALLENGED)},
            rates=(200,),
        ),
    )
}
