"""Two and three services on one Redis: each account is registered by exactly one of them.

OpenSIPS #169, jambonz-api-server #359 and livekit/sip #524 ask who registers, and who takes
over when that one dies; a registrar that keeps what it hears tells here.
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from tests.support import services
from tests.support.registration_farm import Farm, check_history, farm, wait_until

pytestmark = pytest.mark.slow

ACCOUNTS = 1000  # of each farm
TAKEN_OVER_WITHIN = 15.0  # s
SOON = "reg_refresh_until = 60"  # %: a test may not last longer than a minute


def test_of_two_and_of_three_instances_one_dies_and_comes_back_and_no_account_suffers(
    redis_server: services.Redis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prefix = tmp_path_factory.mktemp("instances").name
    common = {"accounts": ACCOUNTS, "lease": 10.0, "expires": 40, "more": SOON}
    with (
        farm(redis_server.url, f"{prefix}-two:", **common) as two,  # type: ignore[arg-type]
        farm(redis_server.url, f"{prefix}-three:", **common) as three,  # type: ignore[arg-type]
    ):
        two.start("one", "two")
        three.start("one", "two", "three")
        both = (two, three)
        wait_until(lambda: all(each.is_shared_out() for each in both), "shared out")
        wait_until(lambda: all(len(each.registered()) == ACCOUNTS for each in both), "registered")
        wait_until(lambda: all(_all_online(each, ACCOUNTS) for each in both), "known everywhere")

        killed_at = time.monotonic()
        two["two"].kill()
        three["two"].kill()
        wait_until(lambda: all(each.is_shared_out() for each in both), "taken over")
        assert time.monotonic() - killed_at < TAKEN_OVER_WITHIN
        three["two"].start()
        wait_until(lambda: all(_refreshed_since(each, killed_at) for each in both), "refreshed", 60)
        assert not any(
            register.at > killed_at and two.owner_of(register) == "two"
            for registers in two.registrar.heard.values()
            for register in registers
        )
        wait_until(three.is_shared_out, "handed back")
        for each in both:
            check_history(each, changes=3)
            assert _sent_early(each) < ACCOUNTS / 20  # no storm: only what was due


def _sent_early(farm: Farm) -> int:
    """Return how many came well before half of what was granted had passed."""
    return sum(
        after.at - before.at < 0.45 * before.expires
        for registers in farm.registrar.heard.values()
        for before, after in pairwise(registers)
    )


def _refreshed_since(farm: Farm, when: float) -> bool:
    return all(registers[-1].at > when for registers in farm.registrar.heard.values())


def test_an_instance_is_drained_and_stopped_and_the_other_knows_and_has_all(
    redis_server: services.Redis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prefix = tmp_path_factory.mktemp("drained").name
    with farm(redis_server.url, f"{prefix}:", accounts=24, lease=3.0, expires=60) as two:
        two.start("one", "two")
        wait_until(two.is_shared_out, "shared out")
        wait_until(lambda: len(two.registered()) == 24, "registered")
        wait_until(lambda: _all_online(two, 24), "known everywhere")
        explained = two["one"].service.ask("explain", "u0")
        assert ("instance: one" in explained) is not ("instance: two" in explained)

        two["one"].service.ask("drain")
        wait_until(lambda: two.shards() == {"one": 0, "two": 64}, "drained")
        assert two["one"].service.run_uacctl("drain").returncode == 0  # once more changes nothing
        assert two["two"].service.run_uacctl("drain").returncode == 1  # nobody would take them
        for name in two.running:
            assert "instance: two" in two[name].service.ask("explain", "u0")
        two["one"].service.ask("uac.reg_register", "l_uuid", "u0")  # the other one does it
        wait_until(lambda: _sources_of(two, 0)[-1:] == [two["two"].address], "registered there")

        two["one"].service.ask("undrain")
        wait_until(two.is_shared_out, "shared out again")
        assert two["one"].service.stop() == 0
        wait_until(lambda: two.shards() == {"two": 64}, "left to the other")
        assert _all_online(two, 24)
        check_history(two, changes=4)


def test_one_with_a_contact_of_its_own_replaces_the_contact_of_the_dead(
    redis_server: services.Redis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prefix = tmp_path_factory.mktemp("own").name
    own = {"accounts": 24, "lease": 3.0, "expires": 60, "contact": "@HERE@"}
    with farm(redis_server.url, f"{prefix}:", **own) as two:  # type: ignore[arg-type]
        two.start("one", "two")
        wait_until(two.is_shared_out, "shared out")
        wait_until(lambda: len(two.registered()) == 24, "registered")
        wait_until(lambda: _all_online(two, 24), "known everywhere")
        two["two"].kill()
        port = b":%d" % two["one"].address[1]
        wait_until(lambda: _last_contacts_are(two, port), "registered at the one that lives")
        for registers in two.registrar.heard.values():
            for register in registers:  # the old Contact goes with the REGISTER that brings the new
                assert len(register.contacts) == 1 or register.contacts[1].endswith(b";expires=0")


def _all_online(farm: Farm, count: int) -> bool:
    return all(one.service.stats()["uac.regactive"] == count for one in farm.running.values())


def _sources_of(farm: Farm, number: int) -> list[tuple[str, int]]:
    heard = farm.registrar.heard[b"sip:trunk%d@provider.example" % number]
    return [register.source for register in heard]


def _last_contacts_are(farm: Farm, port: bytes) -> bool:
    return all(port in registers[-1].contacts[0] for registers in farm.registrar.heard.values())
