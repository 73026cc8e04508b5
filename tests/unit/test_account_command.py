"""What ``uacctl account import`` asks for, whoever answers."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from uacproxy.manage.account_command import run
from uacproxy.uac.account_edit import PUT

LARGEST = 65_535  # octets of an AMP value


@pytest.mark.parametrize(
    ("rows", "value", "handfuls"), [(120, "x", 3), (120, "\u00e4" * 300, 5), (2, '"' * 60_000, 2)]
)
def test_rows_go_in_as_few_requests_as_they_fit_in(
    tmp_path: Path, rows: int, value: str, handfuls: int
) -> None:
    path = tmp_path / "accounts.csv"
    quoted = value.replace('"', '""')
    lines = [f'u{number},"{quoted}"' for number in range(rows)]
    path.write_text("\n".join(["l_uuid,auth_proxy", *lines]), encoding="utf-8")
    asked: list[list[dict[str, str]]] = []
    sizes: list[int] = []

    async def ask(_verb: str, arguments: Sequence[str]) -> Any:
        what, content = arguments
        put = json.loads(content)
        if what == PUT:
            asked.append(put)
            sizes.append(len(json.dumps(list(arguments))))
        return {"wrong": [], "written": len(put)}

    options = argparse.Namespace(what="import", file=str(path), json=False)
    assert asyncio.run(run(options, ask, io.StringIO(), io.StringIO())) == 0
    assert [row["l_uuid"] for put in asked for row in put] == [f"u{n}" for n in range(rows)]
    assert len(asked) == handfuls
    assert all(len(put) == 1 or size <= LARGEST for put, size in zip(asked, sizes, strict=True))
