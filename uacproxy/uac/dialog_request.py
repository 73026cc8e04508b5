"""Requests inside a dialog of ours, other than INVITE and ACK (RFC 3261 12.2, 22.2).

Every one of them may be challenged, and is answered like the INVITE was, with the next
CSeq number of the dialog.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from uacproxy.dialog.ua_dialog import UaDialog
from uacproxy.errors import FeatureError, ParseError, UnsupportedChallenge
from uacproxy.ports import Target
from uacproxy.sip.message import Message
from uacproxy.sip.names import CSEQ
from uacproxy.uac.auth import Attempts, Authorized, authorize, authorize_ahead, use_again
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.send import UNREACHED, Sender, SendOutcome

Ended = Callable[[SendOutcome], None]


@final
class DialogRequests:
    """Sends them; one for the service."""

    __slots__ = ("_nonces", "_sender")

    def __init__(self, sender: Sender, nonces: NonceBook) -> None:
        self._sender = sender
        self._nonces = nonces

    def send(
        self,
        dialog: UaDialog,
        request: Message,
        ended: Ended,
        credentials: CredentialList | None = None,
    ) -> None:
        """Send a request that ``dialog.build`` made; it may be edited here.

        Calls:
            ended: once, perhaps before this returns.
        """
        DialogRequest(self._sender, self._nonces, dialog, request, ended, credentials).start()


@final
class DialogRequest:
    """One request and what challenges make of it."""

    __slots__ = (
        "_attempts",
        "_credentials",
        "_dialog",
        "_ended",
        "_given",
        "_is_ahead",
        "_nonces",
        "_peer",
        "_request",
        "_sender",
        "_target",
    )

    def __init__(
        self,
        sender: Sender,
        nonces: NonceBook,
        dialog: UaDialog,
        request: Message,
        ended: Ended,
        credentials: CredentialList | None,
    ) -> None:
        self._sender = sender
        self._nonces = nonces
        self._dialog = dialog
        self._request = request
        self._ended = ended
        self._credentials = credentials
        self._given: list[Authorized] = []
        self._is_ahead = False  # what is given was sent before anybody asked
        self._attempts: Attempts | None = None
        self._target: Target | None = None
        self._peer = b""

    def start(self) -> None:
        """Send, with credentials where a nonce of the peer is known."""
        try:
            next_hop = self._dialog.next_hop()
        except ParseError as error:
            self._ended(SendOutcome(UNREACHED, None, None, None, error.why))
            return
        self._peer = next_hop.raw
        credentials = self._credentials
        if credentials is not None and len(credentials):
            self._attempts = Attempts()
            self._given = authorize_ahead(
                self._request,
                credentials,
                nonces=self._nonces,
                peer=self._peer,
                attempts=self._attempts,
            )
            self._is_ahead = bool(self._given)
            self._write_credentials()
        self._sender.send(self._request, next_hop, self._heard)

    def _heard(self, outcome: SendOutcome) -> None:
        response = outcome.response
        if response is None or response.status not in (401, 407) or not self._answer(outcome):
            self._ended(outcome)

    def _answer(self, outcome: SendOutcome) -> bool:
        """Send once more with credentials; False where there are none."""
        credentials = self._credentials
        response = outcome.response
        if credentials is None or response is None:
            return False
        attempts = self._attempts
        if attempts is None:
            attempts = Attempts()
            self._attempts = attempts
        request = self._request
        try:
            answer = authorize(
                request,
                response,
                credentials,
                attempts=attempts,
                nonces=self._nonces,
                peer=self._peer,
                ahead=self._given if self._is_ahead else (),
            )
        except (FeatureError, UnsupportedChallenge, ParseError):
            return False
        kept = [
            use_again(one, request, attempts, self._nonces, self._peer)
            for one in self._given
            if one.name != answer.name or one.realm != answer.realm
        ]
        kept.append(answer)
        self._is_ahead = False
        for one in self._given:
            request.remove(one.name)
        self._given = kept
        self._write_credentials()
        request.set(CSEQ, b"%d " % self._dialog.next_cseq() + request.method)
        self._sender.send(request, self._dialog.next_hop(), self._heard, target=outcome.target)
        return True

    def _write_credentials(self) -> None:
        for one in self._given:
            self._request.append(one.name, one.value)
