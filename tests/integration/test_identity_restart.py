"""A call outlives the process that set it up: it is restored after ``kill -9``, and elsewhere."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import services
from tests.support.free_ports import LOOPBACK, free_port
from tests.support.identity_peers import ANY_SIDE, Call, Views, phones
from tests.support.uacproxy_process import UacproxyProcess, write_files
from uacproxy.ports import HostPort

INI = """\
[sip]
listen = udp:@HERE@
advertise = @ADVERTISE@

[store]
url = @STORE@
redis_prefix = @PREFIX@

[uac]
restore_passwd = @PASSWORD@
restore_passwd_previous = @PREVIOUS@

[rule:out]
replace_from = "Trunk 7" sip:7@trunk.example
replace_to = "Desk" <sip:desk@z.example;user=phone>
track = @TRACK@
relay = yes
"""

VIEWS = Views(
    b'"Alice" <sip:alice@a.example>',
    b"sip:bob@b.example",
    b'"Trunk 7" <sip:7@trunk.example>',
    b'"Desk" <sip:desk@z.example;user=phone>',
)
FARM = "127.9.9.9:5060"  # one address for both, as that of a balancer before them
PASSWORD = "s3cret"


class Instance:
    """A service that may be killed, and started again on the same port in the same folder."""

    def __init__(self, folder: Path, **marks: str) -> None:
        self._folder = folder
        self._port = free_port()
        here = f"{LOOPBACK}:{self._port}"
        self._marks = {
            "here": here,
            "advertise": here,
            "store": "sqlite:///state.db",
            "prefix": "",
            "password": "",
            "previous": "",
            "track": "no",
        }
        self.service = self.start(**marks)

    @property
    def address(self) -> HostPort:
        """Return where it listens."""
        return LOOPBACK, self._port

    def start(self, **marks: str) -> UacproxyProcess:
        """Start it, or start it again; ``marks`` change its configuration from now on."""
        self._marks.update(marks)
        write_files(self._folder, INI, {}, self._marks)
        self.service = UacproxyProcess(self._folder, LOOPBACK, self._port)
        self.service.server.wait_until(lambda: services.answers_options(LOOPBACK, self._port))
        return self.service

    def has_kept_its_key(self) -> bool:
        """Tell whether the key it made is on disk; the store may lag behind for a moment."""
        return any(b"restore_key" in file.read_bytes() for file in self._folder.glob("state.db*"))

    def kill(self) -> None:
        """End it as a power failure would."""
        os.kill(self.service.pid, signal.SIGKILL)
        assert self.service.server.process.wait() == -signal.SIGKILL

    def stop(self) -> int:
        """Stop what runs now in good order; return the exit status."""
        return self.service.stop()


StartInstance = Callable[..., Instance]


@pytest.fixture
def start_instance() -> Iterator[StartInstance]:
    """Give ``start(**marks)``; what runs at the end has to stop well."""
    with ExitStack() as stack:
        made: list[Instance] = []

        def start(**marks: str) -> Instance:
            # Not below pytest's own folder: the path of a UNIX socket ends at 107 octets.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="uacproxy-"))
            made.append(Instance(Path(folder), **marks))
            stack.callback(made[-1].stop)
            return made[-1]

        yield start
        for each in made:
            assert (each.stop(), each.service.output.count("Traceback")) == (0, 0)


@pytest.mark.parametrize("hangs_up", ANY_SIDE)
@pytest.mark.parametrize("track", ["no", "yes"])
@pytest.mark.parametrize("password", ["", PASSWORD], ids=["generated-key", "password"])
def test_a_call_that_was_up_when_the_service_was_killed_ends_restored(
    start_instance: StartInstance, password: str, track: str, hangs_up: str
) -> None:
    instance = start_instance(password=password, track=track)
    if not password:
        instance.service.server.wait_until(instance.has_kept_its_key)
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, instance.address, VIEWS)
        call.ack(instance.address)
        call.from_caller(b"INVITE", instance.address)
        instance.kill()
        instance.start()
        ANY_SIDE[hangs_up](call, instance.address)
        stats = instance.service.stats()
        VIEWS.nobody_knows_more(caller, callee)
        callee.never_heard(b"Alice")
        caller.never_heard(b"Trunk", b"Desk")
    assert (stats["proxy.restored"], stats["proxy.restore_failures"]) == (1, 0)


def test_a_call_killed_before_its_ack_is_confirmed_restored(start_instance: StartInstance) -> None:
    instance = start_instance(password=PASSWORD)
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, instance.address, VIEWS)
        instance.kill()
        instance.start()
        call.ack(instance.address)
        call.from_callee(b"INVITE", instance.address)
        VIEWS.nobody_knows_more(caller, callee)


def test_a_call_outlives_a_change_of_the_password(start_instance: StartInstance) -> None:
    instance = start_instance(password=PASSWORD)
    with phones("one", "two") as (caller, callee):
        old = Call(caller, callee, instance.address, VIEWS)
        old.ack(instance.address)
        instance.kill()
        instance.start(password="an0ther", previous=PASSWORD)
        new = Call(caller, callee, instance.address, VIEWS)
        new.ack(instance.address)
        old.from_callee(b"INVITE", instance.address)
        old.from_caller(b"BYE", instance.address)
        instance.kill()
        instance.start(password="an0ther", previous="")
        new.from_callee(b"BYE", instance.address)
        VIEWS.nobody_knows_more(caller, callee)


def continues_at(here: Instance, there: Instance, hangs_up: str) -> None:
    """Set a call up through one instance, change it from both sides and end it by the other."""
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, here.address, VIEWS)
        call.ack(there.address)
        call.from_caller(b"INVITE", there.address)
        call.from_callee(b"INVITE", there.address)
        ANY_SIDE[hangs_up](call, there.address)
        VIEWS.nobody_knows_more(caller, callee)
    stats = there.service.stats()
    assert (stats["proxy.restored"], stats["proxy.restore_failures"]) == (6, 0)


@pytest.mark.parametrize("hangs_up", ANY_SIDE)
def test_instances_with_one_password_take_over_each_others_calls(
    start_instance: StartInstance, hangs_up: str
) -> None:
    alike = {"advertise": FARM, "password": PASSWORD, "store": "memory:"}
    continues_at(start_instance(**alike), start_instance(**alike), hangs_up)


@pytest.mark.parametrize("hangs_up", ANY_SIDE)
@pytest.mark.parametrize("track", ["no", "yes"])
def test_instances_on_one_redis_need_no_password(
    start_instance: StartInstance,
    redis_server: services.Redis,
    tmp_path: Path,
    track: str,
    hangs_up: str,
) -> None:
    alike = {
        "advertise": FARM,
        "store": redis_server.url,
        "prefix": f"{tmp_path.name}:",
        "track": track,
    }
    continues_at(start_instance(**alike), start_instance(**alike), hangs_up)


def test_a_call_on_redis_outlives_a_kill(
    start_instance: StartInstance, redis_server: services.Redis, tmp_path: Path
) -> None:
    alike = {"store": redis_server.url, "prefix": f"{tmp_path.name}:", "password": PASSWORD}
    instance = start_instance(**alike, track="yes")
    with phones("one", "two") as (caller, callee):
        call = Call(caller, callee, instance.address, VIEWS)
        call.ack(instance.address)
        instance.kill()
        instance.start()
        call.from_callee(b"BYE", instance.address)
        VIEWS.nobody_knows_more(caller, callee)
