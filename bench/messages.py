"""The messages of a W1 call as our own peers write them: what SIPp's scenarios say."""

from __future__ import annotations

from collections.abc import Iterable

Address = tuple[str, int]

SDP = (
    b"v=0\r\no=alice 2890844526 2890844526 IN IP4 127.0.0.1\r\ns=call\r\nc=IN IP4 127.0.0.1\r\n"
    b"t=0 0\r\nm=audio 6000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
)


def fields_of(message: bytes, *names: bytes) -> bytes:
    """Return the lines of a message whose names are among these, in the message's order."""
    head = message.partition(b"\r\n\r\n")[0]
    lines = [line for line in head.split(b"\r\n")[1:] if line.partition(b":")[0] in names]
    return b"".join(line + b"\r\n" for line in lines)


def value_of(message: bytes, name: bytes) -> bytes:
    """Return the first value of a field, empty where there is none."""
    return fields_of(message, name).partition(b":")[2].partition(b"\r\n")[0].strip()


def build_request(
    method: bytes,
    number: int,
    caller: Address,
    *,
    user: bytes = b"",
    answer: bytes = b"",
) -> bytes:
    """Return what the caller sends; inside the dialog from its second request on.

    Args:
        method: INVITE, ACK or BYE.
        number: of the call.
        caller: its address.
        user: of the Request-URI; empty: a number of its own for each call.
        answer: the 200 of the INVITE, for a request inside the dialog.
    """
    host, port = caller[0].encode(), caller[1]
    fields = b"Via: SIP/2.0/UDP %b:%d;branch=z9hG4bK-4242-%d-%b;rport\r\n" % (
        host,
        port,
        number,
        method,
    )
    uri = b"sip:%b@provider.example.net" % (user or b"+4930555%d" % number)
    to = b"To: <%b>\r\n" % uri
    if answer:
        uri = value_of(answer, b"Contact").strip(b"<>")
        to = fields_of(answer, b"To")
        routes = fields_of(answer, b"Record-Route").splitlines(keepends=True)
        fields += b"".join(reversed(routes)).replace(b"Record-Route", b"Route")
    fields += (
        b"Max-Forwards: 70\r\n"
        b'From: "Alice Example" <sip:alice@pbx.example.com>;tag=4242a%d\r\n'
        % number
        + to
        + b"Call-ID: %d-4242@%b\r\nCSeq: %d %b\r\n"
        % (number, host, 2 if method == b"BYE" else 1, method)
        + b"Contact: <sip:alice@%b:%d;transport=udp>\r\n" % (host, port)
    )
    body = b""
    if method == b"INVITE":
        body = SDP
        fields += (
            b"Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, "
            b"PUBLISH, MESSAGE\r\nSupported: replaces, timer, norefersub\r\n"
        )
    fields += b"User-Agent: ExamplePBX/20.5.0 (load generator)\r\n"
    if method == b"INVITE":
        fields += b"X-Correlation-ID: 7f3a9b0e-5c1d-4a52-9c2e-000%d\r\n" % number
        fields += b"Content-Type: application/sdp\r\n"
    if method == b"BYE":
        fields += b'Reason: Q.850;cause=16;text="Normal call clearing"\r\n'
    fields += b"Content-Length: %d\r\n\r\n" % len(body)
    return method + b" " + uri + b" SIP/2.0\r\n" + fields + body


def build_register(number: int, phone: Address, registrar: Address) -> bytes:
    """Return what a phone sends to have its Contact known, without credentials."""
    host, port = phone[0].encode(), phone[1]
    return (
        b"REGISTER sip:%b:%d SIP/2.0\r\nVia: SIP/2.0/UDP %b:%d;branch=z9hG4bK-r-%d;rport\r\n"
        b"Max-Forwards: 70\r\nFrom: <sip:phone%d@pbx.example>;tag=r%d\r\n"
        b"To: <sip:phone%d@pbx.example>\r\n"
        b"Call-ID: r%d-4242@%b\r\nCSeq: 1 REGISTER\r\nContact: <sip:phone%d@%b:%d>\r\n"
        b"Expires: 600\r\nUser-Agent: ExamplePhone/3.1 (load generator)\r\n"
        b"Content-Length: 0\r\n\r\n"
        % (
            *(registrar[0].encode(), registrar[1], host, port, number),
            *(number, number, number),
            *(number, host, number, host, port),
        )
    )


def build_answers(number: int, invite: bytes, callee: Address) -> Iterable[bytes]:
    """Return what the callee answers to an INVITE: 100, 180, 200."""
    tag = b";tag=77p%d" % number
    contact = b"Contact: <sip:%b:%d;transport=udp>\r\n" % (callee[0].encode(), callee[1])
    return (
        build_answer(b"100 Trying", invite, has_server=False),
        build_answer(b"180 Ringing", invite, tag, contact),
        build_answer(b"200 OK", invite, tag, contact, SDP),
    )


def build_answer(
    status: bytes,
    request: bytes,
    tag: bytes = b"",
    contact: bytes = b"",
    body: bytes = b"",
    *,
    has_server: bool = True,
    is_routed: bool = True,
) -> bytes:
    """Return a response with the usual fields of the request."""
    head = b"SIP/2.0 " + status + b"\r\n" + fields_of(request, b"Via")
    if tag and is_routed:
        head += fields_of(request, b"Record-Route")
    head += fields_of(request, b"From")
    head += fields_of(request, b"To")[:-2] + tag + b"\r\n"
    head += fields_of(request, b"Call-ID", b"CSeq")
    if has_server:
        head += b"Server: ProviderSBC/7.2\r\n"
    head += contact
    if body:
        head += b"Content-Type: application/sdp\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
