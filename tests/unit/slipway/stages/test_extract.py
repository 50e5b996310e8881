from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway import layout, manifest
from slipway.config import Collection
from slipway.errors import ConnectionMissing, DiskFull, InputError, SourceInterrupted, SourceRefused
from slipway.parts import fetch_parts, read_batches
from slipway.run import Connection, Run
from slipway.stages import extract as stage
from slipway.stages.extract import extract
from tests.support.memory_store import MemoryStore

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

pytest_plugins = ["tests.support.postgres"]

Rows = list[dict[str, Any]]


class Listed:
    """A source of ready batches, that may fail after them."""

    def __init__(self, batches: list[Rows], failure: Exception | None = None) -> None:
        self._batches, self._failure = batches, failure
        self.closed = False

    def batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for rows in self._batches:
                yield pa.RecordBatch.from_pylist(rows)
            if self._failure is not None:
                raise self._failure
        finally:
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

    def make(described: Collection | None = None, run_id: str = "night", **more: Any) -> Run:
        return Run(
            described or collection(), store, run_id, tmp_path / "scratch", **{"connections": no_connection, **more}
        )

    return make


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[Listed], Listed]:
    """Makes every source this one."""

    def use(source: Listed) -> Listed:
        monkeypatch.setattr(stage, "open_rows", lambda *_: source)
        return source

    return use


def sealed_rows(run: Run, sealed: manifest.Manifest, folder: Path) -> Rows:
    paths = fetch_parts(run.store, sealed, "raw", folder)
    return [row for batch in read_batches(paths) for row in batch.to_pylist()]


def test_every_row_is_sealed(make_run: Callable[..., Run], read: Callable[[Listed], Listed], tmp_path: Path) -> None:
    read(Listed([[{"id": 1, "body": "a"}], [{"id": 2, "body": b"\xff"}]]))
    run = make_run()

    sealed = extract(run, "docs")

    assert sealed.counts == {"rows": 2}
    assert sealed.facts == {"source": "docs", "kind": "sql", "columns": ["id", "body"]}
    assert sealed == manifest.load(run.store, layout.raw("night", "docs"))
    assert sealed_rows(run, sealed, tmp_path) == [{"id": 1, "body": "a"}, {"id": 2, "body": b"\xff"}]


def test_a_retry_reads_nothing_again(make_run: Callable[..., Run], read: Callable[[Listed], Listed]) -> None:
    read(Listed([[{"id": 1, "body": "a"}]]))
    first = extract(make_run(), "docs")
    again = read(Listed([], RuntimeError("must not be read")))

    assert extract(make_run(), "docs") == first
    assert not again.closed


def test_another_run_reads_again(make_run: Callable[..., Run], read: Callable[[Listed], Listed]) -> None:
    read(Listed([[{"id": 1, "body": "a"}]]))
    first = extract(make_run(), "docs")

    second = extract(make_run(run_id="next night"), "docs")

    assert (second.place, second.fingerprint) != (first.place, first.fingerprint)


def test_a_source_changed_within_a_run_is_told(make_run: Callable[..., Run], read: Callable[[Listed], Listed]) -> None:
    read(Listed([[{"id": 1, "body": "a"}]]))
    extract(make_run(), "docs")

    with pytest.raises(InputError, match="start another run"):
        extract(make_run(collection(table="other")), "docs")


def test_progress_counts_the_rows(make_run: Callable[..., Run], read: Callable[[Listed], Listed]) -> None:
    read(Listed([[{"id": 1, "body": "a"}] * 3, [{"id": 2, "body": "b"}] * 2]))
    told: list[tuple[object, ...]] = []

    extract(make_run(progress=lambda *said: told.append(said)), "docs")

    assert told == [("extract", 3, None, "rows"), ("extract", 5, None, "rows")]


def test_a_source_that_returns_nothing_is_refused(
    make_run: Callable[..., Run], read: Callable[[Listed], Listed]
) -> None:
    read(Listed([]))
    run = make_run()

    with pytest.raises(SourceRefused, match=r"'docs' of collection 'tiny' returned no row.*may_be_empty: true"):
        extract(run, "docs")

    assert list(run.store.list()) == []


def test_a_source_that_may_be_empty_is_sealed_empty(
    make_run: Callable[..., Run], read: Callable[[Listed], Listed]
) -> None:
    read(Listed([]))

    sealed = extract(make_run(collection(may_be_empty=True)), "docs")

    assert (sealed.counts, sealed.objects) == ({"rows": 0}, ())


def test_a_source_that_fails_half_way_seals_nothing(
    make_run: Callable[..., Run], read: Callable[[Listed], Listed], tmp_path: Path
) -> None:
    read(Listed([[{"id": 1, "body": "a"}]], SourceInterrupted("the line went dead")))
    run = make_run()

    with pytest.raises(SourceInterrupted, match="the line went dead"):
        extract(run, "docs")

    assert manifest.find(run.store, layout.raw("night", "docs")) is None
    assert list((tmp_path / "scratch").rglob("*.parquet")) == []


def test_a_store_without_space_ends_the_reading(make_run: Callable[..., Run], read: Callable[[Listed], Listed]) -> None:
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

    assert list(run.store.list()) == []


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
    postgres.execute("DROP TABLE IF EXISTS docs_cut CASCADE")
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
    assert extract(run, "docs").counts == {"rows": 40_000}
    postgres.execute("DROP VIEW docs")
