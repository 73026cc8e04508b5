"""What makes two requests one: keys for server transactions (RFC 3261 17.2.3, 8.2.2.2).

A response finds its client transaction by the branch and method alone (17.1.3), which
the table asks for directly.
"""

from __future__ import annotations

from uacproxy.sip.message import Message


def invite_key(request: Message) -> bytes:
    """Return the key of the INVITE that an INVITE, CANCEL or ACK belongs to.

    The key of an RFC 2543 peer's request holds its own To tag; the ACK of an INVITE
    outside a dialog has gained one since, see ``rfc2543_invite_key``.
    """
    via = request.via
    if via.is_rfc3261:
        return via.branch + b" " + via.sent_by.lower()
    return rfc2543_invite_key(request, request.to.tag)


def request_key(request: Message) -> bytes:
    """Return the key of any request but INVITE and ACK."""
    return invite_key(request) + b" " + request.method


def rfc2543_invite_key(request: Message, to_tag: bytes) -> bytes:
    """Return the key for a top Via without the magic cookie, which says little by itself.

    Of the Via only what a client chooses counts: ``received`` and ``rport`` are written
    on the way and may differ between a request and its retransmission.
    """
    via = request.via
    return b"\n".join(
        [
            via.branch,
            via.transport,
            via.sent_by.lower(),
            request.request_uri,
            to_tag,
            request.from_.tag,
            request.call_id,
            b"%d" % request.cseq.number,
        ]
    )


def merged_key(request: Message) -> bytes:
    """Return what a request and its copies by other ways have in common.

    Only the first request of a dialog can be merged; with a To tag the key is empty.
    """
    if request.to.tag:
        return b""
    cseq = request.cseq
    return b"\n".join([request.from_.tag, request.call_id, b"%d" % cseq.number, cseq.method])
