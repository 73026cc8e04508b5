"""SIPp scenarios of calls through a proxy, rewritten for a bridge.

A proxy leaves tags, Call-ID and CSeq numbers as they are (or one ahead), so the scenarios
know those of the other side. Behind a bridge they are the bridge's own: what a scenario
receives of them is open, and taken over where it has to send them back. All it says of
identities, methods, credentials and the order of messages stays; ``sipp_trace.Side`` holds
what is open to the rules of RFC 3261 12.

Either way SIPp waits longer than T1 before it sends again: half a second in which a busy
machine did other things is no loss.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

T1_MS: Final = 4000  # SIPp's, and that of services whose retransmissions are counted
_TOKEN: Final = "[^;[:cntrl:]]+"
_END: Final = "[[:cntrl:]]"
_RECV: Final = re.compile(r"( *)<recv (request|response)=\"(\w+)\"([^>]*)>(.*?)</recv>", re.DOTALL)
_SEND: Final = re.compile(r"<!\[CDATA\[.*?\]\]>", re.DOTALL)
_EREG: Final = re.compile(r"( *)<ereg regexp=\"([^\"]*)\"(.*?)/>", re.DOTALL)

# What a bridge does not hand on: the status that it gives instead, and what it hides with it.
_STATUS: Final = {"302": "480", "407": "403"}
_HIDDEN: Final = ("Contact: &lt;sip:bob@elsewhere", "Digest realm=")


def as_played(scenario: Path, how: str, folder: Path) -> Path:
    """Write the scenario anew, into ``folder``, for ``relay`` or ``bridge``; return the file."""
    text = scenario.read_text().replace('retrans="500"', f'retrans="{T1_MS}"')
    if how == "bridge":
        text = _for_bridge(text)
    written = folder / f"{how}-{scenario.name}"
    written.write_text(text)
    return written


def _for_bridge(text: str) -> str:
    is_caller = 'tag=a[call_id]\n      To: "Bob"' in text
    text = _SEND.sub(lambda found: _sent(found[0], is_caller=is_caller), text)
    text = _RECV.sub(lambda found: _received(found, is_caller=is_caller), text)
    used = [
        name
        for name in ("seen", "peer", "cseq", "rseq", "via", "to")
        if re.search(rf'assign_to="[^"]*\b{name}\b', text)
    ]
    return re.sub(r'(<Reference variables=")[^"]*', rf"\1{','.join(used)}", text)


def _sent(text: str, *, is_caller: bool) -> str:
    if is_caller:
        text = re.sub(r"(To: .*;tag=)[bd]\[call_id\]", r"\1[$peer]", text)
        return text.replace("RAck: 41 ", "RAck: [$rseq] ")
    text = text.replace(";tag=a[call_id]", ";tag=[$peer]")
    for of_proxy in ("Via: [$via_before]", "Record-Route: [$rr]", "[$record_route]"):
        text = re.sub(rf" *{re.escape(of_proxy)}\n", "", text)
    if "      SIP/2.0 " in text:
        text = re.sub(r"CSeq: [0-9]+ ", "CSeq: [$cseq] ", text)
    return text


def _received(found: re.Match[str], *, is_caller: bool) -> str:
    pad, kind, what, more, inner = found.groups()
    if is_caller:
        what = _STATUS.get(what, what)
    rows = [
        row
        for ereg in _EREG.finditer(inner)
        for row in _checks(ereg, is_request=kind == "request", is_caller=is_caller)
    ]
    if is_caller == (kind == "response") and what != "100":
        field = "To" if is_caller else "From"
        rows.append(
            f'<ereg regexp="tag=({_TOKEN})" search_in="hdr" header="{field}:"'
            ' check_it="true" assign_to="seen,peer"/>'
        )
    if kind == "request" and what == "INVITE":
        rows.append(
            '<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" check_it="true"'
            ' assign_to="cseq"/>'
        )
    if not rows:
        return found[0]
    lines = "".join(f"{pad}    {row}\n" for row in rows)
    return (
        f'{pad}<recv {kind}="{what}"{more}>\n{pad}  <action>\n{lines}{pad}  </action>\n{pad}</recv>'
    )


def _checks(ereg: re.Match[str], *, is_request: bool, is_caller: bool) -> list[str]:
    """Return what becomes of one check."""
    regexp, rest = ereg[2], re.sub(r"\s+", " ", ereg[3])
    if "Call-ID: \\1" in regexp:
        fields = [part.lstrip("+)?") for part in regexp.split(_END)]
        checked = [
            _open(field, is_request=is_request, is_caller=is_caller)
            for field in fields
            if field.startswith(("From:", "To:", "CSeq:"))
        ]
        assert len(checked) == 3, regexp
        return [f'<ereg regexp="{one}{_END}"{rest}/>' for one in checked]
    if 'header="CSeq:"' in rest and is_request:
        regexp = re.sub("[0-9]+", "[0-9]+", regexp)
    elif 'header="RAck:"' in rest:
        regexp = regexp.replace("41 2 ", "41 [0-9]+ ")
    elif 'header="RSeq:"' in rest:
        return [
            '<ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" check_it="true"'
            ' assign_to="rseq"/>'
        ]
    elif regexp.startswith("Via: "):
        regexp = "Via: [^[:cntrl:]]+"
    elif 'assign_to="via_before"' in rest or "ecord-Route:" in regexp + rest:
        return []
    elif is_caller and regexp.lstrip("^ *").startswith(_HIDDEN):
        return [
            '<ereg regexp="elsewhere|tel:|Digest" search_in="msg" check_it_inverse="true"'
            ' assign_to="seen"/>'
        ]
    return [f'<ereg regexp="{regexp}"{rest}/>']


def _open(field: str, *, is_request: bool, is_caller: bool) -> str:
    """Open what is the bridge's in one field: the tags of its own, and its numbers."""
    name, _, value = field.partition(": ")
    if name == "CSeq":
        return re.sub("[0-9]+", "[0-9]+", field) if is_request else field
    head, tag, is_tagged = (
        value.partition(";tag=")[0],
        value.partition(";tag=")[2],
        ";tag=" in value,
    )
    if not is_tagged:
        return field
    is_ours = is_caller == tag.startswith("a")
    return f"{name}: {head};tag={tag[0] if is_ours and tag[0] != '[' else ''}{_TOKEN}"
