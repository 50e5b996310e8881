"""What every source promises, on every kind of source we have."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from slipway.errors import SourceSchemaError
from slipway.sources import Position, Reading
from slipway.sources.plain import MAX_BYTES, MAX_ROWS
from tests.support.places import CHANGING, KINDS, ChangingPlace, Place, place_of, s3_url
from tests.support.sources import all_rows, dicts

__all__ = ["s3_url"]

pytest_plugins = ["tests.support.postgres", "tests.support.s3_process"]

SCHEMA = pa.schema(
    [("id", pa.int64()), ("name", pa.string()), ("score", pa.float64()), ("raw", pa.binary()), ("empty", pa.string())]
)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place, one of every kind."""
    return place_of(request.param, request, tmp_path)


def row(number: int, **values: object) -> dict[str, Any]:
    made = {"id": number, "name": f"naïve 名 {number} 🚢", "score": number + 0.5, "raw": b"\x00\xff", "empty": None}
    return {**made, **values}


def test_the_rows_that_went_in_come_out(place: Place) -> None:
    rows = [row(number) for number in range(3)]
    place.fill(rows, SCHEMA)

    assert all_rows(place.reading(list(SCHEMA.names))) == rows


def test_missing_values_stay_missing(place: Place) -> None:
    rows = [row(0), row(1, name=None, score=None, raw=None), row(2, name="", raw=b"")]
    place.fill(rows, SCHEMA)

    assert all_rows(place.reading(list(SCHEMA.names))) == rows


def test_columns_have_plain_types(place: Place) -> None:
    place.fill([row(0), row(1, name=None, score=None, raw=None)], SCHEMA)

    with place.reading(list(SCHEMA.names)) as reading:
        batches = list(reading.rows())

    assert {batch.schema for batch in batches} == {SCHEMA}


def test_only_the_columns_asked_for_are_read_in_that_order(place: Place) -> None:
    place.fill([row(1)], SCHEMA)

    with place.reading(["score", "id"]) as reading:
        assert [list(batch.schema.names) for batch in reading.rows()] == [["score", "id"]]


def test_many_rows_come_in_bounded_batches(place: Place) -> None:
    place.fill([row(number) for number in range(3 * MAX_ROWS)], SCHEMA)

    with place.reading(["id", "name"]) as reading:
        batches = list(reading.rows())

    assert max(batch.num_rows for batch in batches) <= MAX_ROWS
    ids = [number for batch in batches for number in batch.column(0).to_pylist()]
    assert sorted(ids) == list(range(3 * MAX_ROWS))


def test_huge_values_come_in_bounded_batches(place: Place) -> None:
    megabytes = 10_000_000
    place.fill([row(number, name=str(number) * megabytes) for number in range(4)], SCHEMA)

    sizes = {}
    with place.reading(["id", "name"]) as reading:
        for batch in reading.rows():
            assert batch.num_rows == 1 or batch.nbytes <= MAX_BYTES
            sizes |= {each["id"]: (each["name"][:1], len(each["name"])) for each in batch.to_pylist()}

    assert sizes == {number: (str(number), megabytes) for number in range(4)}


def test_nothing_to_read_gives_no_row(place: Place) -> None:
    place.fill([], SCHEMA)

    assert all_rows(place.reading(["id", "name"])) == []


def test_a_missing_column_is_named_with_the_columns_there_are(place: Place) -> None:
    place.fill([row(1)], SCHEMA)

    with pytest.raises(SourceSchemaError) as error:
        all_rows(place.reading(["id", "titel"]))

    message = str(error.value)
    assert "'titel'" in message
    assert all(repr(name) in message for name in SCHEMA.names)


def test_a_missing_place_is_named(place: Place) -> None:
    place.fill([row(1)], SCHEMA)

    with pytest.raises(SourceSchemaError, match=place.missing):
        all_rows(place.reading_of_missing())


def test_reading_can_be_left_early_and_begun_again(place: Place) -> None:
    rows = [row(number) for number in range(20)]
    place.fill(rows, SCHEMA)
    with place.reading(["id"]) as left:
        next(left.rows())

    assert all_rows(place.reading(["id"])) == [{"id": number} for number in range(20)]


def test_a_first_reading_is_full_and_says_why(place: Place) -> None:
    place.fill([row(1)], SCHEMA)

    with place.reading(["id"]) as reading:
        assert (reading.full, bool(reading.reason), reading.all_ids()) == (True, True, None)
        assert dicts(reading.rows()) == [{"id": 1}]
        assert dicts(reading.deleted_ids()) == []


def test_a_position_of_another_kind_gives_a_full_reading(place: Place) -> None:
    place.fill([row(1)], SCHEMA)

    with place.reading(["id"], {"kind": "tape", "block": 7}) as reading:
        assert reading.full
        assert dicts(reading.rows()) == [{"id": 1}]


def test_rows_are_found_by_their_ids(place: Place) -> None:
    place.fill([row(number) for number in range(1_200)], SCHEMA)

    with place.reading(["id", "name"]) as reading:
        dicts(reading.rows())
        found = dicts(reading.rows_of([*range(0, 1_200, 2), 5_000]))

    assert sorted(each["id"] for each in found) == list(range(0, 1_200, 2))
    assert all(each["name"] == row(each["id"])["name"] for each in found)


# ---- readings of changes -------------------------------------------------------------------------------------------

TABLE = pa.schema(
    [("id", pa.int64()), ("body", pa.string()), ("changed_at", pa.timestamp("us", "UTC")), ("gone", pa.bool_())]
)
COLUMNS = list(TABLE.names)
OPTIONS = {"updated_at": "changed_at", "tombstone": "gone", "overlap": 60.0}
BEGINNING = datetime(2020, 1, 30, 2, 15, tzinfo=UTC)


class Copy:
    """What somebody knows who applies one reading after another. `told` is what the last one gave."""

    def __init__(self, place: Place, **options: Any) -> None:
        self._place, self._options = place, {**OPTIONS, **options}
        self.rows: dict[int, dict[str, Any]] = {}
        self.position: Position | None = None
        self.told: list[int] = []
        self.full, self.reason = True, ""

    def follow(self) -> None:
        """Read from the last position on, which is kept as JSON between two nights."""
        since = None if self.position is None else json.loads(json.dumps(self.position))
        with self._place.reading(COLUMNS, since, **self._options) as reading:
            self.full, self.reason = reading.full, reading.reason
            changed = {each["id"]: each for each in dicts(reading.rows())}
            self.told = sorted(changed)
            self.rows = changed if reading.full else {**self.rows, **changed}
            for each in dicts(reading.deleted_ids()):
                self.rows.pop(each["id"])
            self._heal(reading)
            self.position = reading.position

    def _heal(self, reading: Reading) -> None:
        ids = reading.all_ids()
        if ids is None:
            return
        there = {each["id"] for each in dicts(ids)}
        self.rows = {key: value for key, value in self.rows.items() if key in there}
        missed = sorted(there - set(self.rows))
        self.rows |= {each["id"]: each for each in dicts(reading.rows_of(missed))}


@pytest.fixture(params=CHANGING)
def changing(request: pytest.FixtureRequest, tmp_path: Path) -> ChangingPlace:
    """An empty place whose rows can be changed, one of every kind."""
    return place_of(request.param, request, tmp_path)


here = pytest.mark.parametrize("changing", [kind for kind in CHANGING if not kind.startswith("s3")], indirect=True)
"""For tests that a store behind a network adds nothing to."""


@pytest.fixture
def is_appending(request: pytest.FixtureRequest) -> bool:
    """Whether the place can only tell what was appended."""
    return str(request.node.callspec.params["changing"]).endswith("iceberg")


def entry(number: int, body: str = "", minutes: float = 0, gone: bool | None = False) -> dict[str, Any]:
    return {"id": number, "body": body, "changed_at": BEGINNING + timedelta(minutes=minutes), "gone": gone}


def bodies(copy: Copy) -> dict[int, str]:
    return {number: each["body"] for number, each in sorted(copy.rows.items())}


def test_only_what_was_inserted_is_read(changing: ChangingPlace) -> None:
    changing.fill([*(entry(number, minutes=-90) for number in range(4)), entry(4)], TABLE)
    copy = Copy(changing)
    copy.follow()
    changing.insert([entry(5, "new", 90)], TABLE)
    copy.follow()

    assert not copy.full
    assert {5} <= set(copy.told) <= {4, 5}  # 4 lies in the overlap
    assert bodies(copy) == {**dict.fromkeys(range(5), ""), 5: "new"}


@here
def test_a_row_in_the_overlap_is_read_again(changing: ChangingPlace) -> None:
    changing.fill([entry(1, "first", 0), entry(2, "second", 90)], TABLE)
    copy = Copy(changing)
    copy.follow()
    changing.insert([entry(3, "committed late", 45)], TABLE)
    copy.follow()

    assert not copy.full
    assert {3} <= set(copy.told) <= {2, 3}
    assert set(copy.rows) == {1, 2, 3}


def test_what_was_updated_is_read_in_its_latest_state(changing: ChangingPlace, is_appending: bool) -> None:
    changing.fill([entry(1, "one", -90), entry(2, "two", -90), entry(3, "three")], TABLE)
    copy = Copy(changing)
    copy.follow()
    changing.update([entry(2, "half", 61)], TABLE)
    changing.update([entry(2, "changed", 62)], TABLE)
    copy.follow()

    assert copy.full == is_appending
    assert is_appending or {2} <= set(copy.told) <= {2, 3}  # 3 lies in the overlap
    assert bodies(copy) == {1: "one", 2: "changed", 3: "three"}


def test_what_was_deleted_is_known(changing: ChangingPlace, is_appending: bool) -> None:
    changing.fill([entry(number) for number in range(6)], TABLE)
    copy = Copy(changing)
    copy.follow()
    changing.delete([1, 4])
    changing.insert([entry(4, "again", 90)], TABLE)
    copy.follow()

    assert copy.full == is_appending
    assert bodies(copy) == {0: "", 2: "", 3: "", 4: "again", 5: ""}


@here
def test_a_night_without_changes_reads_nothing_beyond_the_overlap(changing: ChangingPlace) -> None:
    changing.fill([entry(1), entry(2, "last", 90)], TABLE)
    copy = Copy(changing)
    copy.follow()
    before = copy.position
    copy.follow()

    assert not copy.full
    assert set(copy.told) <= {2}
    assert (copy.position, set(copy.rows)) == (before, {1, 2})


@here
def test_the_tombstone_is_delivered(changing: ChangingPlace) -> None:
    changing.fill([entry(1, gone=True), entry(2, gone=None)], TABLE)
    copy = Copy(changing)
    copy.follow()

    assert [bool(copy.rows[number]["gone"]) for number in (1, 2)] == [True, False]


@here
def test_a_table_made_empty_is_an_empty_copy(changing: ChangingPlace) -> None:
    changing.fill([entry(number) for number in range(3)], TABLE)
    copy = Copy(changing)
    copy.follow()
    changing.delete([0, 1, 2])
    copy.follow()
    assert copy.rows == {}

    changing.insert([entry(7, "back", 90)], TABLE)
    copy.follow()
    assert bodies(copy) == {7: "back"}


@here
def test_an_empty_table_is_followed_from_its_first_row_on(changing: ChangingPlace) -> None:
    changing.fill([], TABLE)
    copy = Copy(changing)
    copy.follow()
    assert copy.rows == {}

    changing.insert([entry(1, "first")], TABLE)
    copy.follow()
    assert bodies(copy) == {1: "first"}


@here
@pytest.mark.parametrize("seed", range(3))
def test_a_copy_that_follows_any_history_is_the_table(changing: ChangingPlace, seed: int) -> None:
    chance = random.Random(seed)
    history = History(changing, chance)
    copy = Copy(changing)
    reached: Position | None = None
    for _ in range(8):
        for _ in range(chance.randrange(4)):
            history.go_on()
        copy.follow()

        assert {number: each["body"] for number, each in copy.rows.items()} == history.bodies
        assert reached is None or copy.position is None or progress(reached) <= progress(copy.position)
        reached = copy.position or reached


def progress(position: Position) -> Any:
    """What of a position may never shrink. Snapshots of Iceberg have no order of their own."""
    return position.get("version") or position.get("value") or 0


class History:
    """Random transactions. Time goes on by at most half an hour in each or stands still, and rows are stamped up to an
    hour before they are committed.
    """

    def __init__(self, place: ChangingPlace, chance: random.Random) -> None:
        self._place, self._chance = place, chance
        self._minutes = 0.0
        self.bodies: dict[int, str] = {}
        place.fill([], TABLE)

    def go_on(self) -> None:
        self._minutes += self._chance.choice([0, 0, 0.001, 10, 30])
        step = self._chance.choice([self._insert, self._insert, self._update, self._delete])
        step(self._chance.randrange(1, 4))

    def _entry(self, number: int) -> dict[str, Any]:
        late = self._chance.choice([0, 0, 0.0005, 20, 59.9])
        self.bodies[number] = f"{number} at {self._minutes}, {self._chance.random()}"
        return entry(number, self.bodies[number], self._minutes - late)

    def _some(self, count: int) -> list[int]:
        return self._chance.sample(sorted(self.bodies), min(count, len(self.bodies)))

    def _insert(self, count: int) -> None:
        free = [number for number in range(20) if number not in self.bodies]
        rows = [self._entry(number) for number in self._chance.sample(free, min(count, len(free)))]
        self._place.insert(rows, TABLE)

    def _update(self, count: int) -> None:
        self._place.update([self._entry(number) for number in self._some(count)], TABLE)

    def _delete(self, count: int) -> None:
        chosen = self._some(count)
        for number in chosen:
            del self.bodies[number]
        self._place.delete(chosen)
