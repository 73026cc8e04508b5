"""The sums that tests hold the service to, held to published ones themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.digest_sums import Answer, compute, read_answer

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).parents[1].joinpath("data/digest-vectors.json").read_text("utf-8")
)


@pytest.mark.parametrize("vector", VECTORS["digest"], ids=lambda vector: str(vector["id"]))
def test_a_published_response_is_computed_anew(vector: dict[str, Any]) -> None:
    found = {name: str(vector.get(name, "")) for name in Answer._fields}
    answer = Answer(**{**found, "field": "authorization"})
    body = str(vector.get("body", "")).encode()
    assert compute(answer, vector["password"], vector["method"], body) == vector["expect"]


def test_an_answer_is_read_quoted_or_not() -> None:
    answer = read_answer("authorization", 'Digest username="a", nc=00000002,qop=auth, uri="sip:b"')
    assert (answer.username, answer.nc, answer.qop, answer.uri) == (
        "a",
        "00000002",
        "auth",
        "sip:b",
    )
    assert (answer.realm, answer.opaque) == ("", "")
