"""One side of a call as SIPp's message trace tells it, and the rules that hold for it.

A scenario says what comes when. What is the same in every call is checked here, message
by message: who From and To name, which branch belongs to which request, how CSeq numbers
follow each other, that every answer to a challenge is right and counted anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from tests.support.digest_sums import Answer, read_answer
from tests.support.endpoint import Heard

_MESSAGE = re.compile(r"^-{20,} .*\n\w+ message (sent|received) [(\[](\d+).*\n\n", re.MULTILINE)
_BRANCH = re.compile(r";branch=([^;,\s]+)")
_TAG = re.compile(r";tag=([^;>\s]+)$")
ANSWERS = ("authorization", "proxy-authorization")


class Line(NamedTuple):
    """One message of the trace."""

    sent: bool  # by SIPp; else it was received
    said: Heard

    @property
    def is_request(self) -> bool:
        """Tell it from a response."""
        return not self.said.start.startswith("SIP/2.0 ")

    @property
    def cseq(self) -> int:
        """Return the number."""
        return int(self.said.get("cseq").split()[0])

    @property
    def method(self) -> str:
        """Return the method it is or answers."""
        return self.said.get("cseq").split()[1]

    @property
    def branch(self) -> str:
        """Return that of the topmost Via."""
        found = _BRANCH.search(self.said.get("via"))
        assert found, self.said.start
        return found[1]


class Identities(NamedTuple):
    """From and To of the call's first request at this side, without tags; and what is secret."""

    caller: str
    callee: str
    never: tuple[str, ...]  # octets of the other side's view
    is_caller: bool


def read_trace(messages: str) -> list[Line]:
    """Return the messages of ``SippResult.messages``, without retransmissions."""
    lines: list[Line] = []
    seen: set[tuple[bool, bytes]] = set()
    for found in _MESSAGE.finditer(messages):
        octets = messages[found.end() :].replace("\n", "\r\n").encode()[: int(found[2])]
        sent = found[1] == "sent"
        if (sent, octets) not in seen:
            seen.add((sent, octets))
            lines.append(Line(sent, Heard(octets)))
    assert lines, "SIPp has traced nothing"
    return lines


class Side:
    """The calls of one SIPp, all of one Call-ID each."""

    def __init__(self, messages: str, view: Identities) -> None:
        """Read the trace and check what has to hold whatever the scenario is."""
        self.lines = read_trace(messages)
        self._view = view
        for line in self.lines:
            self._check_identities(line)
        self._check_dialogs()
        self._check_branches()
        self._check_numbers()

    def received(self, method: str) -> list[Line]:
        """Return the requests of a method that came."""
        return [one for one in self.lines if not one.sent and one.said.kind == method]

    def answers(self, method: str = "INVITE") -> list[list[Answer]]:
        """Return the credentials in each request of a method that came."""
        return [answers_in(one.said) for one in self.received(method)]

    def check_answers(self, passwords: Mapping[str, str]) -> None:
        """Check every answer against the password of its realm, and that no nc comes twice.

        The ACK of a refusal has those of its INVITE (22.1). That of a 2xx has none: it goes on
        to whoever answered, who may not be whoever asked.
        """
        used: set[tuple[str, str, str]] = set()
        invites: dict[str, list[Answer]] = {}  # by branch
        for line in self.lines:
            if line.sent or not line.is_request:
                continue
            if line.said.kind == "INVITE":
                invites[line.branch] = answers_in(line.said)
            elif line.said.kind == "ACK":
                wanted = invites.get(line.branch, [])
                assert answers_in(line.said) == wanted, line.said.octets.decode()
                continue
            for answer in answers_in(line.said):
                assert answer.uri == line.said.request_uri
                body = line.said.body.encode()
                assert answer.is_right(passwords[answer.realm], line.said.kind, body), answer
                if answer.qop:
                    use = (answer.realm, answer.nonce, answer.nc)
                    assert use not in used, f"a replay: {answer}"
                    used.add(use)

    def _check_identities(self, line: Line) -> None:
        """Check that both parties are who they are at this side."""
        text = line.said.octets.decode()
        from_, to = line.said.get("from"), line.said.get("to")
        heads = [from_.partition(">")[0] + ">", to.partition(">")[0] + ">"]
        assert _TAG.search(from_), text
        is_from_us = line.sent == line.is_request
        if is_from_us == self._view.is_caller:
            assert heads == [self._view.caller, self._view.callee], text
        else:
            assert heads == [self._view.callee, self._view.caller], text
        if not line.sent:
            for word in self._view.never:
                assert word.lower() not in text.lower(), f"{word!r} in {text}"

    def _check_dialogs(self) -> None:
        """Check the tags: a party keeps its own, and gets it back as it wrote it (12)."""
        ours: dict[str, set[str]] = {}  # tags that we have given ourselves in a call
        theirs: dict[str, str] = {}  # the tag with which the peer sends requests in it
        for line in self.lines:
            what = line.said.octets.decode()
            call_id = line.said.get("call-id")
            given = ours.setdefault(call_id, set())
            from_, to = (_TAG.search(line.said.get(name)) for name in ("from", "to"))
            assert from_, what
            own, other = (from_, to) if line.sent == line.is_request else (to, from_)
            if line.sent:
                if own is not None:
                    given.add(own[1])
                continue
            assert own is None or own[1] in given, f"not a tag of ours: {what}"
            if line.is_request:
                assert other is not None and theirs.setdefault(call_id, other[1]) == other[1], what

    def _check_branches(self) -> None:
        """Check Via of every message: a branch is new, or that of the INVITE it belongs to."""
        requests: dict[str, Line] = {}  # by branch, whoever sent them
        accepted: dict[str, bool] = {}  # branch of an INVITE to whether it was, once it is known
        for line in self.lines:
            before = requests.get(line.branch)
            what = line.said.octets.decode()
            if not line.is_request:
                assert before is not None, f"an answer to nothing: {what}"
                assert line.cseq == before.cseq, f"not the CSeq of its request: {what}"
                assert line.sent or len(line.said.all("via")) == 1, f"a Via of others: {what}"
                fields = [line.said.get("from"), before.said.get("from")]
                assert line.sent or fields[0] == fields[1], f"not the From of its request: {what}"
                if line.method == "INVITE" and line.said.kind >= "200":
                    accepted[line.branch] = line.said.kind < "300"
            elif before is None:
                assert line.said.kind != "CANCEL", f"a CANCEL of nothing: {what}"
                if line.said.kind == "ACK":
                    assert True in accepted.values(), f"an ACK of nothing: {what}"
                requests[line.branch] = line
            else:
                assert line.said.kind in ("ACK", "CANCEL"), f"a branch used twice: {what}"
                assert before.said.kind == "INVITE", what
                assert line.cseq == before.cseq, f"not the CSeq of its INVITE: {what}"
                assert line.said.request_uri == before.said.request_uri, what
                if line.said.kind == "ACK":
                    assert not accepted[line.branch], f"the ACK of a 2xx is its own: {what}"

    def _check_numbers(self) -> None:
        """Check that each party's numbers rise by one, ACK and CANCEL aside (12.2.1.1)."""
        last: dict[tuple[str, bool], int] = {}
        for line in self.lines:
            who = (line.said.get("call-id"), line.sent)
            what = line.said.octets.decode()
            if not line.is_request:
                continue
            if line.said.kind in ("ACK", "CANCEL"):
                assert line.cseq <= last[who], f"ahead of what it belongs to: {what}"
                continue
            assert line.cseq == last.get(who, line.cseq - 1) + 1, f"out of order: {what}"
            last[who] = line.cseq


def answers_in(said: Heard) -> list[Answer]:
    """Return the credentials in a request, in their order."""
    return [read_answer(name, value) for name, value in said.fields if name in ANSWERS]
