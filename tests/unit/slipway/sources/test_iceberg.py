"""Iceberg tables: appended files alone, and what makes a reading full."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from slipway.errors import SourceInterrupted, SourceSchemaError
from slipway.sources import Position
from tests.support.places import IcebergPlace, iceberg_settings
from tests.support.sources import dicts

SCHEMA = pa.schema([("id", pa.int64()), ("body", pa.string())])
SECRET = "s3cr3t"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IcebergPlace:
    for name, value in iceberg_settings(tmp_path, f"file://{tmp_path}/warehouse").items():
        monkeypatch.setenv(name, value)
    place = IcebergPlace()
    place.fill([{"id": number, "body": "first"} for number in range(3)], SCHEMA)
    return place


class Night:
    """What one reading gave."""

    def __init__(self, place: IcebergPlace, since: Position | None = None) -> None:
        with place.reading(["id", "body"], since) as reading:
            self.full, self.reason = reading.full, reading.reason
            self.bodies = {each["id"]: each["body"] for each in dicts(reading.rows())}
            self.position: Mapping[str, Any] | None = json.loads(json.dumps(reading.position))


def one(number: int, body: str) -> list[dict[str, Any]]:
    return [{"id": number, "body": body}]


def test_several_appends_are_read_together(place: IcebergPlace) -> None:
    first = Night(place)
    for number in range(5, 8):
        place.insert(one(number, "more"), SCHEMA)
    second = Night(place, first.position)

    assert (second.full, second.bodies) == (False, dict.fromkeys(range(5, 8), "more"))
    assert second.reason.startswith("the files appended from snapshot")


def test_appends_that_merge_manifests_are_read_once(place: IcebergPlace) -> None:
    with place.table.transaction() as transaction:
        transaction.set_properties({"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "2"})
    first = Night(place)
    for number in range(5, 8):
        place.insert(one(number, "more"), SCHEMA)
    second = Night(place, first.position)

    assert second.bodies == dict.fromkeys(range(5, 8), "more")


def test_nothing_committed_is_said(place: IcebergPlace) -> None:
    first = Night(place)
    second = Night(place, first.position)

    assert (second.full, second.bodies, second.position) == (False, {}, first.position)
    assert second.reason.startswith("nothing was committed")


def overwritten(place: IcebergPlace) -> None:
    place.update(one(1, "second"), SCHEMA)


def deleted(place: IcebergPlace) -> None:
    place.delete([0])


def overwritten_before_the_last_append(place: IcebergPlace) -> None:
    place.update(one(1, "second"), SCHEMA)
    place.insert(one(9, "more"), SCHEMA)


def another_schema(place: IcebergPlace) -> None:
    from pyiceberg.types import StringType

    with place.table.update_schema() as update:
        update.add_column("title", StringType())


def made_anew(place: IcebergPlace) -> None:
    place.fill(one(1, "other"), SCHEMA)


def rolled_back(place: IcebergPlace) -> None:
    older = place.table.metadata.snapshots[0].snapshot_id
    place.table.manage_snapshots().rollback_to_snapshot(older).commit()


def expired(place: IcebergPlace) -> None:
    for number in range(5, 8):
        place.insert(one(number, "more"), SCHEMA)
    last = [snapshot.snapshot_id for snapshot in place.table.metadata.snapshots][:-2]
    place.table.maintenance.expire_snapshots().by_ids(last).commit()


@pytest.mark.parametrize(
    ("happening", "reason"),
    [
        (overwritten, "is no append"),
        (deleted, "is no append"),
        (overwritten_before_the_last_append, "is no append"),
        (another_schema, "schema changed"),
        (made_anew, "made anew"),
        (rolled_back, "no ancestor"),
        (expired, "no ancestor of the table's, or expired"),
    ],
)
def test_what_appends_cannot_tell_makes_a_full_reading(
    place: IcebergPlace, happening: Callable[[IcebergPlace], None], reason: str
) -> None:
    place.insert(one(4, "first"), SCHEMA)
    first = Night(place)
    happening(place)
    second = Night(place, first.position)

    assert second.full
    assert reason in second.reason
    assert second.bodies == {each["id"]: each["body"] for each in place.table.scan().to_arrow().to_pylist()}


def test_a_table_never_written_to_has_no_position(place: IcebergPlace) -> None:
    place.fill([], SCHEMA)
    night = Night(place)

    assert (night.full, night.bodies, night.position) == (True, {}, None)


def test_a_snapshot_is_read_as_it_was_when_the_reading_began(place: IcebergPlace) -> None:
    with place.reading(["id", "body"]) as reading:
        place.insert(one(9, "later"), SCHEMA)
        assert len(dicts(reading.rows())) == 3
        first = reading.position

    assert Night(place, first).bodies == {9: "later"}


def test_a_column_that_was_renamed_is_read_by_its_new_name(place: IcebergPlace) -> None:
    with place.table.update_schema() as update:
        update.rename_column("body", "text")

    with place.reading(["text", "id"]) as reading:
        assert sorted(each["id"] for each in dicts(reading.rows()) if each["text"] == "first") == [0, 1, 2]


def test_a_data_file_that_vanished_is_worth_another_try(place: IcebergPlace, tmp_path: Path) -> None:
    for file in (tmp_path / "warehouse").rglob("*.parquet"):
        file.unlink()

    with pytest.raises(SourceInterrupted, match=r"Iceberg table docs\.articles, catalog default\).*before the first"):
        Night(place)


def test_a_catalog_of_no_known_kind_is_the_configurations_fault(
    place: IcebergPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYICEBERG_CATALOG__DEFAULT__TYPE", "card index")

    with pytest.raises(SourceSchemaError, match="cannot be read"):
        Night(place)


def test_a_catalog_that_does_not_answer_is_worth_another_try_and_shows_no_password(
    place: IcebergPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import traceback

    monkeypatch.setenv("PYICEBERG_CATALOG__DEFAULT__URI", f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/db")

    with pytest.raises(SourceInterrupted, match="catalog default") as error:
        Night(place)

    assert SECRET not in "".join(traceback.format_exception(error.value))
