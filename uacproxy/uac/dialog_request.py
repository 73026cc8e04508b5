"""Requests inside a dialog of ours, other than INVITE and ACK (RFC 3261 12.2, 22.2).

Every one of them may be challenged, and is answered like the INVITE was, with the next
CSeq number of the dialog.
"""

from __future__ import annotations

from typing import final

from uacproxy.dialog.ua_dialog import UaDialog
from uacproxy.errors import ParseError
from uacproxy.sip.message import Message
from uacproxy.uac.answers import RequestAnswers
from uacproxy.uac.client_request import ClientRequest, Ended
from uacproxy.uac.credentials import CredentialList
from uacproxy.uac.nonces import NonceBook
from uacproxy.uac.send import UNREACHED, Sender, SendOutcome


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
        """Send a request that ``dialog.build`` made.

        Calls:
            ended: once, perhaps before this returns.
        """
        try:
            next_hop = dialog.next_hop()
        except ParseError as error:
            ended(SendOutcome(UNREACHED, None, None, None, error.why))
            return
        answers = RequestAnswers(credentials, self._nonces, next_hop.raw)
        ClientRequest(
            self._sender, request, next_hop, answers, ended, next_cseq=dialog.next_cseq
        ).start()
