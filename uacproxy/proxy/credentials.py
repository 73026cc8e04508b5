"""Credentials on the requests of a branch, and what responses say of them (RFC 3261 22.3).

Those in answer to a challenge go to whoever is next on the branch. Those that nobody
asked for yet go to an address that has challenged such a request of this user before, and
to no other: who asks at an INVITE alone would hand those of a BYE on to the far end.
"""

from __future__ import annotations

from typing import Final

from uacproxy.ports import Target
from uacproxy.proxy.wiring import Wiring
from uacproxy.routing.scope import Retry, Scope
from uacproxy.sip.digest import remove_credentials
from uacproxy.sip.grammar import octets_of
from uacproxy.sip.message import Message
from uacproxy.uac.auth import (
    Attempts,
    Authorized,
    ahead_taken,
    authorize_ahead,
    learn_next_nonce,
    remove_info,
)
from uacproxy.uac.auth_param import DialogAuth

_MOST_NAMES: Final = 1024
_NAMES: Final[dict[tuple[str, int], bytes]] = {}  # of addresses asked for of late


def add_answers(wiring: Wiring, request: Message, answers: list[Authorized]) -> None:
    """Put answers behind all other fields, in place of the sender's own for those realms."""
    if wiring.features.consume_credentials:
        for answer in answers:
            remove_credentials(request, answer.name, answer.realm)
    for answer in answers:
        request.append(answer.name, answer.value)


def answers_ahead(
    wiring: Wiring,
    scope: Scope,
    request: Message,
    target: Target,
    attempts: Attempts,
    beside: list[Authorized],
) -> list[Authorized]:
    """Answer what this target is known to ask, before it does.

    Args:
        wiring: the core's.
        scope: of the branch; its ``auth_source`` says with whose credentials.
        request: about to be sent.
        target: where to.
        attempts: of this branch.
        beside: answers it carries already.

    Returns:
        What is to be added, for this target alone.
    """
    nonces = wiring.features.nonces
    if not len(nonces):
        return []
    call_id, caller_tag = dialog_of(scope)
    return authorize_ahead(
        request,
        wiring.features.sources.of(scope.auth_source, call_id, caller_tag),
        nonces=nonces,
        peer=peer_of(target),
        attempts=attempts,
        beside=beside,
        only_asked=True,
    )


def answers_heard(
    wiring: Wiring,
    response: Message,
    asked: list[Authorized],
    ahead: list[Authorized],
    target: Target | None,
) -> None:
    """Hear a 2xx to a request with answers of ours; its sender hears nothing of them.

    Args:
        wiring: the core's.
        response: the 2xx.
        asked: answers that it had asked for.
        ahead: those it had not.
        target: who answered; None: nobody known.
    """
    given = [*asked, *ahead]
    if target is not None:
        peer = peer_of(target)
        ahead_taken(ahead, wiring.features.nonces, peer)
        learn_next_nonce(response, given, wiring.features.nonces, peer)
    remove_info(response, given)


def ahead_refused(wiring: Wiring, ahead: list[Authorized], target: Target | None) -> None:
    """Hear a 403 to a request with answers nobody asked for: they may be why, so ask next time."""
    if target is not None:
        for one in ahead:
            wiring.features.nonces.forget(one.username, peer_of(target))


def seal_source(wiring: Wiring, scope: Scope, retry: Retry | None) -> bytes:
    """Return the parameter of our Record-Route that says who answers in the dialog, b"" for none.

    Args:
        wiring: the core's.
        scope: of a request outside a dialog, or of its branch.
        retry: what it was challenged for.
    """
    seal = wiring.features.auth_seal
    source = scope.auth_source
    if not source and retry is not None:
        source = retry.dialog_source
    if seal is None or not (source or scope.auth_to_caller):
        return b""
    auth = DialogAuth(octets_of(source), octets_of(scope.auth_to_caller))
    return seal.seal(auth, scope.received.call_id, scope.received.from_.tag)


def dialog_of(scope: Scope) -> tuple[bytes, bytes]:
    """Return Call-ID and caller's tag of the dialog of a request."""
    received = scope.received
    address = received.from_ if scope.toward_callee else received.to
    return received.call_id, address.tag


def peer_of(target: Target) -> bytes:
    """Return the name of an address in the book of nonces."""
    address = (target.host, target.port)
    name = _NAMES.get(address)
    if name is None:
        name = octets_of(f"{target.host} {target.port}")
        if len(_NAMES) >= _MOST_NAMES:
            _NAMES.clear()
        _NAMES[address] = name
    return name
