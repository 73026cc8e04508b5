"""Two workers and a real Kamailio: one registers the account, and its calls reach a local user."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.dialog_stores import wait_until_kept
from tests.support.endpoint import Caller, Endpoint
from tests.support.kamailio_account import (
    INI,
    PASSWORD,
    TEMPLATE,
    USER,
    Start,
    StartKamailio,
    granted,
    is_bound,
    make_account,
    request,
)
from uacproxy.uac.registration_store import SPACE as REGISTRATIONS
from uacproxy.uac.registration_store import decode


def test_calls_to_the_account_arrive_and_no_register_is_sent_after_both_were_killed(
    start_uacproxy: Start, start_kamailio: StartKamailio, tmp_path: Path
) -> None:
    provider = start_kamailio(TEMPLATE, password=PASSWORD)
    make_account(tmp_path / "accounts.db", provider, expires=600)
    ini = INI.replace("[sip]\n", "[sip]\nworkers = 2\n")
    with (
        Endpoint("caller") as caller,
        Endpoint("alice") as alice,
        Endpoint("prober") as prober,
    ):
        service = start_uacproxy(ini, database=tmp_path / "accounts.db")
        contact = alice.contact + "Expires: 600\r\n"
        alice.send(
            request(alice, "REGISTER", "sip:a.example", "sip:alice@a.example", contact),
            service.address,
        )
        alice.hears("200")
        service.wait_for(uac_regactive=1)
        at = f"{provider.host}:{provider.port}"

        def alice_is_called() -> None:
            call = Caller(caller, at, f"sip:{USER}@provider.example")
            call.invite()
            invite = alice.hears("INVITE")
            assert invite.request_uri == f"sip:alice@{alice.address}"
            alice.answers(invite, "603 Decline", service.address, tag="d")
            call.acknowledge_failure(caller.hears_final("603"))
            alice.hears("ACK")

        for _ in range(3):
            alice_is_called()
        before = len(granted(provider))
        assert before == 1
        assert service.ask("uac.reg_dump")[0]["l_uuid"] == "trunk1"
        assert len(service.ask("uac.reg_dump")) == 1
        assert "200" in service.ask("explain", "trunk1")
        service.ask("uac.reg_info", "l_username", "alice")
        wait_until_kept(service, REGISTRATIONS, lambda _, value: decode(value).granted > 0)
        stats = service.stats()
        for number in (1, 2):
            os.kill(int(stats[f"worker.{number}.pid"]), signal.SIGKILL)
        alice_is_called()  # it waits for its worker, and that for the accounts
        service.wait_for(uac_regactive=1)
        assert len(granted(provider)) == before  # what is still valid is not registered again
        service.ask("uac.reg_register", "l_uuid", "trunk1")
        service.server.wait_until(lambda: len(granted(provider)) == before + 1)
        service.signal(signal.SIGTERM)
        assert service.server.process.wait(30) == 0
        assert not is_bound(prober, provider)
        assert PASSWORD not in service.output
