"""A route script with the examples of the uac module's manual.

Handlers are plain or async functions; they look at and edit the request through ``ctx``
and return what is to happen: Relay, Reply or Drop. Requests inside a dialog follow their
route set by themselves, identities and CSeq put right; they never come here.
"""

from uacproxy.routing import Relay, Reply, failure_route, request_route

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


@failure_route("TRUNKAUTH")
async def trunk_auth(ctx):
    """Answer the trunk's challenge."""
    if ctx.is_canceled or not ctx.check_status("401|407"):
        return None  # the best response goes on
    ctx["$avp(auser)"], ctx["$avp(apass)"] = "test", "test"
    if ctx.uac.auth():
        return Relay()
    return None
