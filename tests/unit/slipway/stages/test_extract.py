from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway import checkpoint, layout, manifest
from slipway.checkpoint import Start
from slipway.cleaning.recipe import recipe
from slipway.config import Collection
from slipway.config.collection import Clean
from slipway.errors import ConnectionMissing, DiskFull, InputError, SourceInterrupted, SourceRefused
from slipway.parts import fetch_parts, read_batches
from slipway.run import Connection, Run
from slipway.stages import extract as stage
from slipway.stages.clean import clean
from slipway.stages.extract import extract
from slipway.stages.snapshot import snapshot
from tests.support.memory_store import MemoryStore

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

pytest_plugins = ["tests.support.postgres"]

Rows = list[dict[str, Any]]


class Listed:
    """A reading of ready batches, that may fail after them. `ids` None: no id scan."""

    reason = "as a test says"

    def __init__(
        self,
        batches: list[Rows],
        failure: Exception | None = None,
        *,
        full: bool = True,
        deleted: Sequence[Any] = (),
        ids: Sequence[Any] | None = None,
        others: Sequence[dict[str, Any]] = (),
        position: Any = None,
    ) -> None:
        self._batches, self._failure, self.full, self.position = batches, failure, full, position
        self._deleted, self._ids, self._others = deleted, ids, {row["id"]: row for row in others}
        self.closed = False
        self.since: Any = "not opened"

    def rows(self) -> Iterator[pa.RecordBatch]:
        for rows in self._batches:
            yield pa.RecordBatch.from_pylist(rows)
        if self._failure is not None:
            raise self._failure

    def deleted_ids(self) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([list(self._deleted)], ["id"])

    def all_ids(self) -> Iterator[pa.RecordBatch] | None:
        return None if self._ids is None else iter([pa.record_batch([[one]], ["id"]) for one in self._ids])

    def rows_of(self, ids: Sequence[Any]) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([self._others[one] for one in ids])

    def __enter__(self) -> Listed:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


def collection(**source: object) -> Collection:
    described = {"name": "docs", "kind": "sql", "connection": "docs_db", "table": "docs", "id": "id", "text": "{body}"}
    encoder = {"name": "none", "folder": "none", "dimension": 4, "max_tokens": 512}
    return Collection.model_validate({"name": "tiny", "sources": [{**described, **source}], "encoder": encoder})


def no_connection(name: str) -> Connection:
    raise ConnectionMissing(f"there is no connection {name!r}")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    store = MemoryStore()

    def make(described: Collection | None = None, run_id: str = "night", full: bool = False, **more: Any) -> Run:
        run = Run(
            described or collection(), store, run_id, tmp_path / "scratch", **{"connections": no_connection, **more}
        )
        newest = checkpoint.newest(store)
        checkpoint.begin(run, Start(0, None, "e", newest.place if newest else None, full))
        return run

    return make


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Listed]:
    """Makes every source these readings, one after another."""

    def use(*readings: Listed) -> Listed:
        waiting = list(readings)

        def opened(source: Any, connections: Any, scratch: Path, since: Any) -> Listed:
            reading = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            reading.since = since
            return reading

        monkeypatch.setattr(stage, "open_reading", opened)
        return readings[0]

    return use


def sealed_rows(run: Run, sealed: manifest.Manifest, folder: Path) -> Rows:
    paths = fetch_parts(run.store, sealed, "raw", folder)
    return [row for batch in read_batches(paths) for row in batch.to_pylist()]


def test_every_row_is_sealed(make_run: Callable[..., Run], read: Callable[..., Listed], tmp_path: Path) -> None:
    read(Listed([[{"id": 1, "body": "a"}], [{"id": 2, "body": b"\xff"}]]))
    run = make_run()

    sealed = extract(run, "docs")

    assert sealed.counts == {"rows": 2, "deleted": 0}
    state = sealed.facts["state"]
    assert sealed.facts == {
        "source": "docs",
        "kind": "sql",
        "columns": ["id", "body"],
        "mode": "full",
        "reason": "the source is read for the first time",
        "base": None,
        "state": {
            "position": None,
            "full_at": state["full_at"],
            "recipe": recipe(run.collection.source("docs"), Clean()),
        },
    }
    assert sealed == manifest.load(run.store, layout.raw("night", "docs"))
    assert sealed_rows(run, sealed, tmp_path) == [{"id": 1, "body": "a"}, {"id": 2, "body": b"\xff"}]


def test_a_retry_reads_nothing_again(make_run: Callable[..., Run], read: Callable[..., Listed]) -> None:
    read(Listed([[{"id": 1, "body": "a"}]]))
    first = extract(make_run(), "docs")
    again = read(Listed([], RuntimeError("must not be read")))

    assert extract(make_run(), "docs") == first
    assert not again.closed


def test_another_run_reads_again(make_run: Callable[..., Run], read: Callable[..., Listed]) -> None:
    read(Listed([[{"id": 1, "body": "a"}]]))
    first = extract(make_run(), "docs")

    second = extract(make_run(run_id="next night"), "docs")

    assert (second.place, second.fingerprint) != (first.place, first.fingerprint)


def test_a_source_changed_within_a_run_is_told(make_run: Callable[..., Run], read: Callable[..., Listed]) -> None:
    read(Listed([[{"id": 1, "body": "a"}]]))
    extract(make_run(), "docs")

    with pytest.raises(InputError, match="start another run"):
        extract(make_run(collection(table="other")), "docs")


NIGHT_ONE = [{"id": 1, "body": "a", "at": 5}, {"id": 2, "body": "b", "at": 6}, {"id": 3, "body": None, "at": 7}]
WATERMARK = {"kind": "watermark", "type": "number", "value": "7"}


@pytest.fixture
def nights(make_run: Callable[..., Run], read: Callable[..., Listed]) -> Callable[..., Run]:
    """A first night of three rows, one of them rejected, whose checkpoint is there; then the run of a second."""

    def after_one(described: Collection | None = None, **more: Any) -> Run:
        read(Listed([NIGHT_ONE], position=WATERMARK))
        first = make_run(described)
        commit(first, extract(first, "docs"))
        return make_run(described, run_id="night-2", **more)

    return after_one


def commit(run: Run, raw: manifest.Manifest) -> checkpoint.Checkpoint:
    made = snapshot(run, [clean(run, "docs", raw)])
    return checkpoint.write(run, made, checkpoint.states([raw]))


def gone(run: Run, sealed: manifest.Manifest, folder: Path) -> list[str]:
    paths = fetch_parts(run.store, sealed, "deleted", folder)
    return sorted(row["document_id"] for batch in read_batches(paths) for row in batch.to_pylist())


def test_the_next_night_goes_on_where_the_checkpoint_says(
    nights: Callable[..., Run], read: Callable[..., Listed], tmp_path: Path
) -> None:
    run = nights(collection(updated_at="at"))
    reading = read(Listed([[{"id": 2, "body": "c"}]], full=False, deleted=[3, None], position={"value": "8"}))
    sealed = extract(run, "docs")
    assert reading.since == WATERMARK
    assert (sealed.facts["mode"], sealed.facts["reason"]) == ("changes", "as a test says")
    assert sealed.counts == {"rows": 1, "deleted": 1}
    assert gone(run, sealed, tmp_path) == ["docs:3"]
    base = checkpoint.base_of(run)
    assert base is not None
    assert sealed.facts["base"] == base.snapshot
    assert sealed.facts["state"] == {
        "position": {"value": "8"},
        "full_at": base.sources["docs"].full_at,
        "recipe": base.sources["docs"].recipe,
    }


def test_a_watermark_does_not_move_when_the_night_made_no_checkpoint(
    nights: Callable[..., Run], make_run: Callable[..., Run], read: Callable[..., Listed]
) -> None:
    extract_failed = nights(collection(updated_at="at"))
    read(Listed([], full=False, position={"value": "8"}))
    extract(extract_failed, "docs")  # the night dies here, before its snapshot passed the breaker
    again = read(Listed([], full=False, position={"value": "8"}))
    extract(make_run(collection(updated_at="at"), run_id="night-3"), "docs")
    assert again.since == WATERMARK


def test_the_id_scan_finds_what_vanished_and_fetches_what_nobody_knew(
    nights: Callable[..., Run], read: Callable[..., Listed], tmp_path: Path
) -> None:
    run = nights(collection(updated_at="at"))
    late = {"id": 9, "body": "committed after the overlap"}
    read(Listed([[{"id": 4, "body": "d"}]], full=False, ids=[2, 3, 4, 9, None], others=[late]))
    sealed = extract(run, "docs")
    assert gone(run, sealed, tmp_path) == ["docs:1"]  # 3 was rejected, but is known
    assert sealed_rows(run, sealed, tmp_path) == [{"id": 4, "body": "d"}, late]


def test_an_id_scan_that_knows_too_little_reads_everything(
    nights: Callable[..., Run], read: Callable[..., Listed], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stage, "FETCHED", 2)
    run = nights(collection(updated_at="at"))
    everything = Listed([[{"id": number, "body": "x"} for number in range(6)]])
    read(Listed([], full=False, ids=range(6)), everything)
    sealed = extract(run, "docs")
    assert everything.since is None
    assert sealed.facts["mode"] == "full"
    assert sealed.facts["reason"] == "the id scan found 3 rows that the watermark had missed"
    assert sealed.counts == {"rows": 6, "deleted": 0}


def test_an_id_scan_that_finds_nothing_deletes_nothing(nights: Callable[..., Run], read: Callable[..., Listed]) -> None:
    run = nights(collection(updated_at="at"))
    read(Listed([], full=False, ids=[]))
    with pytest.raises(SourceRefused, match="returned no row"):
        extract(run, "docs")
    assert manifest.find(run.store, layout.raw("night-2", "docs")) is None


def test_an_id_scan_cut_short_deletes_nothing(nights: Callable[..., Run], read: Callable[..., Listed]) -> None:
    class Cut(Listed):
        def all_ids(self) -> Iterator[pa.RecordBatch]:
            yield pa.record_batch([[1]], ["id"])
            raise SourceInterrupted("the line went dead")

    run = nights(collection(updated_at="at"))
    read(Cut([], full=False, ids=[1]))
    with pytest.raises(SourceInterrupted):
        extract(run, "docs")
    assert manifest.find(run.store, layout.raw("night-2", "docs")) is None


def test_a_full_reading_is_made_when_it_is_asked_for(nights: Callable[..., Run], read: Callable[..., Listed]) -> None:
    run = nights(collection(updated_at="at"), full=True)
    reading = read(Listed([NIGHT_ONE]))
    sealed = extract(run, "docs")
    assert (reading.since, sealed.facts["reason"]) == (None, "a full reading was asked for")
    assert clean(run, "docs", sealed).counts["unchanged"] == 3


def days_pass(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(days=days)

    monkeypatch.setattr(stage, "datetime", Later)


def test_a_full_reading_is_made_after_so_many_days(
    nights: Callable[..., Run], read: Callable[..., Listed], monkeypatch: pytest.MonkeyPatch
) -> None:
    described = collection(updated_at="at", full_every_days=3)
    run = nights(described)

    days_pass(monkeypatch, 3)
    reading = read(Listed([NIGHT_ONE]))
    assert extract(run, "docs").facts["reason"] == "the last full reading was 3 days ago"
    assert reading.since is None


@pytest.mark.parametrize("source", [{"kind": "delta", "path": "/lake"}, {"kind": "iceberg", "table": "docs.articles"}])
@pytest.mark.parametrize(
    ("position", "reason"), [({"version": 1}, "the last full reading was 3 days ago"), (None, "as a test says")]
)
def test_so_many_days_count_for_every_source_that_tells_changes(
    make_run: Callable[..., Run],
    read: Callable[..., Listed],
    monkeypatch: pytest.MonkeyPatch,
    source: dict[str, Any],
    position: Any,
    reason: str,
) -> None:
    tables = [{"name": "docs", "id": "id", "text": "{body}", "full_every_days": 3, **source}]
    described = Collection.model_validate({**collection().model_dump(), "sources": tables})
    read(Listed([NIGHT_ONE], position=position))
    first = make_run(described)
    commit(first, extract(first, "docs"))
    days_pass(monkeypatch, 3)
    reading = read(Listed([NIGHT_ONE]))
    assert extract(make_run(described, run_id="night-2"), "docs").facts["reason"] == reason
    assert reading.since is None


class Nights:
    """One night after another over a SQLite table `docs` with rows that share an id; `key` tells them apart."""

    COLUMNS = "key TEXT, id TEXT, body TEXT, gone INTEGER, at TEXT"

    def __init__(self, make_run: Callable[..., Run], folder: Path) -> None:
        self._make_run, self._folder, self._number = make_run, folder, 0
        self._place = folder / "docs.db"
        self._database = sqlite3.connect(self._place, isolation_level=None)
        self._database.execute(f"CREATE TABLE docs ({self.COLUMNS})")
        self.mode = self.reason = ""

    def put(self, **bodies: str | None) -> None:
        """Write rows by key, stamped with this night: put(k1="text"); None leaves the text and marks it as deleted."""
        for key, body in bodies.items():
            stamp = f"2026-01-{self._number + 1:02d} 12:00:00"
            if body is None:
                self._database.execute("UPDATE docs SET gone = 1, at = ? WHERE key = ?", (stamp, key))
                continue
            self._database.execute("DELETE FROM docs WHERE key = ?", (key,))
            one = key if key == "other" else "X"
            self._database.execute("INSERT INTO docs VALUES (?, ?, ?, 0, ?)", (key, one, body, stamp))

    def remove(self, key: str) -> None:
        self._database.execute("DELETE FROM docs WHERE key = ?", (key,))

    def night(self) -> dict[str, str]:
        """What is served after one more night: texts by id."""
        self._number += 1
        run = self._make_run(
            collection(updated_at="at", tombstone="gone", overlap=0),
            run_id=f"night-{self._number}",
            connections=lambda name: Connection(name, f"sqlite:///{self._place}"),
        )
        sealed = extract(run, "docs")
        self.mode, self.reason = sealed.facts["mode"], sealed.facts["reason"]
        base = commit(run, sealed).snapshot
        paths = fetch_parts(run.store, manifest.load(run.store, base), "documents", self._folder / base)
        rows = [row for batch in read_batches(paths) for row in batch.to_pylist()]
        return {row["document_id"].removeprefix("docs:"): row["text"] for row in rows}


@pytest.fixture
def shared(make_run: Callable[..., Run], tmp_path: Path) -> Nights:
    """After a first night of one row with an id of its own."""
    nights = Nights(make_run, tmp_path)
    nights.put(other="other")
    assert nights.night() == {"other": "other"}
    return nights


def test_an_id_of_two_rows_lives_as_long_as_one_of_them(shared: Nights) -> None:
    shared.put(k1="one", k2="two")
    shared.night()
    assert (shared.mode, "several rows with one id (rows beyond the first: 1)" in shared.reason) == ("full", True)
    shared.put(k1="changed")
    assert shared.night()["X"] in ("changed", "two")
    assert shared.reason == "the source holds several rows with one id, so changes cannot be told apart"
    shared.put(k1=None)
    assert shared.night() == {"other": "other", "X": "two"}
    shared.put(k1=None)  # stamped once more
    assert shared.night() == {"other": "other", "X": "two"}


def test_a_row_that_goes_takes_its_text_along_although_its_id_stays(shared: Nights) -> None:
    shared.put(k1="one", k2="two")
    served = shared.night()["X"]
    gone, left = ("k1", "two") if served == "one" else ("k2", "one")
    shared.remove(gone)
    assert shared.night()["X"] == left
    shared.put(other="changed")
    assert shared.night() == {"other": "changed", "X": left}
    assert shared.mode == "changes"  # one row, one id: changes can be told again


def test_a_row_that_joins_an_id_replaces_no_other(shared: Nights) -> None:
    shared.put(k1="one")
    shared.night()
    assert shared.mode == "changes"
    shared.put(k2="two")
    assert shared.night()["X"] in ("one", "two")
    shared.remove("k2")
    assert shared.night() == {"other": "other", "X": "one"}


def test_a_source_described_otherwise_is_read_from_nothing(
    nights: Callable[..., Run], make_run: Callable[..., Run], read: Callable[..., Listed]
) -> None:
    nights(collection(updated_at="at"))
    run = make_run(collection(updated_at="at", text="{id} {body}"), run_id="night-3")
    reading = read(Listed([NIGHT_ONE]))
    sealed = extract(run, "docs")
    assert (reading.since, sealed.facts["base"]) == (None, None)
    assert "has changed" in sealed.facts["reason"]


def test_progress_counts_the_rows(make_run: Callable[..., Run], read: Callable[..., Listed]) -> None:
    read(Listed([[{"id": 1, "body": "a"}] * 3, [{"id": 2, "body": "b"}] * 2]))
    told: list[tuple[object, ...]] = []

    extract(make_run(progress=lambda *said: told.append(said)), "docs")

    assert told == [("extract", 3, None, "rows"), ("extract", 5, None, "rows")]


def test_a_source_that_returns_nothing_is_refused(make_run: Callable[..., Run], read: Callable[..., Listed]) -> None:
    read(Listed([]))
    run = make_run()

    with pytest.raises(SourceRefused, match=r"'docs' of collection 'tiny' returned no row.*may_be_empty: true"):
        extract(run, "docs")

    assert list(run.store.list(layout.raw("night", "docs"))) == []


def test_a_source_that_may_be_empty_is_sealed_empty(make_run: Callable[..., Run], read: Callable[..., Listed]) -> None:
    read(Listed([]))

    sealed = extract(make_run(collection(may_be_empty=True)), "docs")

    assert (sealed.counts, sealed.objects) == ({"rows": 0, "deleted": 0}, ())


def test_a_source_that_fails_half_way_seals_nothing(
    make_run: Callable[..., Run], read: Callable[..., Listed], tmp_path: Path
) -> None:
    read(Listed([[{"id": 1, "body": "a"}]], SourceInterrupted("the line went dead")))
    run = make_run()

    with pytest.raises(SourceInterrupted, match="the line went dead"):
        extract(run, "docs")

    assert manifest.find(run.store, layout.raw("night", "docs")) is None
    assert list((tmp_path / "scratch").rglob("*.parquet")) == []


def test_a_store_without_space_ends_the_reading(make_run: Callable[..., Run], read: Callable[..., Listed]) -> None:
    source = read(Listed([[{"id": 1, "body": "a"}], [{"id": "two", "body": "b"}], [{"id": "three", "body": "c"}]]))
    run = make_run()
    run.store.fail_next("upload", DiskFull("no space left"))  # when the first part is full: the second batch

    with pytest.raises(DiskFull):
        extract(run, "docs")

    assert source.closed
    assert manifest.find(run.store, layout.raw("night", "docs")) is None


def test_a_missing_connection_seals_nothing(make_run: Callable[..., Run]) -> None:
    run = make_run()

    with pytest.raises(ConnectionMissing, match="docs_db"):
        extract(run, "docs")

    assert list(run.store.list(layout.raw("night", "docs"))) == []


def test_a_database_is_extracted_for_real(make_run: Callable[..., Run], tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "docs.db", isolation_level=None)
    database.execute("CREATE TABLE docs (id, body)")
    rows = [{"id": number, "body": f"text {number}"} for number in range(20_000)]
    database.execute("BEGIN")
    database.executemany("INSERT INTO docs VALUES (:id, :body)", rows)
    database.execute("COMMIT")
    run = make_run(connections=lambda name: Connection(name, f"sqlite:///{tmp_path}/docs.db"))

    sealed = extract(run, "docs")

    assert sealed_rows(run, sealed, tmp_path / "read") == rows


def test_a_lake_is_extracted_for_real(make_run: Callable[..., Run], tmp_path: Path) -> None:
    rows = [{"id": number, "body": f"text {number}"} for number in range(20_000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    source = {"name": "docs", "kind": "lake", "path": str(tmp_path), "id": "id", "text": "{body}"}
    described = collection().model_copy(
        update={"sources": Collection.model_validate({**collection().model_dump(), "sources": [source]}).sources}
    )
    run = make_run(described)

    sealed = extract(run, "docs")

    assert sealed.facts["kind"] == "lake"
    assert sealed_rows(run, sealed, tmp_path / "read") == rows


def test_a_database_session_ended_half_way_seals_nothing_and_a_retry_reads_all(
    make_run: Callable[..., Run], postgres: Postgres
) -> None:
    """The server ends the session at the 20,000th row, until that row is mended."""
    for table in ("docs_cut", "docs"):  # other tests of the session have a table docs
        postgres.execute(f"DROP TABLE IF EXISTS {table} CASCADE")
    postgres.execute("CREATE TABLE docs_cut AS SELECT id, id = 20000 AS cut FROM generate_series(1, 40000) AS id")
    postgres.execute(
        "CREATE VIEW docs AS SELECT id, CASE WHEN cut THEN pg_terminate_backend(pg_backend_pid())::text "
        "ELSE repeat('x', 1000) END AS body FROM docs_cut"
    )
    run = make_run(connections=lambda name: Connection(name, postgres.url()))

    with pytest.raises(SourceInterrupted, match="after"):
        extract(run, "docs")
    assert manifest.find(run.store, layout.raw("night", "docs")) is None

    postgres.execute("UPDATE docs_cut SET cut = false")
    assert extract(run, "docs").counts == {"rows": 40_000, "deleted": 0}
    postgres.execute("DROP VIEW docs")
