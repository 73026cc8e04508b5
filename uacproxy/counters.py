"""Counts kept as plain integers; whoever exports them reads them."""

from __future__ import annotations

from typing import final


@final
class BridgeCounters:
    """What the bridged calls have seen."""

    def __init__(self) -> None:
        self.started = 0
        self.answered = 0
        self.ended = 0  # after an answer, by whichever side or by us
        self.failed = 0  # without an answer
        self.cancelled = 0
        self.refused = 0  # as many calls as may be were there
        self.glares = 0  # requests that crossed: 491
        self.unacknowledged = 0  # a 2xx of ours got no ACK
        self.expired = 0  # ended by a session timer or by max_call_time
        self.taken_over = 0  # read from the store: a restart, or another instance's
        self.corrupt = 0


@final
class DialogCounters:
    """What the dialog tracker has seen."""

    def __init__(self) -> None:
        self.started = 0
        self.confirmed = 0
        self.ended = 0
        self.expired = 0
        self.refused = 0  # max_dialogs was reached
        self.taken_over = 0  # read from the store: a restart, or another instance's
        self.corrupt = 0


@final
class OverloadCounters:
    """What the overload control has done; requests count only while too much waits."""

    def __init__(self) -> None:
        self.begun = 0  # times
        self.admitted = 0  # new requests
        self.refused = 0  # new requests, answered 503
        self.acknowledged = 0  # ACKs of those answers that were recognised at sight


@final
class ProxyCounters:
    """What the proxy core has seen."""

    def __init__(self) -> None:
        self.requests = 0
        self.relayed = 0  # branches sent
        self.responses = 0  # passed upstream
        self.rejected = 0  # answered by the checks of RFC 3261 16.3
        self.forged_routes = 0  # our own Route in a request of a dialog that never began here
        self.unroutable = 0  # no target, or none that could be reached
        self.script_errors = 0
        self.stray_responses = 0
        self.restored = 0  # requests inside a dialog with an identity put back
        self.restore_failures = 0
        self.authenticated = 0  # branches sent again with credentials


@final
class TransactionCounters:
    """What the transactions have seen; the table adds to it, and so do the machines."""

    def __init__(self) -> None:
        self.requests = 0  # became a server transaction
        self.retransmissions = 0  # requests that came again
        self.responses = 0
        self.unmatched_responses = 0
        self.sent_again = 0  # by timers A, E and G
        self.timeouts = 0  # timers B and F, and requests nobody here answered in time
        self.no_ack = 0  # timer H
        self.transport_errors = 0  # that ended a transaction or were told to its user
        self.merged = 0  # came by another way too (8.2.2.2)
        self.overload_rejected = 0  # max_transactions was reached


@final
class TransportCounters:
    """What all sockets together have seen; a keep-alive counts as no message."""

    def __init__(self) -> None:
        self.received = 0  # messages and what should have been one
        self.sent = 0
        self.keepalives = 0  # RFC 5626 pings, STUN, empty and zero datagrams
        self.malformed = 0
        self.strays = 0  # responses whose top Via is not ours (18.1.2)
        self.dropped = 0  # datagrams that found no room to be sent
        self.missed = 0  # datagrams that the kernel dropped before we read them
        self.failed = 0  # sends that came to nothing, as far as we heard
        self.unreachable = 0  # ICMP errors that came back
        self.connections = 0  # streams open now
        self.accepted = 0
        self.connected = 0
        self.connect_failures = 0
        self.refused = 0  # connections beyond max_connections
        self.timed_out = 0  # streams closed for silence or a message without an end
        self.broken_streams = 0
        self.handed = 0  # messages and word of them, given to another worker
        self.handed_lost = 0  # of those, dropped: the other did not keep up
        self.own_mistakes = 0  # exceptions out of our own code


@final
class RegistrationCounters:
    """What the remote registrations have seen; how many stand where, their table computes."""

    def __init__(self) -> None:
        self.sent = 0  # REGISTER requests, those that answer a challenge included
        self.granted = 0  # 2xx with our Contact
        self.challenged = 0
        self.refused = 0  # 403, and challenges that credentials did not satisfy
        self.failed = 0  # any other way a REGISTER can end
        self.unanswered = 0  # of those, no final response at all
        self.mismatches = 0  # of those, a 2xx without our Contact
        self.unregistered = 0
        self.transitions = 0  # from one state to another
        self.connections_lost = 0  # accounts registered over a connection that broke
        self.bad_rows = 0  # accounts that could not be read, or not be made a REGISTER of
        self.load_failures = 0
        self.own_mistakes = 0  # exceptions out of our own code
