import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway import layout
from slipway.acknowledgement import (
    Acknowledgement,
    Heard,
    Loaded,
    RefusedRelease,
    check_name,
    heard,
    publish,
    store_time,
    withdraw,
)
from slipway.errors import CorruptObject, InputError, StoreUnreachable
from slipway.latencies import Latencies
from tests.support.memory_store import MemoryStore

SAID = Acknowledgement(
    reader="web-1",
    host="host",
    pid=7,
    at="2026-01-01T00:00:00.000+00:00",
    every_seconds=10.0,
    generation=3,
    live="r1",
    trial="r2",
    percent=10,
    loaded=(Loaded("r1", "2026-01-01", 5, 1, Latencies({3: 4, 40: 1})), Loaded("r2", "2026-01-01")),
    refused=(RefusedRelease("r3", "smoke query 0 found nothing", "2026-01-01"),),
    versions={"slipway": "0.1.0"},
)


def test_what_is_published_is_heard() -> None:
    store = MemoryStore()
    publish(store, SAID)
    publish(store, replace(SAID, reader="web-2"))
    found, unreadable = heard(store)
    assert [one.said for one in found] == [SAID, replace(SAID, reader="web-2")]
    assert unreadable == []
    withdraw(store, "web-1")
    assert [one.said.reader for one in heard(store)[0]] == ["web-2"]


def test_it_says_what_it_did_with_each_release() -> None:
    assert SAID.of("r1") == SAID.loaded[0]
    assert SAID.of("r9") is None
    assert SAID.why_refused("r3") == "smoke query 0 found nothing"
    assert SAID.why_refused("r1") is None


def test_a_reader_that_missed_three_renewals_is_silent() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert not Heard(SAID, now - timedelta(seconds=30)).is_silent(now)
    assert Heard(SAID, now - timedelta(seconds=31)).is_silent(now)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", json.dumps({"schema": 1}).encode(), SAID.to_json().replace(b'"pid"', b'"dip"')]
)
def test_one_that_cannot_be_read_is_named_and_hides_no_other(body: bytes) -> None:
    store = MemoryStore()
    publish(store, SAID)
    store.put(layout.reader("broken"), body)
    found, unreadable = heard(store)
    assert [one.said for one in found] == [SAID]
    assert unreadable == ["readers/broken.json"]
    with pytest.raises(CorruptObject, match=r"readers/broken.json"):
        Acknowledgement.from_json(body, "readers/broken.json")


@pytest.mark.parametrize(
    "values",
    [
        {"every_seconds": "10"},
        {"every_seconds": None},
        {"every_seconds": 1e15},
        {"every_seconds": 0},
        {"every_seconds": float("nan")},
        {"generation": "7"},
        {"generation": -1},
        {"generation": True},
        {"live": 7},
        {"host": None},
        {"loaded": [{"release_id": "r", "at": "", "queries": "1", "errors": 0, "latencies": {"counts": {}}}]},
        {"loaded": [{"release_id": "r", "at": "", "queries": 1, "errors": 0, "latencies": {"counts": {"9999": 1}}}]},
        {"refused": [{"release_id": 1, "why": "", "at": ""}]},
    ],
)
def test_values_that_do_harm_are_refused(values: dict[str, Any]) -> None:
    body = json.dumps(json.loads(SAID.to_json()) | values).encode()
    with pytest.raises(CorruptObject, match=r"readers/x.json"):
        Acknowledgement.from_json(body, "readers/x.json")


def test_one_of_a_newer_version_is_named() -> None:
    with pytest.raises(CorruptObject, match="has schema 2; this version reads schema 1"):
        Acknowledgement.from_json(replace(SAID, schema=2).to_json(), "readers/web-1.json")


@pytest.mark.parametrize("name", ["", ".", "-a", "a/b", "a b", "é", "a" * 129, "../x"])
def test_a_name_that_is_no_key_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="a reader cannot be called"):
        check_name(name)


def test_the_stores_time_is_read_and_nothing_is_left() -> None:
    store = MemoryStore()
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    store.set_clock(lambda: noon)
    assert store_time(store) == noon
    assert list(store.list()) == []


def test_a_store_that_lists_late_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    monkeypatch.setattr(store, "list", lambda prefix: iter(()))
    with pytest.raises(StoreUnreachable, match="was written and is not listed"):
        store_time(store)
