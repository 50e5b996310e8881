import json
from dataclasses import replace
from typing import Any

import pytest

from slipway import decisions, layout
from slipway.decisions import Approval
from tests.support.memory_store import MemoryStore

AT = "2026-01-31T02:15:00+00:00"
YES = Approval(True, "ann", "as measured", AT, "fail", ("p95_ms",))
UNDECIDED = Approval(True, "ann", "too few queries", AT, "undecided", (), ("ndcg_at_10",))
NO = Approval(False, "bob", "too slow", AT, "pass")


def told(run_id: str, answer: Approval) -> dict[str, Any]:
    return {"run_id": run_id, "candidate": None, "report": None, **answer.as_json()}


def test_decisions_are_told_in_the_order_of_time() -> None:
    store = MemoryStore()
    later = replace(YES, at="2026-02-01T00:00:00+00:00")
    decisions.record(store, "run-2", later)
    decisions.record(store, "run-1", NO)
    assert decisions.all(store) == [told("run-1", NO), told("run-2", later)]


def test_a_retry_records_nothing_twice_and_gets_the_first() -> None:
    store = MemoryStore()
    assert decisions.record(store, "run-1", YES) == YES
    assert decisions.record(store, "run-1", replace(YES, at="2026-02-01T00:00:00+00:00")) == YES
    assert len(decisions.all(store)) == 1


def test_two_decisions_of_one_second_are_both_kept() -> None:
    store = MemoryStore()
    decisions.record(store, "run-1", NO)
    assert decisions.record(store, "run-1", YES) == YES
    assert [one["approved"] for one in decisions.all(store)] == [False, True]


def test_an_answer_that_was_changed_and_changed_back_is_three_decisions() -> None:
    store = MemoryStore()
    again = replace(YES, at="2026-02-01T00:00:00+00:00")
    for answer in (YES, NO, again):
        assert decisions.record(store, "run-1", answer) == answer
    assert [one["approved"] for one in decisions.all(store)] == [True, False, True]


def test_a_decision_names_what_it_was_made_on() -> None:
    store = MemoryStore()
    decisions.record(store, "run-1", YES, "candidates/a", "reports/a")
    decisions.record(store, "run-1", YES, "candidates/b", "reports/b")  # the same answer to another candidate
    places = [(one["candidate"], one["report"]) for one in decisions.all(store)]
    assert places == [("candidates/a", "reports/a"), ("candidates/b", "reports/b")]


def test_an_answer_is_what_it_was_when_it_was_stored() -> None:
    assert Approval.from_json(json.loads(json.dumps(UNDECIDED.as_json()))) == UNDECIDED
    assert Approval.from_json({name: value for name, value in YES.as_json().items() if name != "undecided"}) == YES


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"run_id": "run-1"}'])
def test_a_damaged_record_is_told_and_keeps_nobody_from_deciding(body: bytes) -> None:
    store = MemoryStore()
    store.put(layout.decision("20260131T021400Z", "run-1"), body)
    store.put(layout.decision("20260131T021400Z", "run-2"), body)
    decisions.record(store, "run-1", YES)
    assert [one["run_id"] for one in decisions.all(store)] == ["run-1"]
    keys = [one["key"] for one in decisions.damaged(store)]
    assert keys == ["decisions/20260131T021400Z-run-1.json", "decisions/20260131T021400Z-run-2.json"]
    assert all(one["key"] in one["unreadable"] for one in decisions.damaged(store))
