"""Every transaction alive, found by what arrives (RFC 3261 17.1.3, 17.2.3, 9.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, final

from uacproxy.counters import TransactionCounters
from uacproxy.errors import OwnMistake
from uacproxy.ports import Clock, Flow, Random
from uacproxy.sip.build import build_response
from uacproxy.sip.message import Message, message_of
from uacproxy.sip.names import RETRY_AFTER
from uacproxy.sip.via import MAGIC_COOKIE, Via
from uacproxy.transaction.client import ClientTransaction
from uacproxy.transaction.invite_client import InviteClient
from uacproxy.transaction.invite_server import InviteServer
from uacproxy.transaction.key import invite_key, merged_key, request_key, rfc2543_invite_key
from uacproxy.transaction.machine import Transaction
from uacproxy.transaction.non_invite_client import NonInviteClient
from uacproxy.transaction.non_invite_server import NonInviteServer
from uacproxy.transaction.server import ServerTransaction
from uacproxy.transaction.timers import T1, T2, T4, TimerValues
from uacproxy.transaction.vocabulary import Notice, State

RETRY_FULL_IN: Final = 5  # s
BEGUN: Final = 1.125  # of max_transactions, for requests that belong to something begun


class TransactionUser(Protocol):
    """Who is told what no transaction could settle: the proxy core."""

    def request_received(self, server: ServerTransaction, request: Message, flow: Flow) -> None:
        """Take a new request; answer by ``server.respond``."""

    def ack_received(self, ack: Message, flow: Flow) -> None:
        """Take the ACK of a 2xx, or one that nobody here knows."""

    def cancel_received(self, server: InviteServer, cancel: Message) -> None:
        """Take a CANCEL, already answered 200, of an INVITE not finally answered yet."""

    def response_unmatched(self, response: Message, flow: Flow) -> None:
        """Take a response that belongs to no client transaction."""


@final
class TransactionTable:
    """All transactions of the service, and the way in for every message.

    Messages given to it have passed ``sip.parse.check_required``.

    Args:
        clock: runs the timers.
        random: for branches and tags.
        counters: added to here and by every transaction.
        user: may be set later, before the first message.
        t1: s, and so are ``t2`` and ``t4``.
        max_transactions: servers and clients together; a new request beyond is answered
            503 without one. A CANCEL still finds its INVITE, and an eighth more is kept for
            requests with a To tag: a call that cannot end would keep what it has.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        random: Random,
        counters: TransactionCounters,
        user: TransactionUser,
        t1: float = T1,
        t2: float = T2,
        t4: float = T4,
        max_transactions: int = 400_000,
    ) -> None:
        self.user = user
        self.stateless_tag = random.token()
        """The To tag of every answer given without a transaction; its ACK ends here (8.2.7)."""
        self._clock = clock
        self._random = random
        self._counters = counters
        self._most = max_transactions
        self._most_begun = int(max_transactions * BEGUN)
        self._reliable = TimerValues(reliable=True, t1=t1, t2=t2, t4=t4)
        self._unreliable = TimerValues(reliable=False, t1=t1, t2=t2, t4=t4)
        self._invite_servers: dict[bytes, InviteServer] = {}
        self._other_servers: dict[bytes, NonInviteServer] = {}
        self._invite_clients: dict[bytes, InviteClient] = {}  # by branch
        self._other_clients: dict[bytes, NonInviteClient] = {}
        self._first_of_merged: dict[bytes, ServerTransaction] = {}
        # Bound once: each transaction would keep methods of its own otherwise.
        self._new_tag: Callable[[], bytes] = random.token
        self._at_invite_server_end: Callable[[Transaction], None] = self._invite_server_ended
        self._at_other_server_end: Callable[[Transaction], None] = self._other_server_ended
        self._at_invite_client_end: Callable[[Transaction], None] = self._invite_client_ended
        self._at_other_client_end: Callable[[Transaction], None] = self._other_client_ended

    # -- from the network --------------------------------------------------------------

    def message_received(self, message: Message, flow: Flow) -> None:
        """Take whatever has come."""
        if message.status:
            self.response_received(message, flow)
        else:
            self.request_received(message, flow)

    def request_received(self, request: Message, flow: Flow) -> None:
        """Take a request: answer what is known, make a server transaction of what is new.

        Calls:
            one method of ``user``, or none for a retransmission or an ACK that ends here.
        """
        method = request.method
        if method == b"INVITE":
            key = invite_key(request)
            invite_server = self._invite_servers.get(key)
            if invite_server is not None:
                self._counters.retransmissions += 1
                invite_server.retransmission_received()
            elif self._is_full(request):
                self._reject(request, flow)
            else:
                invite_server = self._serve_invite(request, flow, key)
                self.user.request_received(invite_server, request, flow)
        elif method == b"ACK":
            self._ack_received(request, flow)
        else:
            key = request_key(request)
            server = self._other_servers.get(key)
            if server is not None:
                self._counters.retransmissions += 1
                server.retransmission_received()
            elif method == b"CANCEL" and invite_key(request) in self._invite_servers:
                self._cancel_received(request, flow, key)
            elif self._is_full(request):
                self._reject(request, flow)
            else:
                server = self._serve_other(request, flow, key)
                self.user.request_received(server, request, flow)

    def knows(self, method: bytes, key: bytes) -> bool:
        """Tell whether a request is a retransmission that a server transaction answers.

        Args:
            method: of the request.
            key: as ``invite_key`` makes it of a request of any method.
        """
        if method == b"INVITE":
            return key in self._invite_servers
        return key + b" " + method in self._other_servers

    def is_own(self, method: bytes, via: Via) -> bool:
        """Tell whether a request with this Via on top is one of our own, come back.

        Whoever got it from us may send it too, but no other under its name.
        """
        client: ClientTransaction | None
        if method == b"INVITE":
            client = self._invite_clients.get(via.branch)
        else:
            client = self._other_clients.get(via.branch)
        if client is None or client.method != method:
            return False
        return client.flow.sent_by == via.sent_by

    def response_received(self, response: Message, flow: Flow) -> None:
        """Take a response: its client transaction has our branch and the method of its CSeq."""
        self._counters.responses += 1
        branch = response.via.branch
        method = response.cseq.method
        if method == b"INVITE":
            invite_client = self._invite_clients.get(branch)
            if invite_client is not None:
                invite_client.response_received(response)
                return
        else:
            client = self._other_clients.get(branch)
            if client is not None and client.method == method:
                client.response_received(response)
                return
        self._counters.unmatched_responses += 1
        self.user.response_unmatched(response, flow)

    def _ack_received(self, ack: Message, flow: Flow) -> None:
        server = self._invite_servers.get(invite_key(ack))
        if not ack.via.is_rfc3261:
            if server is None:  # the INVITE had no To tag yet
                server = self._invite_servers.get(rfc2543_invite_key(ack, b""))
            if server is not None and server.final_to_tag != ack.to.tag:
                server = None
        if server is not None and server.state is not State.ACCEPTED:
            server.ack_received()
        elif ack.to.tag != self.stateless_tag:
            self.user.ack_received(ack, flow)

    def _cancel_received(self, cancel: Message, flow: Flow, key: bytes) -> None:
        invite_server = self._invite_servers[invite_key(cancel)]
        to_tag = invite_server.local_tag
        too_late = invite_server.final_sent
        server = self._serve_other(cancel, flow, key)
        server.respond(build_response(cancel, 200, to_tag=to_tag))
        if not too_late:
            self.user.cancel_received(invite_server, cancel)

    # -- server transactions -----------------------------------------------------------

    def _serve_invite(self, request: Message, flow: Flow, key: bytes) -> InviteServer:
        back = flow.answering(request.via)
        server = InviteServer(
            request,
            flow=back,
            values=self._reliable if back.reliable else self._unreliable,
            clock=self._clock,
            counters=self._counters,
            new_tag=self._new_tag,
            notify=None,
            ended=self._at_invite_server_end,
        )
        server.key = key
        self._invite_servers[key] = server
        self._note(server, request)
        return server

    def _serve_other(self, request: Message, flow: Flow, key: bytes) -> NonInviteServer:
        back = flow.answering(request.via)
        server = NonInviteServer(
            request,
            flow=back,
            values=self._reliable if back.reliable else self._unreliable,
            clock=self._clock,
            counters=self._counters,
            new_tag=self._new_tag,
            notify=None,
            ended=self._at_other_server_end,
        )
        server.key = key
        self._other_servers[key] = server
        self._note(server, request)
        return server

    def _note(self, server: ServerTransaction, request: Message) -> None:
        self._counters.requests += 1
        if request.method == b"CANCEL":
            return
        key = merged_key(request)
        if key:
            server.merged_key = key
            if self._first_of_merged.setdefault(key, server) is not server:
                self._counters.merged += 1

    def is_merged(self, server: ServerTransaction) -> bool:
        """Tell whether the request came by another way before, and that one is alive (8.2.2.2).

        The first of them is not merged. A proxy may let forks of one request pass; a UAS
        answers all but the first 482.
        """
        first = self._first_of_merged.get(server.merged_key)
        return first is not None and first is not server

    def _is_full(self, request: Message) -> bool:
        alive = self.servers + self.clients
        return alive >= self._most and (alive >= self._most_begun or not request.to.tag)

    def _reject(self, request: Message, flow: Flow) -> None:
        self._counters.overload_rejected += 1
        self.refuse(request, flow, RETRY_FULL_IN)

    def refuse(self, request: Message, flow: Flow, retry_after: int) -> None:
        """Answer 503 without a transaction (8.2.7): the same again to a retransmission.

        Args:
            request: any but ACK.
            flow: it came on.
            retry_after: s.
        """
        response = build_response(request, 503, to_tag=self.stateless_tag)
        response.append(RETRY_AFTER, b"%d" % retry_after)
        flow.answering(request.via).send(response.encode(), None)

    def _invite_server_ended(self, server: Transaction) -> None:
        ended = self._invite_servers.pop(server.key, None)
        if ended is not None:
            self._forget_merged(ended)

    def _other_server_ended(self, server: Transaction) -> None:
        ended = self._other_servers.pop(server.key, None)
        if ended is not None:
            self._forget_merged(ended)

    def _forget_merged(self, server: ServerTransaction) -> None:
        key = server.merged_key
        if key and self._first_of_merged.get(key) is server:
            del self._first_of_merged[key]

    # -- client transactions -----------------------------------------------------------

    def start_client(
        self,
        request: Message,
        flow: Flow,
        notify: Callable[[Notice, Message | None], None],
        branch: bytes = b"",
    ) -> ClientTransaction:
        """Send a request whose top Via has a branch nobody uses; a CANCEL has its INVITE's.

        Args:
            request: finished.
            flow: where to.
            notify: hears of it.
            branch: that of its Via, where the caller knows it.

        Raises:
            OwnMistake: the branch is taken, or the request is an ACK.
        """
        if not branch:
            branch = request.via.branch
        method = request.method
        if method == b"ACK":
            raise OwnMistake("an ACK is no transaction")
        values = self._reliable if flow.reliable else self._unreliable
        if method == b"INVITE":
            if branch in self._invite_clients:
                raise OwnMistake("branch used twice")
            invite_client = InviteClient(
                request,
                flow=flow,
                values=values,
                clock=self._clock,
                counters=self._counters,
                notify=notify,
                ended=self._at_invite_client_end,
            )
            invite_client.key = branch
            self._invite_clients[branch] = invite_client
            invite_client.start()
            return invite_client
        client = self._other_client(request, flow, notify, branch)
        client.start()
        return client

    def start_written(
        self,
        octets: bytes,
        branch: bytes,
        method: bytes,
        flow: Flow,
        notify: Callable[[Notice, Message | None], None],
    ) -> ClientTransaction:
        """Send a request that is written already.

        Args:
            octets: of the request, our Via on top.
            branch: of that Via; nobody uses it.
            method: neither INVITE nor ACK.
            flow: where to.
            notify: hears of it.

        Raises:
            OwnMistake: the branch is taken.
        """
        request = message_of(b"", method, b"", 0, b"", [], [], b"")
        client = self._other_client(request, flow, notify, branch)
        client.start(octets)
        return client

    def _other_client(
        self,
        request: Message,
        flow: Flow,
        notify: Callable[[Notice, Message | None], None],
        branch: bytes,
    ) -> NonInviteClient:
        if branch in self._other_clients:
            raise OwnMistake("branch used twice")
        client = NonInviteClient(
            request,
            flow=flow,
            values=self._reliable if flow.reliable else self._unreliable,
            clock=self._clock,
            counters=self._counters,
            notify=notify,
            ended=self._at_other_client_end,
        )
        client.key = branch
        self._other_clients[branch] = client
        return client

    def _invite_client_ended(self, client: Transaction) -> None:
        self._invite_clients.pop(client.key, None)

    def _other_client_ended(self, client: Transaction) -> None:
        self._other_clients.pop(client.key, None)

    def new_branch(self) -> bytes:
        """Return a branch for one client transaction, which nobody outside can guess."""
        return MAGIC_COOKIE + self._random.token()

    def new_tag(self) -> bytes:
        """Return a tag for a dialog of our own (19.3)."""
        return self._random.token()

    # -- all of them -------------------------------------------------------------------

    @property
    def servers(self) -> int:
        """Return how many server transactions are alive."""
        return len(self._invite_servers) + len(self._other_servers)

    @property
    def clients(self) -> int:
        """Return how many client transactions are alive."""
        return len(self._invite_clients) + len(self._other_clients)

    def stop(self) -> None:
        """End every transaction; nobody is told and nothing is sent."""
        alive: list[Transaction] = [
            *self._invite_servers.values(),
            *self._other_servers.values(),
            *self._invite_clients.values(),
            *self._other_clients.values(),
        ]
        for transaction in alive:
            transaction.stop()
