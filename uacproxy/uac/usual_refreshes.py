"""Refreshes that are as the last one was (``usual_register``), for all accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from uacproxy.ports import Random
from uacproxy.sip.grammar import LARGEST
from uacproxy.uac.account import Account
from uacproxy.uac.account_requests import AccountRequests
from uacproxy.uac.register_series import KeptNonce, RegisterSeries
from uacproxy.uac.send import SendOutcome
from uacproxy.uac.written_request import WrittenRequest, WrittenSender

_REGISTER = b"REGISTER"


@final
class UsualRefreshes:
    """Sends them.

    Args:
        requests: of the accounts, for what is not as usual.
        sender: of what is written.
        random: of the cnonces.
    """

    def __init__(self, requests: AccountRequests, sender: WrittenSender, random: Random) -> None:
        self._requests = requests
        self._sender = sender
        self._random = random

    def send(
        self, account: Account, series: RegisterSeries, notify: Callable[[SendOutcome], None]
    ) -> WrittenRequest | None:
        """Send the next REGISTER of an account; None: it has to go the long way.

        Args:
            account: whose.
            series: counts it, and the use of its nonce.
            notify: hears how it ended, exactly once, in a later turn.
        """
        usual = series.usual
        target = series.target
        if usual is None or target is None or series.cseq >= LARGEST or len(series.nonces) != 1:
            return None
        if usual.asked != self._requests.asked_of(account, series):
            return None
        socket = usual.socket
        way = self._sender.way_to(target, socket)
        if way is None:
            return None
        branch = self._sender.new_branch()
        kept = series.nonces[0]
        nc = kept.nc + 1
        cseq = series.cseq + 1
        octets = usual.write(way.via, branch, cseq, nc, self._random.token())
        if self._sender.is_too_long(octets, target):
            return None
        series.cseq = cseq
        series.nonces = (KeptNonce(kept.name, kept.challenge, nc),)
        return self._sender.send(
            octets,
            branch,
            _REGISTER,
            target,
            way,
            lambda: self._requests.of(account).next_hop,
            socket,
            notify,
        )
