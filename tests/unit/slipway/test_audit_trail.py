"""The audit trail is read as far as it can be read: what is damaged or does not belong there hides nothing else."""

from __future__ import annotations

import json

import pytest

from slipway import layout
from slipway.errors import CorruptObject, StoreUnreachable
from slipway.pointer import Change, Serving, audit_trail, read_record, read_serving, recorded, records, swap_serving
from slipway.recover import last_record
from slipway.serving.catalogue import manifest_sums
from tests.support.memory_store import MemoryStore

STRAYS = ("audit/README", "audit/3.json", "audit/0000000x.json", "audit/00000003.json/x", "audit/٣.json")


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    for name in ("r1", "r2", "r3", "r4"):
        swap_serving(made, Change("release", "ada", name), lambda now, name=name: now.promoted(name, f"sum of {name}"))
    return made


def test_what_is_no_record_is_passed_over(store: MemoryStore) -> None:
    for key in STRAYS:
        store.put(key, b"hello")
    assert recorded(store) == [1, 2, 3, 4]
    assert [one["generation"] for one in audit_trail(store)] == [1, 2, 3, 4]


def test_a_stray_object_alone_is_no_history() -> None:
    store = MemoryStore()
    store.put("audit/README", b"hello")
    assert read_serving(store) == (Serving(), None)


@pytest.mark.parametrize("body", [b"{half", b"", b"[]", b'{"schema": 9}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_record_is_told_among_the_others(body: bytes, store: MemoryStore) -> None:
    store.put(layout.audit(2), body)
    trail = audit_trail(store)
    assert [one["generation"] for one in trail] == [1, 2, 3, 4]
    assert set(trail[1]) == {"generation", "unreadable"}
    assert trail[1]["unreadable"].startswith("audit/00000002.json cannot be read: ")
    assert [one["changed"]["why"] for one in (trail[0], *trail[2:])] == ["r1", "r3", "r4"]


def test_another_generations_record_is_not_taken_for_this_ones(store: MemoryStore) -> None:
    store.put(layout.audit(2), store.read(layout.audit(3)).body)
    with pytest.raises(CorruptObject, match=r"audit/00000002\.json cannot be read: it holds generation 3"):
        read_record(store, 2)
    assert "unreadable" in audit_trail(store)[1]


def test_what_is_damaged_or_stray_hides_no_sum_and_no_state(store: MemoryStore) -> None:
    store.put(layout.audit(4), b"{half")
    store.put(layout.audit(2), b"")
    store.put("audit/README", b"hello")
    store.delete(layout.SERVING)
    assert manifest_sums(store, {"r1", "r3"}) == {"r1": "sum of r1", "r3": "sum of r3"}
    assert last_record(store).generation == 3


@pytest.mark.parametrize("last", [1, 2, 4, 9])
def test_the_last_so_many_are_read_and_no_others(last: int, store: MemoryStore) -> None:
    del store.calls[:]
    trail = audit_trail(store, last)
    assert [one["generation"] for one in trail] == [1, 2, 3, 4][-last:]
    read = {key for method, key in store.calls if method == "read" and key.startswith(layout.AUDIT)}
    assert read == {layout.audit(one["generation"]) for one in trail}


def test_the_newest_of_the_last_may_be_told_by_serving_json_alone(store: MemoryStore) -> None:
    store.delete(layout.audit(4))
    assert [one["generation"] for one in audit_trail(store, 2)] == [3, 4]
    assert audit_trail(store, 1) == [json.loads(read_serving(store)[0].to_json())]


def test_records_are_read_as_they_are_asked_for(store: MemoryStore) -> None:
    newest_first = records(store)
    assert next(newest_first) == (4, read_serving(store)[0])
    del store.calls[:]
    next(newest_first)
    assert store.calls == [("read", layout.audit(3))]


def test_a_store_that_does_not_answer_is_no_damaged_record(store: MemoryStore) -> None:
    store.fail_next("read", StoreUnreachable("503"))
    with pytest.raises(StoreUnreachable):
        audit_trail(store)
