"""A service of two workers as its operator and its peers see it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.dialog_stores import INI as STORE_INI
from tests.support.dialog_stores import VIEWS, Instance, wait_until_kept
from tests.support.endpoint import Endpoint
from tests.support.free_ports import LOOPBACK, free_port
from tests.support.identity_peers import ANY_SIDE, Call, phones
from tests.support.registration_farm import wait_until
from tests.support.services import Server
from tests.support.uacproxy_process import (
    ENVIRONMENT,
    UacproxyProcess,
    twistd,
    uacproxy,
    write_files,
)
from uacproxy.dialog.dialog import DialogState, decode_dialog
from uacproxy.dialog.tracker import SPACE as DIALOGS
from uacproxy.registrar.bindings import SPACE as BINDINGS
from uacproxy.sip.owner import owner_of_token
from uacproxy.store.instance_settings import InstanceSettings
from uacproxy.uac.shards import pick_member, shard_of

STATE = "uacproxy-state.db"

Start = Callable[..., UacproxyProcess]

INI = """\
[sip]
listen = udp:@HERE@ tcp:@HERE@
domains = a.example
workers = 2

[routing]
script = route.py
"""

ROUTE = """\
from uacproxy.routing import Relay, Reply, request_route


@request_route
def main(ctx):
    if ctx.request.method == "REGISTER":
        return Relay()
    if ctx["$rd"] == "a.example":
        return Relay()
    return Reply(603, "one")
"""


def call_id_of(worker: int, name: str) -> str:
    """Return a Call-ID of a worker, by its number."""
    names = (f"{name}{at}" for at in range(99))
    return next(one for one in names if owner_of_token(one.encode(), 2) == worker)


def options(endpoint: Endpoint, call_id: str) -> str:
    """Return an OPTIONS of a Call-ID."""
    return (
        f"OPTIONS sip:x@b.example SIP/2.0\r\nVia: SIP/2.0/UDP {endpoint.address};"
        f"branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\nFrom: <sip:a@b.example>;tag=1\r\n"
        f"To: <sip:x@b.example>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    )


def is_confirmed(ident: bytes, value: bytes) -> bool:
    """Tell whether a stored dialog is confirmed."""
    return decode_dialog(ident, value).state is DialogState.CONFIRMED


@pytest.mark.slow
def test_verbs_speak_for_both_workers_and_name_the_one_that_refuses(start_uacproxy: Start) -> None:
    service = start_uacproxy(INI, files={"route.py": ROUTE})
    rows = service.uacctl("workers")
    assert [(row["worker"], row["state"], row["restarts"]) for row in rows] == [
        ("worker 1", "works", 0),
        ("worker 2", "works", 0),
    ]
    with Endpoint("alice") as alice:
        before = service.stats()["proxy.requests"]
        for number in range(6):
            alice.send(options(alice, call_id_of(number % 2, f"n{number}-")), service.address)
            assert alice.hears("603").start == "SIP/2.0 603 one"
        stats = service.stats()
    assert stats["proxy.requests"] - before == 6
    assert (stats["workers.total"], stats["workers.away"]) == (2, 0)
    assert stats["worker.2.pid"] == rows[1]["pid"]
    assert service.ask("version")["workers"] == 2
    script = service.folder / "route.py"
    script.write_text("import no_such_module\n")
    refused = service.run_uacctl("reload-script")
    assert refused.returncode == 1
    assert f"{script}:1" in refused.stderr
    script.write_text(ROUTE.replace("one", "two"))
    service.signal(signal.SIGHUP)
    service.wait_for_log("route script loaded", times=2)
    with Endpoint("alice") as alice:
        for number in range(2):
            alice.send(options(alice, call_id_of(number, "again")), service.address)
            assert alice.hears("603").start == "SIP/2.0 603 two"


def test_a_stop_while_the_workers_start_is_no_failure(tmp_path: Path) -> None:
    write_files(tmp_path, INI, {"route.py": ROUTE}, {"here": f"{LOOPBACK}:{free_port()}"})
    server = Server(
        twistd(tmp_path / "uacproxy.ini"), log=tmp_path / "output", cwd=tmp_path, env=ENVIRONMENT
    )
    server.wait_until(lambda: (tmp_path / "uacproxy.sock").exists())  # before any worker works
    assert server.stop(within=30.0) == 0
    assert "cannot start" not in server.output
    assert not (tmp_path / "uacproxy.sock").exists()


def test_a_killed_worker_is_started_again_and_the_other_goes_on(start_uacproxy: Start) -> None:
    service = start_uacproxy(INI, files={"route.py": ROUTE})
    first = int(service.stats()["worker.1.pid"])
    os.kill(first, signal.SIGKILL)
    with Endpoint("alice") as alice:
        alice.send(options(alice, call_id_of(1, "other")), service.address)
        alice.hears("603")
        alice.send(options(alice, call_id_of(0, "own")), service.address)
        alice.hears("603")  # it has waited for the first to be back
    stats = service.stats()
    assert (stats["worker.1.restarts"], stats["worker.2.restarts"]) == (1, 0)
    assert stats["worker.1.pid"] not in (0, first)


def test_a_call_of_the_dialog_store_outlives_the_kill_of_both_workers(
    start_uacproxy: Start,
) -> None:
    ini = STORE_INI.replace("[sip]\n", "[sip]\nworkers = 2\n")
    service = start_uacproxy(ini, store=f"sqlite:///{STATE}", prefix="x:")
    address = (service.host, service.port)
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, address, VIEWS)
        call.ack(address)
        wait_until_kept(service, DIALOGS, is_confirmed)
        for number in (1, 2):
            os.kill(int(service.stats()[f"worker.{number}.pid"]), signal.SIGKILL)
        service.wait_for_log("works, process", times=4)
        call.from_callee(b"INVITE", address)
        call.from_caller(b"INVITE", address)
        ANY_SIDE["caller"](call, address)
        VIEWS.nobody_knows_more(caller, callee)
    service.wait_for(dialog_active=0)


@pytest.fixture(scope="module")
def at_work() -> Iterator[UacproxyProcess]:
    """Give a service that no test kills."""
    port = free_port("::1")
    ini = INI.replace("[sip]\nlisten =", f"[sip]\nlisten = udp:[::1]:{port}")
    with uacproxy(ini, files={"route.py": ROUTE}, port=free_port()) as service:
        with Endpoint("alice") as alice:  # each has heard all that was sent before it worked
            for worker in range(2):
                alice.send(options(alice, call_id_of(worker, "first")), service.address)
                alice.hears("603")
        yield service


def test_an_ipv6_address_has_a_socket_of_each_worker_too(at_work: UacproxyProcess) -> None:
    port = int(at_work.config.read_text().partition("[::1]:")[2].split()[0])
    before = at_work.stats()["transport.handed"]
    with (
        Endpoint("alice") as alice,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer,
    ):
        peer.settimeout(10)
        peer.connect(("::1", port))
        here = f"[::1]:{peer.getsockname()[1]}"
        for worker in range(2):
            call_id = call_id_of(worker, "six")
            peer.send(options(alice, call_id).replace(alice.address, here).encode())
            answer = peer.recv(4096).decode()
            assert answer.startswith("SIP/2.0 603 one")
            assert f"Via: SIP/2.0/UDP {here};" in answer
            assert f"Call-ID: {call_id}" in answer
    assert at_work.stats()["transport.handed"] == before


def test_what_the_kernel_cannot_read_is_handed_over(at_work: UacproxyProcess) -> None:
    service = at_work
    with Endpoint("alice") as alice:
        for field, handed in (("Call-ID", 0), ("i", 2)):
            before = service.stats()["transport.handed"]
            for number in range(4):
                asked = options(alice, call_id_of(number % 2, f"{field}{number}-"))
                alice.send(asked.replace("Call-ID", field), service.address)
                alice.hears("603")
            assert service.stats()["transport.handed"] - before == handed


def test_a_message_on_a_connection_is_answered_over_it_by_whichever_worker(
    at_work: UacproxyProcess,
) -> None:
    service = at_work
    before = service.stats()["transport.handed"]
    with (
        Endpoint("alice") as alice,
        socket.create_connection((LOOPBACK, service.port), timeout=10) as stream,
    ):
        for number in range(4):
            call_id = call_id_of(number % 2, f"t{number}-")
            stream.sendall(options(alice, call_id).replace("/UDP", "/TCP").encode())
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += stream.recv(4096)
            assert answer.startswith(b"SIP/2.0 603 one")
            assert f"Call-ID: {call_id}".encode() in answer
    assert service.stats()["transport.handed"] > before


@pytest.mark.slow
def test_a_binding_is_known_to_both_workers_also_after_a_kill(start_uacproxy: Start) -> None:
    service = start_uacproxy(INI, files={"route.py": ROUTE})
    with Endpoint("bob") as bob, Endpoint("alice") as alice:
        register = (
            options(bob, "reg1")
            .replace("OPTIONS sip:x@b.example", "REGISTER sip:a.example")
            .replace("To: <sip:x@b.example>", "To: <sip:bob@a.example>")
            .replace("From: <sip:a@b.example>", "From: <sip:bob@a.example>")
            .replace("1 OPTIONS", f"1 REGISTER\r\nExpires: 600\r\n{bob.contact.strip()}")
        )
        bob.send(register, service.address)
        bob.hears("200")
        wait_until_kept(service, BINDINGS, lambda aor, value: b"bob" in aor)

        def reaches_bob(name: str) -> None:
            for worker in range(2):
                asked = options(alice, call_id_of(worker, name)).replace("x@b.", "bob@a.")
                alice.send(asked, service.address)
                heard = bob.hears("OPTIONS")
                bob.answers(heard, "200 OK", service.address)
                alice.hears("200")

        reaches_bob("one")
        for number in (1, 2):
            os.kill(int(service.stats()[f"worker.{number}.pid"]), signal.SIGKILL)
            service.wait_for_log("works, process", times=2 + number)
            reaches_bob(f"kill{number}-")


ACCOUNTS = """\
[sip]
listen = udp:@HERE@
workers = 2

[uac]
reg_db_url = sqlite:///accounts.db
reg_contact_addr = @HERE@
"""


def test_accounts_follow_their_table_and_are_taken_back_when_the_first_process_is_killed() -> None:
    names = ["t1", "t2", "t3", "t4"]
    members = ["worker 1", "worker 2"]
    assert {
        pick_member(shard_of(name, InstanceSettings().shards), members) for name in names
    } == set(members)
    with (
        TemporaryDirectory(prefix="uacproxy-") as folder,
        Endpoint("registrar") as registrar,
    ):
        instance = Instance(Path(folder), "", "", ACCOUNTS)
        service = instance.service
        proxy = f"sip:{registrar.address}"
        rest = {"l_domain": "a.example", "r_domain": "p.example", "auth_proxy": proxy}
        rest["auth_password"] = "x"

        def put(what: str, **row: str) -> None:
            answer = service.ask("account.put", what, json.dumps([row]))
            assert answer["wrong"] == []

        def takes(expires: str) -> str:
            request = registrar.hears("REGISTER")
            assert request.get("expires") == expires
            granted = f"Contact: {request.get('contact')};expires={expires}\r\n"
            registrar.answers(request, "200 OK", service.address, tag="r", more=granted)
            return request.get("to").partition("@")[0].removeprefix("<sip:")

        workers: list[Path] = []
        try:
            for name in names:
                put("add", l_uuid=name, l_username=name, r_username=name, expires="600", **rest)
                assert takes("600") == name
            service.wait_for(uac_regactive=4)
            put("set", l_uuid="t1", expires="120")
            assert takes("120") == "t1"
            service.ask("account.remove", "t2")
            assert takes("0") == "t2"
            service.wait_for(uac_regtotal=3)
            workers = [Path(f"/proc/{row['pid']}") for row in service.ask("workers")]
            instance.kill()
            assert {takes("0") for _ in range(3)} == {"t1", "t3", "t4"}
            wait_until(lambda: not any(map(Path.exists, workers)), "the end of the workers")
        finally:
            instance.stop()
            for worker in filter(Path.exists, workers):
                os.kill(int(worker.name), signal.SIGKILL)
