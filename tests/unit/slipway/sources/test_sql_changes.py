"""Readings of what changed in a database: which rows, and how far the watermark moves."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import SourceSchemaError
from slipway.run import Connection
from slipway.sources import Position
from slipway.sources.adbc import AdbcDatabase
from slipway.sources.alchemy import AlchemyDatabase
from slipway.sources.sql import SqlReading, open_sql, subject
from tests.support.sources import connection, dicts, sql_source

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

pytest_plugins = ["tests.support.postgres"]

Read = Callable[..., "Night"]


class Night:
    """What one reading gave, with its ids in order."""

    def __init__(self, reading: SqlReading) -> None:
        with reading:
            self.full, self.reason = reading.full, reading.reason
            self.rows = dicts(reading.rows())
            all_ids = reading.all_ids()
            self.all_ids = None if all_ids is None else sorted(each["id"] for each in dicts(all_ids))
            self.position: Any = json.loads(json.dumps(reading.position))

    @property
    def ids(self) -> list[Any]:
        return sorted(each["id"] for each in self.rows)


class TestSqlite:
    @pytest.fixture
    def database(self, tmp_path: Path) -> sqlite3.Connection:
        database = sqlite3.connect(tmp_path / "docs.db", isolation_level=None)
        database.execute("CREATE TABLE docs (id INTEGER, at)")
        return database

    @pytest.fixture
    def read(self, database: sqlite3.Connection, tmp_path: Path) -> Read:
        def read(since: Position | None = None, **options: Any) -> Night:
            source = sql_source(["id"], **{"table": "docs", "updated_at": "at", **options})
            return Night(open_sql(connection(f"sqlite:///{tmp_path}/docs.db"), source, since))

        return read

    def put(self, database: sqlite3.Connection, **rows: object) -> None:
        """Rows by id: put(_1="2026-01-30")."""
        given = [(int(name[1:]), at) for name, at in rows.items()]
        database.executemany("DELETE FROM docs WHERE id = ?", [(number,) for number, _ in given])
        database.executemany("INSERT INTO docs VALUES (?, ?)", given)

    def test_texts_written_in_every_way_are_compared_by_their_time(
        self, database: sqlite3.Connection, read: Read
    ) -> None:
        self.put(database, _1="2026-01-30T12:00:00Z", _2="2026-01-30 10:59", _3="2026-01-29T23:00")
        first = read()
        self.put(database, _4="2026-01-30 11:00", _5="2026-01-30T11:00:00.001+00:00", _6="2026-01-31", _7="2026-01-30")
        second = read(first.position)

        assert first.position["value"] == "2026-01-30T12:00:00"
        assert (second.full, second.ids) == (False, [1, 4, 5, 6, 7])  # 7 may have been written at any time of the day
        assert second.all_ids == [1, 2, 3, 4, 5, 6, 7]
        assert second.reason == "everything since 2026-01-30 12:00:00 minus 60 minutes"

    def test_a_row_stamped_with_the_day_before_is_read_within_the_overlap(
        self, database: sqlite3.Connection, read: Read
    ) -> None:
        self.put(database, _1="2026-01-28", _2="2026-01-29", _3="2026-01-30")
        first = read()
        self.put(database, _4="2026-01-29")  # committed after midnight

        assert read(first.position).ids == [2, 3, 4]
        assert read(first.position, overlap=0).ids == [3]

    def test_numbers_without_an_overlap_are_refused(self, database: sqlite3.Connection, read: Read) -> None:
        self.put(database, _1=1_769_738_400_000)

        with pytest.raises(SourceSchemaError, match=r"source 'docs'.*column 'at' holds numbers.*3600000 for milli"):
            read()

        database.execute("UPDATE docs SET at = '2026-01-30'")
        assert read().ids == [1]

    def test_a_row_without_a_value_is_read_every_night(self, database: sqlite3.Connection, read: Read) -> None:
        self.put(database, _1="2026-01-30", _2=None, _3="2026-01-01")

        assert read(read().position).ids == [1, 2]

    def test_equal_stamps_are_read_again_without_an_overlap(self, database: sqlite3.Connection, read: Read) -> None:
        self.put(database, _1=7, _2=6)
        first = read(overlap=0)
        self.put(database, _3=7)
        second = read(first.position, overlap=0)

        assert second.ids == [1, 3]
        assert second.reason == "everything since 7 minus 0"

    @pytest.mark.parametrize(
        ("stamps", "expected"),
        [((10, 20, 30), [2, 3]), ((1.5, 2.5, 12.25), [2, 3]), ((2**62, 2**62 + 10, 2**62 + 20), [2, 3])],
    )
    def test_numbers_overlap_by_units(
        self, database: sqlite3.Connection, read: Read, stamps: Sequence[float], expected: list[int]
    ) -> None:
        self.put(database, **{f"_{number}": at for number, at in enumerate(stamps, start=1)})

        assert read(read(overlap=10).position, overlap=10).ids == expected

    def test_a_stamp_from_the_future_does_not_move_the_watermark_past_the_databases_clock(
        self, database: sqlite3.Connection, read: Read
    ) -> None:
        self.put(database, _1="2020-01-01 00:00:00", _2="2999-01-01 00:00:00")
        (now,) = database.execute("SELECT CURRENT_TIMESTAMP").fetchone()
        first = read()
        (later,) = database.execute("SELECT CURRENT_TIMESTAMP").fetchone()
        self.put(database, _3=later)
        second = read(first.position)

        assert now <= first.position["value"].replace("T", " ") <= later
        assert second.ids == [2, 3]

    def test_numbers_have_no_clock(self, database: sqlite3.Connection, read: Read) -> None:
        self.put(database, _1=10**15)

        assert read(overlap=0).position["value"] == str(10**15)

    def test_the_watermark_stays_when_the_newest_row_goes(self, database: sqlite3.Connection, read: Read) -> None:
        self.put(database, _1=5, _2=9)
        first = read(overlap=0)
        database.execute("DELETE FROM docs WHERE id = 2")
        second = read(first.position, overlap=0)

        assert (second.ids, second.all_ids) == ([], [1])
        assert second.position == first.position

    def test_a_row_committed_later_than_the_overlap_is_found_by_its_id(
        self, database: sqlite3.Connection, tmp_path: Path, read: Read
    ) -> None:
        self.put(database, _1="2026-01-30 12:00:00")
        first = read()
        self.put(database, _2="2026-01-30 09:00:00")
        source = sql_source(["id"], table="docs", updated_at="at")

        with open_sql(connection(f"sqlite:///{tmp_path}/docs.db"), source, first.position) as reading:
            assert [each["id"] for each in dicts(reading.rows())] == [1]
            assert sorted(each["id"] for each in dicts(reading.all_ids())) == [1, 2]
            assert dicts(reading.rows_of([2])) == [{"id": 2, "at": "2026-01-30 09:00:00"}]

    def test_all_streams_see_one_snapshot(self, database: sqlite3.Connection, tmp_path: Path, read: Read) -> None:
        database.execute("PRAGMA journal_mode = WAL")
        self.put(database, _1=5)
        source = sql_source(["id"], table="docs", updated_at="at", overlap=0)

        with open_sql(connection(f"sqlite:///{tmp_path}/docs.db"), source, read(overlap=0).position) as reading:
            dicts(reading.rows())
            self.put(database, _2=9)
            assert dicts(reading.all_ids()) == [{"id": 1}]
            assert dicts(reading.rows_of([2])) == []

    def test_no_id_scan_when_not_asked_for(self, database: sqlite3.Connection, read: Read) -> None:
        self.put(database, _1="2026-01-30")

        assert read(read().position, id_scan=False).all_ids is None

    def test_ids_that_came_as_text_find_numbers(self, database: sqlite3.Connection, tmp_path: Path) -> None:
        self.put(database, _1=5, _2=6)
        with open_sql(connection(f"sqlite:///{tmp_path}/docs.db"), sql_source(["id"], table="docs"), None) as reading:
            dicts(reading.rows())
            assert dicts(reading.rows_of(["2", "x"])) == [{"id": 2}]

    def test_a_query_is_wrapped_with_its_signs_and_comments(self, database: sqlite3.Connection, read: Read) -> None:
        self.put(database, _1="2026-01-30", _2="2026-01-31")
        query = "SELECT id, at FROM docs WHERE '100% :sure' LIKE '100% :s%' -- all of it;"

        assert read(read(query=query, table=None).position, query=query, table=None, overlap=0).ids == [2]

    def test_other_words_of_the_source_make_a_full_reading(self, database: sqlite3.Connection, read: Read) -> None:
        self.put(database, _1="2026-01-30")
        other = read(read().position, table=None, query="SELECT id, at FROM docs")

        assert other.full
        assert "another than in the last reading" in other.reason

    @pytest.mark.parametrize(
        ("since", "reason"),
        [
            ({"type": "number", "value": "5"}, "now holds text"),
            ({"type": "text", "value": "rubbish"}, "ended at 'rubbish'"),
            ({"kind": "delta", "version": 3}, "last read by delta"),
        ],
    )
    def test_a_position_that_says_nothing_here_makes_a_full_reading(
        self, database: sqlite3.Connection, read: Read, since: dict[str, Any], reason: str
    ) -> None:
        self.put(database, _1="2026-01-30")
        night = read({**read().position, **since})

        assert (night.full, night.ids, night.all_ids) == (True, [1], None)
        assert reason in night.reason

    def test_nothing_seen_gives_no_position(self, database: sqlite3.Connection, read: Read) -> None:
        assert read().position is None
        self.put(database, _1=None)
        assert read().position is None
        given = {"kind": "watermark", "of": subject(sql_source(["id"], table="docs", updated_at="at"))}
        assert read(given).reason == "no row has a value in at"

    def test_a_table_without_watermark_is_read_in_full(self, database: sqlite3.Connection, read: Read) -> None:
        self.put(database, _1=5)
        night = read(updated_at=None)

        assert (night.full, night.position, night.rows) == (True, None, [{"id": 1}])
        assert night.reason == "the source names no column updated_at"

    @pytest.mark.parametrize(("at", "shown"), [("30.1.2026", "'30.1.2026'"), (b"x", "b'x'")])
    def test_a_column_that_is_no_watermark_is_refused(
        self, database: sqlite3.Connection, read: Read, at: object, shown: str
    ) -> None:
        self.put(database, _1=at)

        with pytest.raises(SourceSchemaError, match=f"column 'at' holds {shown}"):
            read()

    def test_a_mixed_column_is_refused(self, database: sqlite3.Connection, read: Read) -> None:
        self.put(database, _1=5, _2="2026-01-30")

        with pytest.raises(SourceSchemaError, match="without a common order"):
            read(overlap=0)

    def test_a_missing_watermark_is_named(self, database: sqlite3.Connection, read: Read) -> None:
        for where in ({"table": "docs"}, {"table": None, "query": "SELECT id FROM docs"}):
            with pytest.raises(SourceSchemaError, match="no column 'modified'"):
                read(updated_at="modified", **where)


class TestPostgres:
    @pytest.fixture(params=[AdbcDatabase, AlchemyDatabase])
    def read(self, request: pytest.FixtureRequest, postgres: Postgres) -> Read:
        def read(since: Position | None = None, **options: Any) -> Night:
            source = sql_source(["id"], **{"table": "stamped", "updated_at": "at", **options})
            return Night(SqlReading(request.param(self.place(postgres), source), source, since))

        return read

    def place(self, postgres: Postgres) -> Connection:
        return connection(postgres.url())

    def make(self, postgres: Postgres, kind: str, *stamps: object) -> None:
        postgres.execute("DROP TABLE IF EXISTS stamped")
        postgres.execute(f"CREATE TABLE stamped (id int, at {kind})")
        rows = list(enumerate(stamps, start=1))
        postgres.execute(f"INSERT INTO stamped SELECT %s, %s::text::{kind}", rows)

    @pytest.mark.parametrize(
        ("kind", "stamps", "value"),
        [
            ("timestamptz", ["2026-01-30 01:14:59+00", "2026-01-30 02:14+01", "2026-01-30 02:15+00", None], None),
            ("timestamp", ["2026-01-30 01:14:59", "2026-01-30 01:15", "2026-01-30 02:15", None], "2026-01-30T02:15:00"),
            ("date", ["2026-01-28", "2026-01-29", "2026-01-30", None], "2026-01-30"),
            ("text", ["2026-01-30T01:14:59Z", "2026-01-30T01:15Z", "2026-01-30 02:15:00.5", None], None),
            ("text", ["2026-01-28", "2026-01-29", "2026-01-30", None], "2026-01-30T00:00:00"),
            ("char(10)", ["2026-01-28", "2026-01-29", "2026-01-30", None], "2026-01-30T00:00:00"),
            ("varchar(40)", ["2026-01-29 23", None], "refused"),
            ("smallint", ["39", "40", "100", None], "100"),
            ("bigint", ["39", "40", "100", None], "100"),
            ("numeric", ["39.9", "40.0", "100.0", None], "100.0"),
            ("real", ["39.9", "40", "100", None], "100.0"),
            ("double precision", ["39.9", "40", "100", None], "100.0"),
        ],
    )
    def test_every_type_of_column_overlaps(
        self, postgres: Postgres, read: Read, kind: str, stamps: list[str], value: str | None
    ) -> None:
        self.make(postgres, kind, *stamps)
        if value == "refused":
            with pytest.raises(SourceSchemaError, match="expected ISO 8601"):
                read()
            return
        overlap = {"overlap": 60} if value in ("100", "100.0") else {}
        first = read(**overlap)
        second = read(first.position, **overlap)

        assert value is None or first.position["value"] == value
        assert not second.full
        assert second.ids == ([3, 4] if kind == "timestamptz" else [2, 3, 4])
        assert second.position == first.position

    @pytest.mark.parametrize("kind", ["boolean", "bytea", "uuid", "time", "interval", "jsonb", "money"])
    def test_an_impossible_type_is_refused(self, postgres: Postgres, read: Read, kind: str) -> None:
        examples = {"boolean": "true", "bytea": "x", "time": "10:00", "interval": "1 day", "jsonb": "{}", "money": "1"}
        self.make(postgres, kind, examples.get(kind, "00000000-0000-0000-0000-000000000001"))

        with pytest.raises(SourceSchemaError, match="updated_at column 'at'"):
            read()

    @pytest.mark.parametrize("kind", ["timestamptz", "timestamp"])
    def test_a_stamp_from_the_future_does_not_move_the_watermark_past_the_databases_clock(
        self, postgres: Postgres, read: Read, kind: str
    ) -> None:
        self.make(postgres, kind, "2020-01-01", "2999-01-01")
        first = read()
        ((later,),) = postgres.execute("SELECT clock_timestamp()")

        reached = datetime.fromisoformat(first.position["value"])
        reached = reached if reached.tzinfo else reached.replace(tzinfo=UTC)
        assert later - timedelta(minutes=10) < reached <= later

    def test_infinity_is_no_watermark(self, postgres: Postgres) -> None:
        self.make(postgres, "timestamptz", "infinity", "-infinity", "2026-01-30 00:00+00", "9999-12-31 23:59:59+00")
        postgres.execute("DELETE FROM stamped WHERE id = 4")
        source = sql_source(["id"], table="stamped", updated_at="at")
        first = Night(SqlReading(AdbcDatabase(self.place(postgres), source), source, None))
        second = Night(SqlReading(AdbcDatabase(self.place(postgres), source), source, first.position))

        assert first.position["value"] == "2026-01-30T00:00:00+00:00"
        assert second.ids == [1, 3]

    def test_infinity_through_sqlalchemy_is_refused(self, postgres: Postgres) -> None:
        self.make(postgres, "timestamptz", "2026-01-30", "infinity")
        source = sql_source(["id"], table="stamped", updated_at="at")

        with pytest.raises(SourceSchemaError, match=r"refused the query.*10K"):
            Night(SqlReading(AlchemyDatabase(self.place(postgres), source), source, None))

    def test_a_query_is_wrapped_with_its_signs_and_comments(self, postgres: Postgres, read: Read) -> None:
        self.make(postgres, "timestamptz", "2026-01-30", "2026-01-31")
        query = "SELECT id, at FROM stamped WHERE '100% :sure' LIKE '100% :s%' AND 7 % 4 = 3 -- 5 %s of it;"

        assert read(read(query=query, table=None).position, query=query, table=None).ids == [2]

    @pytest.mark.parametrize(
        ("kind", "ids"),
        [
            ("uuid", ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"]),
            ("text", ["a'b\"c\\", "naïve % :x 名"]),
            ("char(5)", ["abc", "abd"]),
            ("numeric", ["1.50", "2"]),
            ("bigint", ["9007199254740993", "-5"]),
            ("bytea", ["\\x00ff", "\\x01"]),
            ("boolean", ["true", "false"]),
            ("date", ["2026-01-30", "2026-01-31"]),
            ("timestamptz", ["2026-01-30 00:00:00.123456+00", "2026-01-31 00:00:00+00"]),
            ("bit(3)", ["101", "110"]),
        ],
    )
    @pytest.mark.parametrize("driver", [AdbcDatabase, AlchemyDatabase])
    def test_ids_of_every_type_find_their_rows(
        self, postgres: Postgres, driver: Callable[..., Any], kind: str, ids: list[str]
    ) -> None:
        postgres.execute("DROP TABLE IF EXISTS keyed")
        postgres.execute(f"CREATE TABLE keyed (id {kind} PRIMARY KEY, at int)")
        postgres.execute(f"INSERT INTO keyed SELECT %s::text::{kind}, %s", list(zip(ids, (1, 2), strict=True)))
        source = sql_source(["id"], query="SELECT * FROM keyed WHERE '%' = '%'", updated_at="at", overlap=0)
        first = Night(SqlReading(driver(self.place(postgres), source), source, None))

        with SqlReading(driver(self.place(postgres), source), source, first.position) as reading:
            dicts(reading.rows())
            there = [each["id"] for each in dicts(reading.all_ids())]
            found = [dicts(reading.rows_of([each])) for each in there]

        assert sorted(map(str, there)) == sorted(str(each["id"]) for each in first.rows)
        assert found == [[each for each in first.rows if each["id"] == wanted] for wanted in there]

    def test_all_streams_see_one_snapshot(self, postgres: Postgres) -> None:
        self.make(postgres, "int", 1, 2)
        source = sql_source(["id"], table="stamped", updated_at="at", overlap=0)
        since = Night(SqlReading(AdbcDatabase(self.place(postgres), source), source, None)).position
        for driver in (AdbcDatabase, AlchemyDatabase):
            with SqlReading(driver(self.place(postgres), source), source, since) as reading:
                before = dicts(reading.rows())
                postgres.execute("INSERT INTO stamped VALUES (9, 9)")
                ids = sorted(each["id"] for each in dicts(reading.all_ids()))
                missing = dicts(reading.rows_of([9]))
            postgres.execute("DELETE FROM stamped WHERE id = 9")

            assert (before, ids, missing) == ([{"id": 2, "at": 2}], [1, 2], [])
