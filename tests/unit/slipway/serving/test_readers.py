"""What people are told of a collection's readers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from slipway import acknowledgement, layout
from slipway.pointer import Change, Serving, read_serving, swap_serving
from slipway.serving.readers import list_readers, shift_under_way
from tests.support.memory_store import MemoryStore
from tests.support.playing import said

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def store() -> MemoryStore:
    """`new` is on trial at 10 % beside `old`."""
    store = MemoryStore()
    store.set_clock(lambda: NOON)
    change = Change("release", "ada", "a night")
    swap_serving(store, change, lambda now: now.promoted("old", "sum"))
    swap_serving(store, change, lambda now: now.offered("new", "sum", 10))
    return store


def serving(store: MemoryStore) -> Serving:
    return read_serving(store)[0]


def test_a_reader_that_follows(store: MemoryStore) -> None:
    acknowledgement.publish(store, said("web-1", serving(store)))
    [row] = list_readers(store, serving(store), NOON)["readers"]
    assert (row["name"], row["host"], row["heard_at"]) == ("web-1", "host", "2026-01-01T12:00:00+00:00")
    assert (row["serves"], row["trial"], row["percent"]) == ("old", "new", 10)
    assert (row["behind"], row["silent"], row["refuses"], row["refused"]) == (False, False, False, [])
    assert (row["queries"], row["errors"]) == (40, 0)
    assert row["p95_ms"] == pytest.approx(0.94, rel=0.01)
    assert row["trial_answers"] == {name: row[name] for name in ("queries", "errors", "p95_ms")}


def test_a_reader_that_refuses_says_why(store: MemoryStore) -> None:
    acknowledgement.publish(store, said("web-1", serving(store), "a checksum is wrong"))
    [row] = list_readers(store, serving(store), NOON)["readers"]
    assert [(one["release_id"], one["why"]) for one in row["refused"]] == [("new", "a checksum is wrong")]
    assert (row["trial"], row["trial_answers"]) == (None, None)
    assert row["refuses"] is True
    [later] = list_readers(store, serving(store).without_trial(), NOON)["readers"]
    assert later["refuses"] is False  # nobody wants it to serve that any more


def test_a_reader_that_is_behind_or_has_loaded_nothing(store: MemoryStore) -> None:
    now = serving(store)
    acknowledgement.publish(store, replace(said("web-1", now), generation=1, live=None, loaded=()))
    [row] = list_readers(store, now, NOON)["readers"]
    assert (row["behind"], row["serves"], row["queries"], row["p95_ms"]) == (True, None, 0, None)


@pytest.mark.parametrize(("seconds", "silent"), [(-600, False), (0, False), (30, False), (31, True)])
def test_a_reader_that_missed_its_renewals_is_silent(store: MemoryStore, seconds: int, silent: bool) -> None:
    """Even where this machine's clock is behind the store's."""
    acknowledgement.publish(store, said("web-1", serving(store)))
    [row] = list_readers(store, serving(store), NOON + timedelta(seconds=seconds))["readers"]
    assert row["silent"] is silent


def test_what_cannot_be_read_is_named_and_hides_nobody(store: MemoryStore) -> None:
    acknowledgement.publish(store, said("web-1", serving(store)))
    store.put(layout.reader("old-version"), b'{"schema": 99}')
    found = list_readers(store, serving(store), NOON)
    assert [row["name"] for row in found["readers"]] == ["web-1"]
    assert found["unreadable"] == ["readers/old-version.json"]


def test_the_shift_under_way(store: MemoryStore) -> None:
    now = serving(store)
    assert now.shift is not None
    assert shift_under_way(now) == {"release_id": "new", "percent": 10, "began": now.shift.began}
    assert shift_under_way(now.without_trial()) is None
