"""A route script with the examples of the uac module's manual.

Handlers are plain or async functions; they look at and edit the request through ``ctx``
and return what is to happen: Relay, Reply or Drop. Requests inside a dialog follow their
route set by themselves, identities and CSeq put right; they never come here.
"""

from uacproxy.routing import Relay, Reply, event_route, failure_route, request_route

TRUNK = "sip:gw.trunk.example;transport=tcp"
PHONES = "192.0.2."  # who may call out: addresses that begin so; else anybody could, at your cost


@request_route
async def main(ctx):
    """Decide about every request that begins something."""
    if ctx.in_dialog:
        return Reply(481)  # of no dialog that began here
    calls_out = ctx.request.method == "INVITE" and ctx["$rd"] == "trunk.example"
    if calls_out and ctx["$si"].startswith(PHONES):
        ctx.track_dialog()  # dlg_manage()
        ctx.uac.replace_from('"Trunk 7"', "sip:7@trunk.example")  # uac_replace_from(display, uri)
        ctx.on_failure("TRUNKAUTH")  # t_on_failure("TRUNKAUTH")
        return Relay(TRUNK)
    if ctx.uac.reg_lookup("$rU", "$ru"):  # uac_reg_lookup("$rU", "$ru")
        ctx.log.info("request from a provider [{ou} => {ru}]", ou=ctx["$ou"], ru=ctx["$ru"])
        return Relay()  # to the bindings of the local user
    if ctx.is_myself("$ru"):
        return Relay()  # a local user; calls to anywhere else need a trunk above
    return Reply(404)


@event_route("uac:reply")
def heard(ctx):
    """Hear how a request of our own ended: a reply (evtype 1), or none (evtype 2)."""
    ctx.log.info("received reply code is: {code}", code=ctx["$uac_req(evcode)"])


def tell_trunk(ctx, text):
    """Send a MESSAGE of our own; call it from any handler."""
    ctx["$uac_req(method)"] = "MESSAGE"
    ctx["$uac_req(ruri)"] = "sip:operator@trunk.example"
    ctx["$uac_req(furi)"] = '"Trunk 7" <sip:7@trunk.example>'
    ctx["$uac_req(ouri)"] = TRUNK
    ctx["$uac_req(auser)"], ctx["$uac_req(apasswd)"] = "test", "test"
    ctx["$uac_req(hdrs)"] = "Content-Type: text/plain\r\n"
    ctx["$uac_req(body)"] = text
    ctx["$uac_req(evroute)"] = 1
    return ctx.uac.req_send()


@failure_route("TRUNKAUTH")
async def trunk_auth(ctx):
    """Answer the trunk's challenge."""
    if ctx.is_canceled or not ctx.check_status("401|407"):
        return None  # the best response goes on
    ctx["$avp(auser)"], ctx["$avp(apass)"] = "test", "test"
    if ctx.uac.auth():
        return Relay()
    return None
