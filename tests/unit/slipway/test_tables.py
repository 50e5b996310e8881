from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway import tables
from slipway.errors import DiskFull, OperationError

SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("n", pa.int64())])


def parts(folder: Path, *sizes: int) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"part-{number}.parquet" for number in range(len(sizes))]
    for number, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        pq.write_table(pa.table({"id": [f"{number}-{n}" for n in range(size)], "n": range(size)}, schema=SCHEMA), path)
    return paths


def test_parts_are_read_as_one_table_with_a_position_in_order(tmp_path: Path) -> None:
    with tables.duck(tmp_path) as session:
        tables.view(session, "parts", parts(tmp_path / "it's [a] *?", 3, 2), SCHEMA)
        rows = session.execute("SELECT id FROM parts ORDER BY position").fetchall()
        assert [row[0] for row in rows] == ["0-0", "0-1", "0-2", "1-0", "1-1"]
        assert tables.number(session, "SELECT count(DISTINCT position) FROM parts") == 5


def test_no_parts_are_an_empty_table_of_the_same_columns(tmp_path: Path) -> None:
    with tables.duck(tmp_path) as session:
        tables.view(session, "parts", [], SCHEMA)
        tables.view(session, "others", parts(tmp_path / "others", 1), SCHEMA)
        described = [session.execute(f"DESCRIBE {name}").fetchall() for name in ("parts", "others")]
        assert [row[:2] for row in described[0]] == [row[:2] for row in described[1]]
        assert list(tables.batches(session, "SELECT * FROM parts")) == []


def test_a_name_that_is_no_name_is_refused(tmp_path: Path) -> None:
    with tables.duck(tmp_path) as session, pytest.raises(ValueError, match="no plain SQL name"):
        tables.view(session, "parts; DROP", [], SCHEMA)


def test_rows_are_read_while_others_are_written(tmp_path: Path) -> None:
    with tables.duck(tmp_path) as session:
        tables.view(session, "parts", parts(tmp_path / "parts", 30_000), SCHEMA)
        session.execute("CREATE TABLE seen (n BIGINT)")
        rows = 0
        for batch in tables.batches(session, "SELECT * FROM parts ORDER BY id"):
            rows += batch.num_rows
            session.execute("INSERT INTO seen VALUES (?)", [batch.num_rows])
        assert rows == 30_000
        assert tables.number(session, "SELECT sum(n) FROM seen") == rows


def test_the_session_is_bounded_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with tables.duck(tmp_path) as session:
        limit, threads = session.execute(
            "SELECT current_setting('memory_limit'), current_setting('threads')"
        ).fetchone()
        assert (limit, threads) == ("1.0 GiB", 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("raised", "message", "expected", "said"),
    [
        (duckdb.IOException, "could not write: No space left on device", DiskFull, "free some space"),
        (duckdb.OutOfMemoryException, "failed to allocate", OperationError, "within 1GiB of memory"),
        (duckdb.IOException, "something else", OperationError, "something else"),
    ],
)
def test_what_the_machine_refuses_is_said_in_our_words(
    tmp_path: Path, raised: type[Exception], message: str, expected: type[Exception], said: str
) -> None:
    with pytest.raises(expected, match=said), tables.duck(tmp_path):
        raise raised(message)


def test_a_part_that_vanished_is_an_error_of_ours(tmp_path: Path) -> None:
    paths = parts(tmp_path / "parts", 1)
    with pytest.raises(OperationError), tables.duck(tmp_path) as session:
        tables.view(session, "parts", paths, SCHEMA)
        paths[0].unlink()
        list(tables.batches(session, "SELECT * FROM parts"))
