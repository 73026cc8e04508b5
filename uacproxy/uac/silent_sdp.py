"""Session descriptions of a call that has no media: every stream is there and inactive (RFC 3264).

A call that a script makes has nobody to speak or listen at our end. What the far end
offers is accepted without a way for media, so that the call stands and can be passed on.
"""

from __future__ import annotations

import re
from typing import Final, final

SDP: Final = b"application/sdp"

_ORIGIN: Final = re.compile(rb"(?m)^o=(\S+) (\d{1,18}) (\d{1,18}) (IN IP[46] \S+)\r?$")
_MEDIA: Final = re.compile(rb"m=(\S+) (\d+)(?:/\d+)? (\S+) (\S.*)")
_PLAIN: Final = (b"RTP/AVP", b"RTP/AVPF")
_KEPT: Final = (b"a=rtpmap:", b"a=fmtp:", b"a=mid:")


@final
class SilentSession:
    """Our side of one call's session: what we said last, and what we say next."""

    __slots__ = ("_name", "_number", "_place", "_version", "said")

    def __init__(self, said: bytes = b"") -> None:
        """Begin with the description that the INVITE carried, b"" for none."""
        self.said = said
        found = _ORIGIN.search(said)
        self._name = b"-" if found is None else found[1]
        self._number = b"1" if found is None else found[2]
        self._version = 0 if found is None else int(found[3])
        self._place = b"IN IP4 0.0.0.0" if found is None else found[4]

    def answer(self, offer: bytes) -> bytes:
        """Answer an offer: each stream inactive, and refused where it is more than plain RTP."""
        self._version += 1
        lines = [
            b"v=0",
            b"o=%b %b %d %b" % (self._name, self._number, self._version, self._place),
            b"s=-",
            b"c=IN IP4 0.0.0.0",
            b"t=0 0",
        ]
        for line in offer.replace(b"\r\n", b"\n").split(b"\n"):
            media = _MEDIA.fullmatch(line)
            if media is not None:
                is_open = media[3] in _PLAIN and media[2] != b"0"
                port = b"9" if is_open else b"0"
                lines.append(b"m=%b %b %b %b" % (media[1], port, media[3], media[4]))
                if is_open:
                    lines.append(b"a=inactive")
            elif lines[-1][:2] in (b"m=", b"a=") and line.startswith(_KEPT):
                lines.append(line)
        self.said = b"\r\n".join([*lines, b""])
        return self.said
