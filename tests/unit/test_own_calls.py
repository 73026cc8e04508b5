"""INVITE by ``req_send``: the dialog in the script's hand, and what is right without it."""

from __future__ import annotations

from tests.support.world import CALLEE, OTHER, World, answer, invite
from uacproxy.sip.message import Message
from uacproxy.sip.names import CONTACT, CONTENT_TYPE, UNSUPPORTED

START = """
from uacproxy.routing import Drop, event_route, request_route
@event_route("uac:reply")
def heard(ctx):
    ctx.log.info("event {c} {t} {d}", c=ctx["$uac_req(evcode)"], t=ctx["$uac_req(evtype)"],
        d=ctx.uac.dialog is not None)
@event_route("uac:request")
def came(ctx):
    ctx.log.info("came {m} {p}", m=ctx.request.method, p=ctx["$uac_req(evparam)"])
@request_route
async def main(ctx):
"""
CALL = """
    sent = ctx.uac.req_send(method="INVITE", ruri="sip:bob@192.0.2.2", evroute=1, evparam="p",
        auser="alice", apasswd="secret", KEYS)
    reply = await sent
    ctx.log.info("{s} {r}", s=reply.status, r=reply.reason)
    dialog = reply.dialog
"""
END = "\n    return Drop()\n"
STAND = """
    ctx.log.info("ended by {e}", e=await dialog.ended())
"""
OFFER = (
    b"v=0\r\no=b 5 6 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n"
    b"m=video 4002 UDP/TLS/RTP/SAVPF 97\r\n"
)
TYPED = b"Content-Type: application/sdp\r\n"


def call(then: str = STAND, keys: str = "", **options: object) -> World:
    source = START + CALL.replace("KEYS", keys) + then + END
    world = World(source, **options)  # type: ignore[arg-type]
    world.receive(invite(method=b"MESSAGE"))
    return world


def last_invite(world: World) -> Message:
    return [one for one in world.sent_to(CALLEE) if one.method == b"INVITE"][-1]


def says(
    world: World, status: int, tag: bytes = b"bt1", fields: bytes = b"", body: bytes = b""
) -> None:
    world.receive(answer(last_invite(world), status, tag, fields, body), CALLEE)


def from_far(
    world: World,
    method: bytes,
    cseq: int = 1,
    *,
    tag: bytes = b"bt1",
    fields: bytes = b"",
    body: bytes = b"",
) -> Message | None:
    """Let the far end send a request in the dialog; return what it got last."""
    sent = last_invite(world)
    contact = sent.addresses(CONTACT)[0].uri
    octets = (
        method + b" " + contact + b" SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK%d" % cseq + method + b"\r\n"
        b"Max-Forwards: 70\r\nFrom: <sip:bob@192.0.2.2>;tag=" + tag + b"\r\n"
        b"To: " + sent.from_.raw + b"\r\nCall-ID: " + sent.call_id + b"\r\n"
        b"CSeq: %d "
        % cseq
        + method
        + b"\r\nContact: <sip:bob@192.0.2.2>\r\n"
        + fields
        + b"Content-Length: %d\r\n\r\n" % len(body)
        + body
    )
    world.receive(octets, CALLEE)
    return None if method == b"ACK" else world.last_to(CALLEE)


def nothing_is_left(world: World) -> None:
    world.let(400.0)
    assert (len(world.own_calls), len(world.requests)) == (0, 0)
    assert (world.table.clients, world.table.servers) == (0, 0)
    assert world.clock.getDelayedCalls() == []
    assert world.counters.script_errors == 0, world.log.lines


def test_a_call_is_acknowledged_and_ended_by_the_script() -> None:
    world = call("    bye = await dialog.bye()\n    ctx.log.info('{b}', b=bye.status)\n")
    says(world, 180)
    says(world, 200)
    first, ack, bye = world.sent_to(CALLEE)
    assert first.get(CONTACT) is not None
    assert (ack.method, ack.cseq.number, ack.request_uri) == (b"ACK", 10, b"sip:bob@192.0.2.2")
    assert (bye.method, bye.cseq.number, bye.to.tag) == (b"BYE", 11, b"bt1")
    world.receive(answer(bye, 200), CALLEE)
    assert world.log.lines == ["event 200 1 True", "200 Whatever", "200"]
    nothing_is_left(world)


def test_a_200_that_comes_again_is_acknowledged_again() -> None:
    world = call()
    says(world, 200)
    says(world, 200)
    assert world.kinds_to(CALLEE) == ["INVITE", "ACK", "ACK"]
    from_far(world, b"BYE")
    nothing_is_left(world)


def test_every_callee_of_a_fork_is_acknowledged_and_all_but_the_first_ended() -> None:
    world = call()
    says(world, 200, b"one")
    says(world, 200, b"two")
    says(world, 200, b"three")
    sent = [(one.method, one.to.tag) for one in world.sent_to(CALLEE)[1:]]
    assert sent == [
        (b"ACK", b"one"),
        (b"ACK", b"two"),
        (b"BYE", b"two"),
        (b"ACK", b"three"),
        (b"BYE", b"three"),
    ]
    assert [line for line in world.log.lines if line.startswith("event")] == ["event 200 1 True"]
    assert len(world.own_calls) == 1
    from_far(world, b"BYE", tag=b"one")
    nothing_is_left(world)


def test_a_bye_of_the_far_end_is_answered_and_told() -> None:
    world = call()
    says(world, 200)
    response = from_far(world, b"BYE")
    assert response is not None and response.status == 200
    assert world.log.lines[-1] == "ended by them"
    again = from_far(world, b"INFO", 2)
    assert again is not None and again.status != 200
    world.let(400.0)
    assert len(world.own_calls) == 0


def test_a_challenge_is_answered_with_the_next_cseq_and_bye_too() -> None:
    challenge = b'WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth"\r\n'
    world = call("    bye = await dialog.bye()\n    ctx.log.info('{b}', b=bye.status)\n")
    says(world, 401, fields=challenge)
    says(world, 200)
    ack, bye = world.sent_to(CALLEE)[-2:]
    assert (ack.cseq.number, bye.cseq.number) == (11, 12)
    assert not ack.has(b"authorization")  # they are nothing for the far end
    world.receive(answer(bye, 401, fields=challenge.replace(b"n1", b"n2")), CALLEE)
    again = world.last_to(CALLEE)
    assert (again.method, again.cseq.number) == (b"BYE", 13)
    assert b'nonce="n2"' in (again.get(b"authorization") or b"")
    world.receive(answer(again, 200), CALLEE)
    assert world.log.lines[-1] == "200"
    nothing_is_left(world)


def test_a_refusal_is_the_reply() -> None:
    world = call("")
    says(world, 486)
    assert world.log.lines == ["event 486 1 False", "486 Whatever"]
    nothing_is_left(world)


def test_silence_is_a_time_out_of_our_own() -> None:
    world = call("")
    world.let(40.0)
    assert world.log.lines == ["event 408 2 False", "408 no answer in time"]
    nothing_is_left(world)


def test_fr_timeout_ends_the_wait_for_a_first_answer() -> None:
    world = call("", "fr_timeout=2000")
    world.let(2.1)
    assert world.log.lines[-1] == "408 no answer in time"
    nothing_is_left(world)


def test_fr_inv_timeout_cancels_what_rings_too_long() -> None:
    world = call("", "fr_timeout=2000, fr_inv_timeout=5000")
    says(world, 180)
    world.let(4.9)
    assert world.kinds_to(CALLEE) == ["INVITE"]
    world.let(0.2)
    cancel = world.last_to(CALLEE)
    assert (cancel.method, cancel.cseq.number) == (b"CANCEL", 10)
    world.receive(answer(cancel, 200), CALLEE)
    says(world, 487)
    assert world.log.lines[-1] == "408 nobody answered"
    nothing_is_left(world)


def test_a_100_alone_counts_as_an_answer_to_fr_timeout() -> None:
    world = call("", "fr_timeout=2000, fr_inv_timeout=5000")
    says(world, 100, b"")
    world.let(6.9)
    assert "CANCEL" not in world.kinds_to(CALLEE)
    world.let(0.2)
    assert world.kinds_to(CALLEE)[-1] == "CANCEL"
    nothing_is_left(world)


def test_an_answer_that_crosses_our_cancel_is_acknowledged_and_ended() -> None:
    world = call("", "fr_inv_timeout=1000")
    says(world, 180)
    world.let(1.1)
    says(world, 200)
    assert world.kinds_to(CALLEE) == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert world.log.lines[-1] == "408 the answer came after we had given up"
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    nothing_is_left(world)


def test_the_script_may_cancel() -> None:
    cancelling = CALL.replace("KEYS", "").replace("    reply =", "    sent.cancel()\n    reply =")
    world = World(START + cancelling + END)
    world.receive(invite(method=b"MESSAGE"))
    says(world, 180)
    assert world.kinds_to(CALLEE) == ["INVITE", "CANCEL"]
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    says(world, 487)
    assert world.log.lines[-1] == "487 Whatever"
    nothing_is_left(world)


def test_an_offer_in_the_200_is_answered_in_the_ack_without_media() -> None:
    world = call()
    says(world, 200, fields=TYPED, body=OFFER)
    ack = world.last_to(CALLEE)
    assert ack.get(CONTENT_TYPE) == b"application/sdp"
    assert ack.body.split(b"\r\n")[3:] == [
        b"c=IN IP4 0.0.0.0",
        b"t=0 0",
        b"m=audio 9 RTP/AVP 96",
        b"a=inactive",
        b"a=rtpmap:96 opus/48000/2",
        b"m=video 0 UDP/TLS/RTP/SAVPF 97",
        b"",
    ]
    from_far(world, b"BYE")
    nothing_is_left(world)


def test_a_re_invite_is_accepted_until_its_ack_comes() -> None:
    world = call()
    says(world, 200)
    response = from_far(world, b"INVITE", 1, fields=TYPED, body=OFFER)
    assert response is not None
    assert (response.status, response.to.tag) == (200, last_invite(world).from_.tag)
    assert response.has(CONTACT) and b"m=audio 9 RTP/AVP 96" in response.body
    world.let(1.1)
    assert world.kinds_to(CALLEE)[-2:] == ["200", "200"]
    busy = from_far(world, b"INVITE", 2, fields=TYPED, body=OFFER)
    assert busy is not None and busy.status == 500
    from_far(world, b"ACK", 1)
    before = len(world.sent)
    world.let(10.0)
    assert [one for one in world.kinds_to(CALLEE)[before:] if one == "200"] == []
    without = from_far(world, b"INVITE", 3)
    assert without is not None and without.body == response.body
    from_far(world, b"ACK", 3)
    from_far(world, b"BYE", 4)
    world.let(400.0)
    assert len(world.own_calls) == 0


def test_a_re_invite_whose_ack_never_comes_ends_the_call() -> None:
    world = call()
    says(world, 200)
    from_far(world, b"INVITE", 1, fields=TYPED, body=OFFER)
    world.let(33.0)
    assert "BYE" in world.kinds_to(CALLEE)
    assert world.log.lines[-1] == "ended by us"
    nothing_is_left(world)


def test_what_comes_in_the_call_is_answered_and_told() -> None:
    world = call()
    says(world, 200)
    for cseq, (method, status) in enumerate(
        ((b"OPTIONS", 200), (b"INFO", 200), (b"NOTIFY", 200), (b"UPDATE", 200), (b"REFER", 405)), 1
    ):
        response = from_far(world, method, cseq)
        assert response is not None and response.status == status
    assert world.log.lines[2:] == ["came INFO p", "came NOTIFY p"]
    old = from_far(world, b"MESSAGE", 2)
    assert old is not None and old.status == 500
    strange = from_far(world, b"INFO", 9, tag=b"stranger")
    assert strange is not None and strange.status == 481
    required = from_far(world, b"INFO", 10, fields=b"Require: magic\r\n")
    assert required is not None
    assert (required.status, required.get(UNSUPPORTED)) == (420, b"magic")
    broken = from_far(world, b"UPDATE", 11, fields=b"Contact: <\r\n")
    assert broken is not None and broken.status in (200, 400)
    from_far(world, b"BYE", 12)
    nothing_is_left(world)


def test_a_request_of_the_script_inside_the_call() -> None:
    world = call(
        """
    refer = await dialog.request("REFER", hdrs="Refer-To: <sip:carol@192.0.2.3>")
    ctx.log.info("refer {s} {e}", s=refer.status, e=dialog.ended_by)
    ctx.log.info("bye {s}", s=(await dialog.bye()).status)
    try:
        dialog.bye()
    except Exception as error:
        ctx.log.info("{e}", e=error)
"""
    )
    says(world, 200, fields=b"Record-Route: <sip:192.0.2.3;lr>\r\n")
    refer = world.last_to(OTHER)
    assert (refer.method, refer.cseq.number) == (b"REFER", 11)
    assert b"Refer-To: <sip:carol@192.0.2.3>" in refer.lines
    assert refer.has(CONTACT)
    world.receive(answer(refer, 202), OTHER)
    world.receive(answer(world.last_to(OTHER), 200), OTHER)
    assert world.log.lines[2:] == ["refer 202 ", "bye 200", "the call has ended"]
    nothing_is_left(world)


def test_a_481_says_that_the_call_is_lost() -> None:
    world = call(
        """
    await dialog.request("INFO")
    ctx.log.info("ended by {e}", e=await dialog.ended())
"""
    )
    says(world, 200)
    world.receive(answer(world.last_to(CALLEE), 481), CALLEE)
    assert world.log.lines[-1] == "ended by lost"
    nothing_is_left(world)


def test_a_call_that_nobody_ends_does_not_last_for_ever() -> None:
    world = call()
    says(world, 200)
    world.let(3601.0)
    assert world.kinds_to(CALLEE)[2] == "BYE"
    assert world.log.lines[-1] == "ended by us"
    nothing_is_left(world)


def test_as_the_service_stops_every_call_is_ended() -> None:
    world = call()
    says(world, 200)
    world.own_calls.hang_up()
    assert world.kinds_to(CALLEE)[-1] == "BYE"
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    nothing_is_left(world)


def test_the_same_call_twice_and_too_many_are_refused() -> None:
    for keys, why in (
        ('callid="c", ftag="f"', "a call of this Call-ID and From tag is there already"),
        ("", "too many calls of our own"),
    ):
        first = "    ctx.uac.req_send(method='INVITE', ruri='sip:192.0.2.2', KEYS)\n"
        twice = START + first + CALL + END
        world = World(twice.replace("KEYS", keys), max_requests=1 if not keys else 10)
        world.receive(invite(method=b"MESSAGE"))
        world.let(0.1)
        assert world.log.lines[-1] == f"503 {why}"
        nothing_is_left(world)


def test_a_number_spent_on_a_challenge_is_not_used_again() -> None:
    world = call("    await dialog.request('INFO')\n    dialog.bye()\n")
    says(world, 200)
    challenge = b'WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth"\r\n'
    world.receive(answer(world.last_to(CALLEE), 401, fields=challenge), CALLEE)
    world.receive(answer(world.last_to(CALLEE), 200), CALLEE)
    numbers = [(one.method, one.cseq.number) for one in world.sent_to(CALLEE)[2:]]
    assert numbers == [(b"INFO", 11), (b"INFO", 12), (b"BYE", 13)]


def test_what_has_a_route_is_only_on_its_way_to_us() -> None:
    world = call()
    says(world, 200)
    passing = from_far(world, b"BYE", fields=b"Route: <sip:192.0.2.100;lr>\r\n")
    assert passing is not None
    assert len(world.own_calls) == 1
    from_far(world, b"BYE", 2)
    assert len(world.own_calls) == 0


def test_a_bye_that_crosses_ours_is_answered() -> None:
    world = call("    dialog.bye()\n")
    says(world, 200)
    bye = world.last_to(CALLEE)
    for method, status in ((b"INFO", 481), (b"BYE", 200)):
        response = from_far(world, method, status)
        assert response is not None and response.status == status
    world.receive(answer(bye, 200), CALLEE)
    assert len(world.own_calls) == 0
    nothing_is_left(world)
