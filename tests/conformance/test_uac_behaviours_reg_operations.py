"""Behaviours 58 to 62 of Kamailio's uac module: reload, RPC commands, look-ups, reg_active.

Where we differ on purpose the test says so; docs/kamailio-parity.md has the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.one_account import OneAccount
from tests.support.registrar import account, challenge, ok, proves
from tests.support.world import CALLER, World, invite
from tests.unit.test_registrations import Bench as Registered
from tests.unit.test_registrations import challenged_or_ok
from uacproxy.errors import StoreUnavailable
from uacproxy.manage.operations import Operations
from uacproxy.manage.verb import Fault, Later, Rows, Value, Views
from uacproxy.sip.names import AUTHORIZATION
from uacproxy.uac.account import Account
from uacproxy.uac.registration_states import RegistrationState as State


class Bench(Registered):
    """Accounts behind the verbs of an operator."""

    def __init__(self, *script: Any, accounts: Sequence[Account] | None = None) -> None:
        super().__init__(*(script or (ok(),)), accounts=accounts)
        nothing: Any = None
        self.operations = Operations(Views(self.table, nothing, nothing, nothing))
        self.let(3.0)

    def call(self, verb: str, *arguments: str) -> Any:
        """Return what a verb answers, a fault as its words."""
        try:
            result = self.operations.call(verb, arguments)
        except Fault as fault:
            return str(fault)
        if not isinstance(result, Later):
            return result
        answers: list[Value | Rows | Fault] = []
        result.begin(answers.append, answers.append)
        self.clock.advance(0)
        answer = answers[0]
        self.let(3.0)
        return str(answer) if isinstance(answer, Fault) else answer


def test_behaviour_58_two_reloads_within_reload_delta_are_a_fault() -> None:
    bench = Bench()
    assert isinstance(bench.call("uac.reg_reload"), dict)
    assert bench.call("uac.reg_reload").startswith("500 ")
    bench.let(30.0)
    assert isinstance(bench.call("uac.reg_reload"), dict)


def test_behaviour_58_after_a_reload_only_what_changed_registers_again() -> None:
    """The module registers every record anew, with a new Call-ID; here a reload is a diff."""
    bench = Bench(accounts=[account("a"), account("b", r_username="t2")])
    bench.source.accounts = [account("a"), account("b", r_username="t2", auth_password="new")]
    answer = bench.call("uac.reg_reload")
    assert answer == {"added": 0, "changed": 1, "removed": 0, "unchanged": 1, "skipped": 0}
    aors = [request.to.uri for request in bench.registrar.requests[2:]]
    assert aors == [b"sip:t2@provider.example"]


def test_behaviour_58_a_reload_whose_database_is_away_changes_nothing() -> None:
    """The module's live table stays empty then (siphon PR 439)."""
    bench = Bench()
    bench.source.error = StoreUnavailable("mysql://db/kamailio: gone away")
    words = bench.call("uac.reg_reload")
    assert words.startswith("500 ") and "mysql://db/kamailio" in words
    assert (bench.table.status("u1"), len(bench.requests)) == (1, 1)


ADD = {
    "l_uuid": "u2",
    "l_username": "bob",
    "l_domain": "pbx.example",
    "r_username": "t2",
    "r_domain": "provider.example",
    "realm": ".",
    "auth_username": "a2",
    "auth_password": "secret",
    "auth_ha1": ".",
    "auth_proxy": "sip:proxy.example",
    "expires": "600",
    "flags": "0",
    "reg_delay": "0",
    "socket": ".",
    "contact_addr": ".",
}


def added(bench: Bench, *more: str, **changed: str) -> Any:
    return bench.call("uac.reg_add", *{**ADD, **changed}.values(), *more)


def test_behaviour_59_reg_add_takes_fifteen_or_sixteen_parameters() -> None:
    bench = Bench()
    assert added(bench) == {}
    assert added(bench, ".", l_uuid="u3", r_username="t3") == {}
    assert added(bench, "trunk", l_uuid="u4", r_username="t4") == {}
    assert bench.call("uac.reg_add", *list(ADD.values())[:14]) == "400 Invalid Parameters"
    assert added(bench, "x", "y") == "400 Invalid Parameters"
    assert added(bench, l_uuid="u5", expires="soon") == "400 Invalid Parameter Values"
    bench.let(3.0)
    contacts = [record["contact_user"] for record in bench.table.dump()]
    assert contacts == ["none", "none", "none", "trunk"]
    assert [bench.table.status(name) for name in ("u2", "u3", "u4")] == [1, 1, 1]


def test_behaviour_59_reg_add_of_one_that_exists_is_a_conflict() -> None:
    bench = Bench()
    assert added(bench, l_uuid="u1").startswith("409 ")
    assert bench.table.find("l_uuid", "u1") is not None


def test_behaviour_59_an_ha1_that_is_none_is_refused_and_64_digits_are_one_here() -> None:
    """The module takes 32 digits alone; 64 are an HA1 of SHA-256 to us."""
    bench = Bench()
    words = added(bench, auth_ha1="f" * 33)
    assert words.startswith("500 ") and "f" * 33 not in words
    assert added(bench, auth_password=".").startswith("500 ")
    assert added(bench, auth_ha1="f" * 64) == {}


def test_behaviour_59_reg_remove_forgets_it_and_takes_its_binding_back() -> None:
    """The module sends nothing and leaves the binding behind."""
    bench = Bench()
    assert bench.call("uac.reg_remove", "u1") == {}
    bench.let(3.0)
    assert bench.asked()[-1] == b"0"
    assert bench.call("uac.reg_remove", "u1") == "404 Record not found"
    assert bench.call("uac.reg_remove", "") == "400 Invalid Parameter Values"
    assert bench.call("uac.reg_remove") == "400 Invalid Parameters"


def asked(expression: str, accounts: Any = None, avps: tuple[str, str, str] | None = None) -> str:
    """Return what a script's expression is, as the reason phrase of a reply."""
    script = f"""
from uacproxy.routing import Reply, request_route

@request_route
def main(ctx):
    uac = ctx.uac
    return Reply(480, repr({expression}))
"""
    known = OneAccount(account(auth_ha1="0" * 32, realm="the realm"))
    world = World(
        script, accounts=accounts or known, avps=avps or ("$avp(r)", "$avp(u)", "$avp(p)")
    )
    world.receive(invite())
    return world.last_to(CALLER).reason.decode()


def test_behaviour_60_lookup_gives_the_local_user_and_lookup_uri_the_l_uuid() -> None:
    assert asked("(uac.reg_lookup('u1', '$ru'), ctx['$ru'])") == "(True, 'sip:alice@pbx.example')"
    assert asked("(uac.reg_lookup('u2', '$ru'), ctx['$rU'])") == "(False, 'bob')"
    words = "(uac.reg_lookup_uri('sip:alice@x', '$var(d)'), ctx['$var(d)'])"
    assert asked(words) == "(True, 'u1')"
    assert asked("uac.reg_lookup_uri('sip:bob@x', '$var(d)')") == "False"
    assert asked("uac.reg_lookup_uri('no uri', '$var(d)')") == "False"


@pytest.mark.parametrize(
    ("user", "mode", "secret"),
    [
        ("u1", 0, "hunter2"),
        ("alice", 1, "hunter2"),
        ("sip:alice@pbx.example", 1, "hunter2"),
        ("u1", 2, "0" * 32),
        ("alice", 3, "0" * 32),
    ],
)
def test_behaviour_60_request_to_sets_uri_next_hop_and_credentials(
    user: str, mode: int, secret: str
) -> None:
    read = "[ctx[name] for name in ('$ru', '$du', '$avp(r)', '$avp(u)', '$avp(p)')]"
    expected = [
        "sip:trunk7@provider.example",
        "sip:proxy.provider.example",
        "the realm",
        "auth7",
        secret,
    ]
    assert asked(f"(uac.reg_request_to({user!r}, {mode}), {read})") == repr((True, expected))


@pytest.mark.parametrize(("user", "mode"), [("u1", 4), ("u1", -1), ("alice", 0), ("u1", 1)])
def test_behaviour_60_request_to_refuses_other_modes_and_unknown_users(
    user: str, mode: int
) -> None:
    words = f"(uac.reg_request_to({user!r}, {mode}), ctx['$du'], ctx['$avp(u)'])"
    assert asked(words) == "(False, None, None)"


def test_behaviour_60_request_to_needs_no_variables_to_be_authenticated() -> None:
    """The module needs the three auth_*_avp; here the account answers by itself without."""
    words = "(uac.reg_request_to('u1', 0), ctx.scope.auth_source, ctx.scope.account)"
    assert asked(words, avps=("", "", "")) == "(True, 'account:u1', 'u1')"


def test_behaviour_61_reg_info_faults() -> None:
    bench = Bench()
    assert bench.call("uac.reg_info", "l_uuid", "u1")["r_username"] == "trunk7"
    assert bench.call("uac.reg_info", "realm", "x") == "400 Unsupported filter attribute"
    assert bench.call("uac.reg_info", "l_uuid", "u9") == "404 Record not found"
    assert bench.call("uac.reg_info", "l_uuid") == "400 Invalid Parameters"
    assert bench.call("uac.reg_info", "l_uuid", "") == "400 Invalid Parameter Values"


def test_behaviour_61_the_other_verbs_have_the_same_faults() -> None:
    bench = Bench()
    for verb in ("enable", "disable", "register", "unregister"):
        assert bench.call(f"uac.reg_{verb}", "realm", "x") == "400 Unsupported filter attribute"
        assert bench.call(f"uac.reg_{verb}", "l_username", "x") == "404 Record not found"
        assert bench.call(f"uac.reg_{verb}", "l_username") == "400 Invalid Parameters"
    assert len(bench.requests) == 1


def test_behaviour_61_a_script_may_ask_the_same() -> None:
    bench = Bench()
    table = bench.table
    assert asked("uac.reg_disable('r_username', 'trunk7')", table) == "True"
    bench.let(3.0)
    assert (bench.asked()[-1], table.status("u1")) == (b"0", -3)
    assert asked("uac.reg_status('u1')", table) == "-3"
    assert asked("uac.reg_enable('l_uuid', 'u1')", table) == "True"
    bench.let(3.0)
    assert asked("uac.reg_status('u1')", table) == "1"
    assert asked("uac.reg_send_unregister('l_uuid', 'u1')", table) == "True"
    bench.let(3.0)
    assert asked("uac.reg_status('u1')", table) == "-99"
    assert asked("uac.reg_send_register('l_uuid', 'u1')", table) == "True"
    bench.let(3.0)
    assert table.status("u1") == 1
    assert asked("uac.reg_enable('realm', 'x')", table) == "False"
    assert asked("uac.reg_disable('l_uuid', 'u9')", table) == "False"


def test_behaviour_61_refresh_reads_one_row() -> None:
    bench = Bench(challenged_or_ok)
    bench.source.accounts = [account(auth_password="new")]
    assert bench.call("uac.reg_refresh", "u1") == {}
    assert proves(bench.registrar.requests[-1], b"new")
    assert bench.call("uac.reg_refresh", "u9") == "404 Record not found"
    assert asked("uac.reg_refresh('u1')", bench.table) == "True"
    assert asked("uac.reg_refresh('')", bench.table) == "False"


def test_behaviour_56_only_a_refresh_brings_back_what_was_unregistered() -> None:
    bench = Bench()
    assert bench.call("uac.reg_unregister", "l_uuid", "u1") == {}
    bench.let(86400.0)
    assert bench.asked() == [b"3600", b"0"]
    assert bench.call("uac.reg_refresh", "u1") == {}
    assert bench.table.status("u1") == 1


def test_behaviour_62_reg_active_stops_what_is_sent_by_itself() -> None:
    bench = Bench(ok(expires=60), accounts=[account(), account("u2", r_username="t2", reg_delay=9)])
    assert bench.call("uac.reg_active", "0") == {"omode": 1, "nmode": 0}
    sent = len(bench.requests)
    bench.let(300.0)
    assert len(bench.requests) == sent
    assert bench.call("uac.reg_register", "l_uuid", "u1") == {}
    bench.let(1.0)
    assert len(bench.requests) == sent + 1
    assert bench.call("uac.reg_active", "7") == {"omode": 0, "nmode": 7}
    bench.let(60.0)
    assert [bench.state("u1"), bench.state("u2")] == [State.REGISTERED] * 2
    assert bench.call("uac.reg_active", "1") == {"omode": 1, "nmode": 1}
    assert bench.call("uac.reg_active", "on") == "400 Invalid Parameter Values"


def test_the_counters_are_computed_from_states() -> None:
    """The module's count transactions, and wrap below zero."""
    accounts = [account("a"), account("b", r_username="t2", flags=1), account("c", expires=0)]
    bench = Bench(accounts=accounts)
    wanted = {"uac.regtotal": 3, "uac.regactive": 1, "uac.regdisabled": 1}
    assert {**bench.table.gauges(), **wanted} == bench.table.gauges()
    for _ in range(3):
        bench.call("uac.reg_disable", "l_uuid", "b")
    bench.call("uac.reg_remove", "c")
    gauges = bench.table.gauges()
    assert (gauges["uac.regtotal"], gauges["uac.regdisabled"]) == (2, 1)


def test_no_answer_to_any_verb_holds_a_password() -> None:
    bench = Bench(challenge(b"n1"), ok())
    assert bench.registrar.requests[-1].has(AUTHORIZATION)
    shown = [
        list(bench.call("uac.reg_dump")),
        bench.call("uac.reg_info", "l_uuid", "u1"),
        bench.call("explain", "u1"),
        added(bench, auth_password="hunter2", auth_proxy="nowhere"),
        added(bench, l_uuid="u3", auth_password="hunter2", expires="-1"),
    ]
    assert "hunter2" not in repr(shown)
