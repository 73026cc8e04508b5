"""Putting From and To right in the later messages of a dialog, in both directions.

Each side goes on seeing what it saw first: the callee the shown identities, the caller
the original ones. A response shows its receiver what that one wrote into the request. The
tails, tags among them, stay as the sender wrote them, and so does the spelling of the
names (RFC 3261 12.2.1.1, 8.2.6.2).

Requests are read as they came and edited in the copy that goes on; responses take their
heads from the request as it came. A folded head is put back on one line, its folds
being single spaces (7.3.1).
"""

from __future__ import annotations

from typing import Final, final

from uacproxy.errors import RestoreFailed
from uacproxy.sip.grammar import escape_parameter
from uacproxy.sip.message import Message
from uacproxy.sip.names import FROM, TO
from uacproxy.sip.uri import Uri
from uacproxy.uac.replace import Identities
from uacproxy.uac.rr_param import RestoreCodec, field_for

ANONYMOUS: Final = b'"Anonymous" <sip:anonymous@anonymous.invalid>'  # RFC 3261 8.1.1.3, RFC 3323


@final
class Restored:
    """What became of one request."""

    __slots__ = ("failed", "from_changed", "params", "to_changed")

    def __init__(self) -> None:
        self.from_changed: bool = False  # so responses need the sender's own From back
        self.to_changed: bool = False
        self.params: list[tuple[bytes, bytes]] = []  # to repeat, once, if we record-route again
        self.failed: str = ""  # RestoreFailed.reason: to be counted, and told to a script


def direction(route: Uri, request: Message) -> bool:
    """Tell whether a request goes toward the callee, by the caller's tag in our Route.

    Args:
        route: our own URI; ``ftag`` is the tag of the From that opened the dialog, escaped
            by us, as it came by Kamailio.
        request: within the dialog. Without either tag it counts as the caller's.
    """
    ftag = route.param(b"ftag")
    if not ftag:
        return True
    tag = request.from_.tag
    return not tag or ftag == tag or ftag == escape_parameter(tag)


def restore_request(
    request: Message, route: Uri, codec: RestoreCodec, toward_callee: bool, only: bytes = b""
) -> Restored:
    """Put From and To of a request right by what our Route says.

    A value that cannot be read never makes an identity known: the field goes on as
    anonymous, unless the codec is told to leave it. Toward the caller a From value is
    about what the callee was shown of the caller: no secret there, so To stays.

    Args:
        request: within the dialog, the copy that goes on, not edited yet.
        route: our own URI, taken from its top Route.
        codec: as in the requests before it.
        toward_callee: see ``direction``.
        only: FROM or TO for what replaced that field of the first request alone, as a
            script's ``restore_from()`` and ``restore_to()`` do; b"" for both.
    """
    restored = Restored()
    if not route.params:
        return restored
    restored.params = codec.params_of(route)
    from_value = b"" if only == TO else _head(restored, FROM, request, route, codec, toward_callee)
    to_value = b"" if only == FROM else _head(restored, TO, request, route, codec, toward_callee)
    if toward_callee:
        _put(restored, request, from_value, to_value)
    else:
        _put(restored, request, to_value, from_value)
    return restored


def restore_from_identities(
    request: Message, identities: Identities, toward_callee: bool
) -> Restored:
    """Put From and To of a request right by what is kept with the dialog.

    Args:
        request: within the dialog, the copy that goes on.
        identities: of the branch that became the dialog.
        toward_callee: by the dialog's own tags.
    """
    restored = Restored()
    if toward_callee:
        _put(restored, request, identities.from_shown, identities.to_shown)
    else:
        _put(restored, request, identities.to_original, identities.from_original)
    return restored


def hide_identities(
    request: Message, from_hidden: bool, to_hidden: bool, toward_callee: bool
) -> Restored:
    """Make anonymous what was replaced and cannot be restored: it is known to nobody any more.

    Args:
        request: within the dialog, the copy that goes on.
        from_hidden: From of the first request was replaced.
        to_hidden: To was.
        toward_callee: as in ``restore_request``; the caller's own identity is no secret
            to the caller.
    """
    restored = Restored()
    restored.failed = "missing"
    if toward_callee:
        _put(restored, request, ANONYMOUS if from_hidden else b"", ANONYMOUS if to_hidden else b"")
    else:
        _put(restored, request, ANONYMOUS if to_hidden else b"", b"")
    return restored


def restore_response(
    response: Message,
    request: Message,
    from_changed: bool,
    to_changed: bool,
    from_head: bytes = b"",
    to_head: bytes = b"",
) -> None:
    """Show the sender of ``request`` its own From and To again, the To tag kept.

    Args:
        response: a sound one, received on a branch of ``request``; it is edited.
        request: as it was received, before any replacement.
        from_changed: From was replaced or restored in the request.
        to_changed: To was.
        from_head: to put there instead of the request's, where not empty (``restore_from_avp``).
        to_head: the same for To.
    """
    if from_changed:
        _swap(response, FROM, from_head or request.from_.head)
    if to_changed:
        _swap(response, TO, to_head or request.to.head)


def _head(
    restored: Restored,
    replaced: bytes,
    request: Message,
    route: Uri,
    codec: RestoreCodec,
    toward_callee: bool,
) -> bytes:
    """Return the head to put, b"" for none."""
    try:
        return codec.head(replaced, request, route, toward_callee)
    except RestoreFailed as error:
        restored.failed = error.reason
        hidden = toward_callee or field_for(replaced, toward_callee) == FROM
        return ANONYMOUS if hidden and codec.hide_on_failure else b""


def _put(restored: Restored, request: Message, from_head: bytes, to_head: bytes) -> None:
    if from_head:
        restored.from_changed = _swap(request, FROM, from_head)
    if to_head:
        restored.to_changed = _swap(request, TO, to_head)


def _swap(message: Message, name: bytes, head: bytes) -> bool:
    """Give a field another head; tell whether that changed it."""
    old = message.from_.head if name == FROM else message.to.head
    if old == head:
        return False
    message.swap_value(name, old, head)
    return True
