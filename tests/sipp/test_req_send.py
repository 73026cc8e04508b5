"""Click to call by ``req_send``, with SIPp as the phone: INVITE, REFER, re-INVITE, NOTIFY, BYE."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.endpoint import Endpoint
from tests.support.services import Sipp
from tests.support.sipp_scenarios import as_played
from tests.support.uacproxy_process import UacproxyProcess

SCENARIO = Path(__file__).parent / "scenarios" / "phone_is_called_and_referred.xml"
CALLS = 20

INI = """\
[sip]
listen = udp:@HERE@
t1 = 4s

[routing]
script = route.py
"""

SCRIPT = """\
from uacproxy.routing import Reply, event_route, request_route

@event_route("uac:request")
def came(ctx):
    ctx.log.info("told {what}", what=ctx.request.body.decode().strip())
    ctx.uac.dialog.bye()


@request_route
async def main(ctx):
    calls = [
        ctx.uac.req_send(
            method="INVITE",
            ruri="sip:phone@@PHONE@",
            furi='"Call to sip:carol@c.example" <sip:click@trunk.example>',
        )
        for _ in range(@CALLS@)
    ]
    dialogs = []
    for call in calls:
        dialogs.append((await call).dialog)
    for dialog in dialogs:
        dialog.request("REFER", hdrs="Refer-To: <sip:carol@c.example>")
    ended = []
    for dialog in dialogs:
        ended.append(await dialog.ended())
    return Reply(200, " ".join(sorted(set(ended))))
"""

Start = Callable[..., UacproxyProcess]
StartSipp = Callable[..., Sipp]


def test_phones_are_called_referred_on_and_hung_up(
    start_uacproxy: Start, start_sipp: StartSipp, tmp_path: Path
) -> None:
    phone = start_sipp(as_played(SCENARIO, "relay", tmp_path), "", "-m", str(CALLS))
    phone.wait_until_listening()
    service = start_uacproxy(INI, files={"route.py": SCRIPT}, phone=phone.uri_host, calls=CALLS)
    with Endpoint("tester") as tester:
        tester.send(
            f"INFO sip:go@{service.address} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {tester.address};branch=z9hG4bKgo\r\nMax-Forwards: 70\r\n"
            "From: <sip:t@a.example>;tag=1\r\nTo: <sip:go@b.example>\r\nCall-ID: go\r\n"
            "CSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n",
            service.address,
        )
        phone.finish().check()
        assert tester.hears_final("200").start == "SIP/2.0 200 us"
    service.wait_for_log("told SIP/2.0 200 OK", CALLS)
    service.wait_for(uac_calls=0, uac_requests=0)
