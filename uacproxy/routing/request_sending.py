"""From ``$uac_req`` to a request on its way, and from its end to whoever wanted to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from uacproxy.errors import ScriptError
from uacproxy.ports import Flow, Random
from uacproxy.routing.own_dialog import OwnDialog
from uacproxy.routing.pending_reply import PendingReply, Promise, SentReply
from uacproxy.routing.scope import Scope
from uacproxy.routing.uac_req import EVERY_FINAL, FAILURES, UacReq
from uacproxy.settings import ListenAddress
from uacproxy.sip.message import Message
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.own_call import OwnCall
from uacproxy.uac.own_calls import OwnCalls
from uacproxy.uac.own_request import BadKey, OwnRequest, make_request
from uacproxy.uac.request_exchange import Answer, OwnRequests

EVENT: Final = "uac:reply"
REQUEST_EVENT: Final = "uac:request"

RECEIVED: Final = 1  # of evtype: the peer answered
LOCAL: Final = 2  # nobody did: the code is ours


@final
class RequestSending:
    """What ``req_send`` works with; one for the service.

    Args:
        requests: sends them, except INVITE.
        calls: sends those.
        random: for Call-IDs and tags.
        user_agent: of the field.
        credentials: the ``credential`` lines.
        listens_on: tells whether a socket is one of ours.
        promise: makes what a handler can wait for.
        tell: runs an event route, if the script has one.
    """

    def __init__(
        self,
        *,
        requests: OwnRequests,
        calls: OwnCalls,
        random: Random,
        user_agent: bytes,
        credentials: CredentialList,
        listens_on: Callable[[ListenAddress], bool],
        promise: Callable[[], Promise],
        tell: Callable[[str, Scope], None],
    ) -> None:
        self._requests = requests
        self._calls = calls
        self._random = random
        self._user_agent = user_agent
        self._credentials = credentials
        self._listens_on = listens_on
        self._promise = promise
        self._tell = tell

    def send(self, uac_req: UacReq, flow: Flow) -> PendingReply:
        """Send what the keys describe; they may be written anew at once.

        Args:
            uac_req: of the context.
            flow: of the context, for the variables of an event about no flow at all.

        Raises:
            ScriptError: no request can be made of them.
        """
        kept = uac_req.copy()
        request = self._make(kept)
        pending = PendingReply(self._promise)

        def heard(answer: Answer) -> None:
            call = pending.call
            dialog = None
            if call is not None and call.dialog is not None:
                dialog = OwnDialog(call, self._promise)
            self._tell_event(kept, answer, flow, dialog)
            if answer.is_last:
                pending.ended(SentReply(answer, dialog))

        if request.message.method == b"INVITE":
            pending.call = self._calls.call(request, heard)
            self._listen(pending.call, kept, flow)
        else:
            self._requests.send(request, heard)
        return pending

    def sleep(self, seconds: float) -> Promise:
        """Return what is over after so many seconds."""
        promise = self._promise()
        self._calls.clock.callLater(seconds, promise.callback, None)
        return promise

    def _listen(self, call: OwnCall, keys: UacReq, flow: Flow) -> None:
        """Have requests that come inside the call told to ``event_route("uac:request")``."""

        def came(request: Message) -> None:
            scope = Scope(request, request.branch_copy(), flow, True)
            scope.uac_req = keys.copy()
            scope.own_dialog = OwnDialog(call, self._promise)
            self._tell(REQUEST_EVENT, scope)

        call.came = came

    def _make(self, keys: UacReq) -> OwnRequest:
        try:
            request = make_request(keys.keys(), self._random, self._user_agent, self._credentials)
        except BadKey as error:
            raise ScriptError(error.why) from error
        if request.socket is not None and not self._listens_on(request.socket):
            raise ScriptError(f"$uac_req(sock): {request.socket} is no listener of ours")
        return request

    def _tell_event(
        self, keys: UacReq, answer: Answer, flow: Flow, dialog: OwnDialog | None
    ) -> None:
        wanted = keys.evroute == EVERY_FINAL
        if keys.evroute == FAILURES:
            wanted = answer.is_last and answer.status >= 300
        if not wanted:
            return
        request = answer.request
        scope = Scope(request, request.branch_copy(), answer.flow or flow, bool(request.to.tag))
        scope.response = answer.response
        scope.own_dialog = dialog
        scope.uac_req = keys.copy()
        scope.uac_req.write("evcode", answer.status)
        scope.uac_req.write("evtype", LOCAL if answer.response is None else RECEIVED)
        self._tell(EVENT, scope)
