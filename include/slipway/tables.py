"""Set operations over Parquet parts, out of core: one DuckDB session with its memory, threads and spill bounded.

Sorting, joining and grouping a whole collection must not grow with it in Python. DuckDB does that over the parts
and streams Arrow batches back; what does not fit in memory goes to the run's scratch folder.
"""

from __future__ import annotations

import glob
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from slipway.errors import DiskFull, OperationError
from slipway.parts import BATCH_ROWS

MEMORY_LIMIT = "1GiB"
SMALL_MEMORY = "256MiB"  # for sorts and joins that spill well, in stages whose memory is to stay flat
THREADS = 2
POSITION = pa.field("position", pa.int64(), nullable=False)
_NAME = re.compile(r"[a-z_][a-z0-9_]*")


@contextmanager
def duck(scratch: Path, memory: str = MEMORY_LIMIT) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB session of its own, for a `with` block: at most `memory`, 2 threads, spilling below `scratch`.

    Rows come in no order unless the query says ORDER BY. Nothing is read from the network and no extension is
    loaded. The session and its spill files are gone when the block ends. Raises `DiskFull` when spilling finds no
    space and `OperationError` when a query cannot run within the memory.
    """
    spill = scratch / f"duckdb-{secrets.token_hex(4)}"
    spill.mkdir(parents=True)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory,
        "threads": str(THREADS),
        "temp_directory": str(spill),
        "preserve_insertion_order": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    session = duckdb.connect(":memory:", config=settings)
    try:
        yield session
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise _explained(error, spill, memory) from error
    finally:
        session.close()
        shutil.rmtree(spill, ignore_errors=True)


def view(session: duckdb.DuckDBPyConnection, name: str, paths: Sequence[Path], schema: pa.Schema) -> None:
    """Make the rows of Parquet files readable in SQL as `name`; with no files, an empty table of that schema.

    A column `position` (int64) is added: it names one row of these files, and grows in the order of files and rows.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no plain SQL name")
    if not paths:
        session.from_arrow(schema.append(POSITION).empty_table()).create(name)
        return
    # escaped, because DuckDB takes `[`, `*` and `?` in a file's path for a pattern
    files = ", ".join(_quoted(glob.escape(str(path))) for path in paths)
    position = "(file_index::BIGINT << 40) + file_row_number AS position"
    session.execute(f"CREATE VIEW {name} AS SELECT *, {position} FROM read_parquet([{files}])")


def batches(session: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.RecordBatch]:
    """The rows of a query as Arrow batches, computed while they are read.

    The query runs beside others of the session, so rows may be written to a table while another is being read.
    """
    cursor = session.cursor()
    try:
        yield from cursor.sql(query).to_arrow_reader(BATCH_ROWS)
    finally:
        cursor.close()


def number(session: duckdb.DuckDBPyConnection, query: str) -> int:
    """The single whole number that a query gives."""
    rows = session.execute(query).fetchall()
    return int(rows[0][0])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _explained(error: duckdb.Error, spill: Path, memory: str) -> OperationError:
    if "No space left" in str(error):
        return DiskFull(f"no space left below {spill.parent} for sorting and joining; free some space, then run again")
    return OperationError(
        f"DuckDB could not finish within {memory} of memory, spilling to {spill.parent}: {error}; "
        "if the disk has room, please report this query"
    )
