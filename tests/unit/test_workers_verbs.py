"""One door for several workers: sums, lists, owners of accounts, and workers that are away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.support.log import KeptLog
from uacproxy.manage.amp import Page
from uacproxy.manage.verb import Fault, Later, Parting
from uacproxy.workers.verbs import WorkerVerbs


class Worker:
    """Answers from a table, and notes what it was asked."""

    state = "works"
    restarts = 2
    started_at = 5.0

    def __init__(self, number: int) -> None:
        self.name = f"worker {number}"
        self.pid = 100 + number
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, ...]] = []

    async def ask(self, verb: str, arguments: Sequence[str]) -> AsyncIterator[Page]:
        self.asked.append((verb, *arguments))
        answer = self.answers.get(verb, {})
        if isinstance(answer, Fault):
            raise answer
        if isinstance(answer, list):
            for row in answer:
                yield Page("list", [row])
        else:
            yield Page("value", answer)


class Farm:
    """Two workers and their verbs; accounts whose name ends in an odd digit are the second's."""

    def __init__(self, *, owners: bool = True) -> None:
        self.workers = [Worker(1), Worker(2)]
        self.log = KeptLog()
        self.stops = 0
        self.verbs = WorkerVerbs(
            self.workers,
            version="1.2",
            seconds=lambda: 65.0,
            owner_of=(lambda l_uuid: int(l_uuid[-1]) % 2) if owners else None,
            shutdown=self._stop,
            log=self.log,
        )

    def _stop(self) -> None:
        self.stops += 1

    def answers(self, verb: str, *answers: Any) -> None:
        for worker, answer in zip(self.workers, answers, strict=True):
            worker.answers[verb] = answer

    def call(self, *words: str) -> Any:
        """Return the answer, lists as such; Fault as the door would hear it."""
        result: Any = self.verbs.call(words[0], words[1:])
        if isinstance(result, Parting):
            result.act()
            return result.value
        if not isinstance(result, Later):
            return result if isinstance(result, dict) else list(result)
        heard: list[Any] = []
        result.begin(heard.append, heard.append)
        (answer,) = heard
        if hasattr(answer, "raiseException"):
            answer.raiseException()
        return answer if isinstance(answer, (dict, str)) else list(answer)


def test_counts_are_summed_and_what_all_have_is_counted_once() -> None:
    farm = Farm()
    farm.answers(
        "stats",
        {"proxy.requests": 3, "uac.regtotal": 9, "uptime": 1.0},
        {"proxy.requests": 4, "uac.regtotal": 9, "uptime": 2.0},
    )
    stats = farm.call("stats")
    assert (stats["proxy.requests"], stats["uac.regtotal"], stats["uptime"]) == (7, 9, 0.0)
    assert (stats["worker.2.pid"], stats["worker.2.restarts"]) == (102, 2)
    assert (stats["workers.total"], stats["workers.away"]) == (2, 0)


def test_a_worker_that_is_away_costs_the_stats_its_part() -> None:
    farm = Farm()
    farm.answers("stats", {"proxy.requests": 3}, Fault(503, "worker 2 is away"))
    stats = farm.call("stats")
    assert (stats["proxy.requests"], stats["workers.away"]) == (3, 1)


def test_lists_are_put_one_behind_the_other() -> None:
    farm = Farm()
    farm.answers("dialogs", [{"call_id": "a"}, {"call_id": "b"}], [{"call_id": "c"}])
    assert [row["call_id"] for row in farm.call("dialogs")] == ["a", "b", "c"]


def test_each_record_comes_from_the_worker_that_has_the_account() -> None:
    farm = Farm()
    both = [("n0", "mine"), ("n1", "elsewhere")], [("n0", "elsewhere"), ("n1", "mine")]
    farm.answers("uac.reg_dump", *([{"l_uuid": k, "from": v} for k, v in one] for one in both))
    rows = [(row["l_uuid"], row["from"]) for row in farm.call("uac.reg_dump")]
    assert rows == [("n0", "mine"), ("n1", "mine")]


def test_a_verb_about_an_account_goes_to_its_worker_alone() -> None:
    farm = Farm()
    farm.call("uac.reg_register", "l_uuid", "n1")
    farm.call("explain", "n0")
    assert [worker.asked for worker in farm.workers] == [
        [("explain", "n0")],
        [("uac.reg_register", "l_uuid", "n1")],
    ]


def test_an_account_asked_for_by_another_column_is_found_first() -> None:
    farm = Farm()
    farm.answers("uac.reg_info", {"l_uuid": "n1"}, {"l_uuid": "n1", "flags": 4})
    assert farm.call("uac.reg_info", "l_username", "alice")["flags"] == 4
    farm.call("uac.reg_disable", "l_username", "alice")
    assert farm.workers[1].asked[-1] == ("uac.reg_disable", "l_uuid", "n1")


def test_where_accounts_have_no_fixed_worker_any_one_that_is_there_is_asked() -> None:
    farm = Farm(owners=False)
    farm.answers("explain", Fault(503, "worker 1 is away"), "it is registered")
    assert farm.call("explain", "n0") == "it is registered"


def test_what_concerns_all_is_told_to_all_and_a_fault_names_its_worker() -> None:
    farm = Farm()
    farm.answers("reload-script", "read again", Fault(500, "route.py:3: broken"))
    with pytest.raises(Fault, match=r"500 worker 2: route\.py:3: broken"):
        farm.call("reload-script")
    farm.answers("uac.reg_refresh", Fault(404, "Record not found"), Fault(404, "Record not found"))
    with pytest.raises(Fault, match=r"^404 Record not found$"):
        farm.call("uac.reg_refresh", "n7")
    farm.verbs.reload_script()
    assert "worker 2: route.py:3: broken" in str(farm.log.lines)


def test_an_edit_is_made_by_one_and_read_by_all_others() -> None:
    farm = Farm()
    farm.call("account.put", "add", "[]")
    farm.call("account.remove", "n1")
    assert farm.workers[0].asked == [("account.put", "add", "[]"), ("account.changed",)]
    assert farm.workers[1].asked == [("account.changed",), ("account.remove", "n1")]


def test_the_door_itself_answers_what_needs_no_worker() -> None:
    farm = Farm()
    assert farm.call("version") == {"version": "1.2", "uptime": 0, "workers": 2}
    assert [row["pid"] for row in farm.call("workers")] == [101, 102]
    assert "workers" in [row["verb"] for row in farm.call("help")]
    farm.call("shutdown")
    assert farm.stops == 1
    assert [worker.asked for worker in farm.workers] == [[], []]
    for wrong in (("no_verb",), ("explain",)):
        with pytest.raises(Fault):
            farm.call(*wrong)
