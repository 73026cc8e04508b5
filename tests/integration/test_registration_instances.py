"""Two and three services on one Redis: each account is registered by exactly one of them.

OpenSIPS #169, jambonz-api-server #359 and livekit/sip #524 ask who registers, and who takes
over when that one dies; a registrar that keeps what it hears tells here.
"""

from __future__ import annotations

import time

import pytest

from tests.support import services
from tests.support.registration_farm import Farm, check_history, farm, wait_until

ACCOUNTS = 1000  # of each farm
TAKEN_OVER_WITHIN = 15.0  # s
SOON = "reg_refresh_until = 60"  # %: a test may not last longer than a minute


@pytest.mark.slow
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
        wait_until(lambda: all(_known_everywhere(each) for each in both), "known everywhere")
        heard = [each.registrar.count for each in both]

        killed_at = time.monotonic()
        two["two"].kill()
        three["two"].kill()
        wait_until(lambda: all(each.is_shared_out() for each in both), "taken over")
        assert time.monotonic() - killed_at < TAKEN_OVER_WITHIN
        three["two"].start()
        for each, before in zip(both, heard, strict=True):  # no storm: only what was due
            assert each.registrar.count - before < ACCOUNTS / 2

        wait_until(lambda: all(_refreshed_since(each, killed_at) for each in both), "refreshed", 60)
        assert not any(
            register.at > killed_at and two.owner_of(register) == "two"
            for registers in two.registrar.heard.values()
            for register in registers
        )
        wait_until(three.is_shared_out, "handed back")
        for each in both:
            check_history(each, changes=3)


def _known_everywhere(farm: Farm) -> bool:
    return all(one.service.stats()["uac.regactive"] == ACCOUNTS for one in farm.running.values())


def _refreshed_since(farm: Farm, when: float) -> bool:
    return all(registers[-1].at > when for registers in farm.registrar.heard.values())
