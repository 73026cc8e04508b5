"""An account kept registered at a real Kamailio, and the calls that reach a local user by it."""

from __future__ import annotations

import signal
from pathlib import Path

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


def test_an_account_stays_registered_over_three_refreshes_and_is_taken_back_at_the_end(
    start_uacproxy: Start, start_kamailio: StartKamailio, tmp_path: Path
) -> None:
    provider = start_kamailio(TEMPLATE, password=PASSWORD)
    make_account(tmp_path / "accounts.db", provider, expires=6)
    with Endpoint("prober") as prober:
        early = "[uac]\nreg_refresh_from = 30\nreg_refresh_until = 40\n"
        ini = INI.replace("[uac]\n", early)  # long before it expires: the machine may halt
        service = start_uacproxy(ini, database=tmp_path / "accounts.db")
        service.wait_for(uac_regactive=1)
        assert is_bound(prober, provider)

        def is_refreshed() -> bool:
            assert is_bound(prober, provider)  # whenever one looks
            return len(granted(provider)) >= 4

        service.server.wait_until(is_refreshed, within=60.0)
        seen = granted(provider)
        assert {each.contact for each in seen} == {f"sip:trunk1@{service.address}"}
        assert {(each.user, each.auth_user, each.expires) for each in seen} == {(USER, USER, "6")}
        assert len({each.call_id for each in seen}) == 1
        assert [int(each.cseq) for each in seen] == sorted({int(each.cseq) for each in seen})
        assert service.stats()["registration.challenged"] == 1  # the nonce serves for refreshes
        assert "200" in service.uacctl("explain", "trunk1")
        service.signal(signal.SIGTERM)
        assert service.server.process.wait(30) == 0
        assert not is_bound(prober, provider)
        assert granted(provider)[-1].expires == "0"
        assert PASSWORD not in service.output


def test_a_call_to_the_account_reaches_the_local_user_who_is_registered_here(
    start_uacproxy: Start, start_kamailio: StartKamailio, tmp_path: Path
) -> None:
    provider = start_kamailio(TEMPLATE, password=PASSWORD)
    make_account(tmp_path / "accounts.db", provider, expires=60)
    with Endpoint("caller") as caller, Endpoint("alice") as alice:
        service = start_uacproxy(INI, database=tmp_path / "accounts.db")
        contact = alice.contact + "Expires: 60\r\n"
        alice.send(
            request(alice, "REGISTER", "sip:a.example", "sip:alice@a.example", contact),
            service.address,
        )
        alice.hears("200")
        service.wait_for(uac_regactive=1)
        at = f"{provider.host}:{provider.port}"
        call = Caller(caller, at, f"sip:{USER}@provider.example")
        call.invite()
        invite = alice.hears("INVITE")
        assert invite.request_uri == f"sip:alice@{alice.address}"
        assert invite.get("from") == call.from_
        assert len(invite.all("record-route")) == 2
        alice.answers(invite, "200 OK", service.address, tag="local", more=alice.contact)
        answer = caller.hears_final("200")
        call.in_dialog("ACK", answer, 1)
        alice.hears("ACK")
        call.in_dialog("BYE", answer, 2)
        alice.answers(alice.hears("BYE"), "200 OK", service.address)
        assert caller.hears("200").get("cseq") == "2 BYE"


def test_an_account_with_a_wrong_password_says_so(
    start_uacproxy: Start, start_kamailio: StartKamailio, tmp_path: Path
) -> None:
    provider = start_kamailio(TEMPLATE, password="another")
    make_account(tmp_path / "accounts.db", provider, expires=60)
    service = start_uacproxy(INI, database=tmp_path / "accounts.db")
    stats = service.wait_for(registration_refused=1)
    assert stats["uac.regactive"] == 0
    assert "401" in service.uacctl("explain", "trunk1")
    assert granted(provider) == []
