"""Delta tables: what the change data feed tells, and what makes it useless."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from slipway.errors import SourceDenied, SourceInterrupted, SourceSchemaError
from slipway.sources import Position
from slipway.sources.plain import MAX_ROWS
from slipway.sources.table_failures import TableFailures
from tests.support.places import DeltaPlace
from tests.support.sources import dicts

SCHEMA = pa.schema([("id", pa.int64()), ("body", pa.string())])
FEED = "delta.enableChangeDataFeed"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[DeltaPlace]:
    place = DeltaPlace(tmp_path, str(tmp_path / "table"))
    place.fill([{"id": number, "body": "first"} for number in range(4)], SCHEMA)
    yield place
    assert list((tmp_path / "scratch").glob("*")) == []  # no reading leaves its copy of the feed behind


class Night:
    """What one reading gave: bodies by id, and the ids that the feed says are gone."""

    def __init__(self, place: DeltaPlace, since: Position | None = None) -> None:
        with place.reading(["id", "body"], since) as reading:
            self.full, self.reason = reading.full, reading.reason
            self.rows = [(each["id"], each["body"]) for each in dicts(reading.rows())]
            self.deleted = sorted(each["id"] for each in dicts(reading.deleted_ids()))
            self.position: Mapping[str, Any] | None = reading.position

    @property
    def bodies(self) -> dict[int, str]:
        assert len(self.rows) == len({number for number, _ in self.rows})
        return dict(sorted(self.rows))


def one(number: int, body: str) -> list[dict[str, Any]]:
    return [{"id": number, "body": body}]


def test_only_the_last_change_of_an_id_counts(place: DeltaPlace) -> None:
    first = Night(place)
    place.update(one(1, "second"), SCHEMA)
    place.update(one(1, "third"), SCHEMA)
    place.delete([2, 3])
    place.insert(one(3, "again"), SCHEMA)
    place.insert(one(9, "short"), SCHEMA)
    place.delete([9])
    second = Night(place, first.position)

    assert (second.full, second.bodies, second.deleted) == (False, {1: "third", 3: "again"}, [2, 9])
    assert second.reason == "the change data feed from version 1 to 6"


def test_a_table_overwritten_in_one_commit_is_told_whole(place: DeltaPlace) -> None:
    first = Night(place)
    place.fill([{"id": 1, "body": "new"}, {"id": 7, "body": "new"}], SCHEMA)
    second = Night(place, first.position)

    assert (second.full, second.bodies, second.deleted) == (False, {1: "new", 7: "new"}, [0, 2, 3])


def test_a_row_that_moved_to_another_id_is_gone_from_the_old_one(place: DeltaPlace) -> None:
    first = Night(place)
    place.table.update(predicate="id = 2", updates={"id": "20"})
    second = Night(place, first.position)

    assert (second.bodies, second.deleted) == ({20: "first"}, [2])


def test_rows_without_an_id_are_all_told(place: DeltaPlace) -> None:
    first = Night(place)
    for body in ("a", "b"):
        place.insert([{"id": None, "body": body}], SCHEMA)
    place.table.delete("id IS NULL AND body = 'a'")
    second = Night(place, first.position)

    assert (sorted(second.rows, key=str), second.deleted) == ([(None, "a"), (None, "b")], [])


def test_compaction_and_vacuum_change_nothing(place: DeltaPlace) -> None:
    for number in range(4, 7):
        place.insert(one(number, "more"), SCHEMA)
    first = Night(place)
    place.table.optimize.compact()
    place.table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    second = Night(place, first.position)

    assert (second.full, second.rows, second.deleted) == (False, [], [])
    assert second.position is not None and first.position is not None
    assert second.position["version"] > first.position["version"]


def test_many_changes_come_in_bounded_batches(place: DeltaPlace) -> None:
    first = Night(place)
    place.insert([{"id": number, "body": "x"} for number in range(4, 3 * MAX_ROWS)], SCHEMA)
    place.delete([3 * MAX_ROWS - 1])
    with place.reading(["id", "body"], first.position) as reading:
        batches = list(reading.rows())

    assert max(batch.num_rows for batch in batches) <= MAX_ROWS
    assert sorted(each["id"] for each in dicts(batches)) == list(range(4, 3 * MAX_ROWS - 1))


def test_types_are_the_same_in_full_and_in_changes(tmp_path: Path) -> None:
    from datetime import UTC, date, datetime
    from decimal import Decimal

    place = DeltaPlace(tmp_path, str(tmp_path / "typed"))
    value = {
        "id": Decimal("1.50"),
        "at": datetime(2026, 1, 30, 2, 15, tzinfo=UTC),
        "day": date(2026, 1, 30),
        "tags": ["a", "b"],
        "raw": b"\x00\xff",
    }
    table = pa.Table.from_pylist([value])
    place.fill([], table.schema)
    empty = self_position(place, list(value))
    place.insert([value], table.schema)
    with place.reading(list(value), empty) as changes, place.reading(list(value)) as full:
        assert (changes.full, full.full) == (False, True)
        told, whole = list(changes.rows()), list(full.rows())

    assert [batch.schema for batch in told] == [batch.schema for batch in whole]
    assert dicts(told) == dicts(whole) != []


def self_position(place: DeltaPlace, columns: list[str]) -> Position | None:
    with place.reading(columns) as reading:
        dicts(reading.rows())
        return reading.position


def switch(place: DeltaPlace, is_on: bool) -> None:
    place.table.alter.set_table_properties({FEED: str(is_on).lower()})


def feed_off(place: DeltaPlace) -> None:
    switch(place, False)


def feed_off_for_a_while(place: DeltaPlace) -> None:
    switch(place, False)
    place.delete([1])
    switch(place, True)


def made_anew(place: DeltaPlace) -> None:
    import shutil

    shutil.rmtree(place.url)
    place.fill(one(1, "other"), SCHEMA)


def older_copy(place: DeltaPlace) -> None:
    """As if a backup had been put back: the same table, fewer commits."""
    sorted(Path(place.url).glob("_delta_log/*.json"))[-1].unlink()


def log_cut_off(place: DeltaPlace) -> None:
    for number in range(3):
        place.insert(one(10 + number, "more"), SCHEMA)
    place.table.create_checkpoint()
    for commit in sorted(Path(place.url).glob("_delta_log/*.json"))[:-1]:
        commit.unlink()


def feed_vacuumed(place: DeltaPlace) -> None:
    place.update(one(1, "second"), SCHEMA)
    changed = list(Path(place.url).glob("_change_data/*"))
    assert changed
    for file in changed:
        file.unlink()


def another_type(place: DeltaPlace) -> None:
    from deltalake import write_deltalake

    table = pa.table({"id": pa.array([1], pa.int64()), "body": pa.array([5], pa.int64())})
    write_deltalake(place.url, table, mode="overwrite", schema_mode="overwrite")


@pytest.mark.parametrize(
    ("happening", "reason"),
    [
        (feed_off, "has no change data feed"),
        (feed_off_for_a_while, "not there any more: .*not enabled"),
        (made_anew, "made anew"),
        (older_copy, "is at version 0, before"),
        (log_cut_off, "not there any more"),
        (feed_vacuumed, "not there any more: .*_change_data"),
        (another_type, "column 'body' was added or is of another type"),
    ],
)
def test_what_the_feed_cannot_tell_makes_a_full_reading(
    place: DeltaPlace, happening: Callable[[DeltaPlace], None], reason: str
) -> None:
    import re

    place.insert(one(4, "first"), SCHEMA)
    first = Night(place)
    happening(place)
    second = Night(place, first.position)

    assert second.full
    assert re.search(reason, second.reason), second.reason
    assert second.bodies == {each["id"]: each["body"] for each in place.table.to_pyarrow_table().to_pylist()}
    assert second.position is not None


def test_a_feed_switched_on_later_begins_after_a_full_reading(place: DeltaPlace) -> None:
    switch(place, False)
    before = Night(place)
    switch(place, True)
    second = Night(place, before.position)
    place.delete([0])
    third = Night(place, second.position)

    assert (second.full, "was off at version 1" in second.reason) == (True, True)
    assert (third.full, third.deleted) == (False, [0])


def test_nothing_committed_is_said(place: DeltaPlace) -> None:
    first = Night(place)
    second = Night(place, first.position)

    assert (second.reason, second.rows) == ("nothing was committed since version 0", [])
    assert second.position == first.position


def test_a_version_is_read_as_it_was_when_the_reading_began(place: DeltaPlace) -> None:
    with place.reading(["id", "body"]) as reading:
        place.insert(one(9, "later"), SCHEMA)
        assert len(dicts(reading.rows())) == 4
        assert reading.position is not None
        first = reading.position

    assert Night(place, first).bodies == {9: "later"}


def test_a_data_file_that_vanished_is_worth_another_try(place: DeltaPlace) -> None:
    for file in Path(place.url).glob("*.parquet"):
        file.unlink()

    with pytest.raises(SourceInterrupted, match=r"source 'docs' \(Delta table .*before the first row"):
        Night(place)


def test_a_folder_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()

    with pytest.raises(SourceSchemaError, match="there is no such table"):
        Night(DeltaPlace(tmp_path, str(tmp_path / "table")))


@pytest.mark.parametrize("words", ["Client error with status 403 Forbidden", "AccessDenied: no", "Permission denied"])
def test_a_refusal_is_the_credentials_fault_and_shows_none(words: str) -> None:
    failures = TableFailures("source 'docs'", ["s3cr3t", ""])

    error = failures.of(OSError(f"{words} for s3cr3t"), 0)

    assert isinstance(error, SourceDenied)
    assert "s3cr3t" not in str(error) and "***" in str(error)


def test_no_credentials_are_told_before_anything_is_asked_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    from slipway.sources.s3_options import delta_options

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")

    with pytest.raises(SourceDenied, match="s3://bucket/table"):
        delta_options("s3://bucket/table")
