from dataclasses import replace

import pytest

from slipway import decisions, layout
from slipway.decisions import Approval
from slipway.errors import CorruptObject
from tests.support.memory_store import MemoryStore

AT = "2026-01-31T02:15:00+00:00"
YES = Approval(True, "ann", "as measured", AT, "fail", ("p95_ms",))
NO = Approval(False, "bob", "too slow", AT, "pass")


def test_decisions_are_told_in_the_order_of_time() -> None:
    store = MemoryStore()
    later = replace(YES, at="2026-02-01T00:00:00+00:00")
    decisions.record(store, "run-2", later)
    decisions.record(store, "run-1", NO)
    assert decisions.all(store) == [{"run_id": "run-1", **NO.as_json()}, {"run_id": "run-2", **later.as_json()}]


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


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"run_id": "run-1"}'])
def test_a_damaged_record_is_named(body: bytes) -> None:
    store = MemoryStore()
    store.put(layout.decision("20260131T021500Z", "run-1"), body)
    with pytest.raises(CorruptObject, match=r"decisions/20260131T021500Z-run-1.json"):
        decisions.all(store)
