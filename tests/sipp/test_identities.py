"""SIPp on both sides of the service: From, To and CSeq of every message of a whole call."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.support.sipp_traffic import CHALLENGED, PASSWORD, Start, StartSipp, Traffic


@pytest.mark.parametrize("how", ["relay", "bridge"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_both_sides_see_their_own_identities_whoever_hangs_up(
    start_uacproxy: Start, start_sipp: StartSipp, tmp_path: Path, transport: str, how: str
) -> None:
    Traffic(start_uacproxy, start_sipp, tmp_path, transport, rate=10, seconds=2, how=how).check()


@pytest.mark.parametrize("how", ["relay", "bridge"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_challenge_is_answered_and_the_cseq_stays_one_ahead_for_the_whole_call(
    start_uacproxy: Start, start_sipp: StartSipp, tmp_path: Path, transport: str, how: str
) -> None:
    traffic = Traffic(
        start_uacproxy,
        start_sipp,
        tmp_path,
        transport,
        rate=10,
        seconds=2,
        how=how,
        ini=CHALLENGED,
        callee="callee_challenges.xml",
    )
    messages = traffic.check()
    answers = re.findall(
        r"^([A-Z]+) sip:[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*?Proxy-Authorization: Digest (.*?)\r?$",
        messages,
        re.MULTILINE,
    )
    assert len(answers) >= 20
    assert all(is_answer_of(PASSWORD, method, answer) for method, answer in answers)
    if how == "relay":
        assert traffic.service.stats()["proxy.authenticated"] == 20
    assert PASSWORD not in traffic.service.output


def is_answer_of(password: str, method: str, answer: str) -> bool:
    """Compute the response of RFC 7616 3.4.1 anew, and compare; an ACK repeats its INVITE's."""
    pairs = re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]*))', answer)
    found: dict[str, str] = {name: quoted or plain for name, quoted, plain in pairs}
    ha1 = md5(f"{found['username']}:{found['realm']}:{password}")
    asked = "INVITE" if method == "ACK" else method
    ha2 = md5(f"{asked}:{found['uri']}")
    middle = ":".join(found[name] for name in ("nonce", "nc", "cnonce", "qop"))
    return found["response"] == md5(f"{ha1}:{middle}:{ha2}")


def md5(text: str) -> str:
    """Return the digest in hexadecimal digits."""
    return hashlib.md5(text.encode()).hexdigest()


@pytest.mark.slow
def test_twenty_calls_a_second_for_a_minute_over_udp_and_tcp_need_no_retransmission(
    start_uacproxy: Start, start_sipp: StartSipp, tmp_path: Path
) -> None:
    over = [
        Traffic(start_uacproxy, start_sipp, tmp_path, transport, rate=20, seconds=60)
        for transport in ("udp", "tcp")
    ]
    for traffic in over:
        traffic.check()
