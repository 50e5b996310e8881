"""The source: one table in SQLite that is changed in place, as an application would change it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.nights.editions import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_FIELDS = ", ".join(COLUMNS)
_SCHEMA = f"CREATE TABLE entries (doc_id TEXT PRIMARY KEY, {' TEXT, '.join(COLUMNS)} TEXT, updated_at TEXT)"

_FILL = """
WITH RECURSIVE copy(number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM copy WHERE number + 1 < ?),
wanted AS (SELECT * FROM copy, loaded ORDER BY number, doc_id LIMIT ?)
INSERT INTO entries
SELECT doc_id || iif(number, '-' || number, ''), title, text || iif(number, ' (reading ' || number || ')', ''),
       pos, category, datetime(?, '-' || (row_number() OVER (ORDER BY number DESC, doc_id DESC) - 1) || ' minutes')
FROM wanted
"""


def fill(database: Path, entries: pd.DataFrame, moment: str, copies: int = 1, most: int | None = None) -> None:
    """Make the table. Row after row was updated a minute before the next, the last at `moment` (UTC).

    With `copies`, each entry is there so often, with a text and an id of its own; at most `most` rows.
    """
    with _session(database) as session:
        session.execute(_SCHEMA)
        _load(session, entries)
        session.execute(_FILL, (copies, -1 if most is None else most, moment))
        session.execute("DROP TABLE loaded")


def become(database: Path, entries: pd.DataFrame, moment: str) -> None:
    """Turn the table into another edition: rows deleted, inserted, and updated with a new `updated_at`."""
    with _session(database) as session:
        _load(session, entries)
        session.execute("DELETE FROM entries WHERE doc_id NOT IN (SELECT doc_id FROM loaded)")
        pairs = ", ".join(f"{name} = loaded.{name}" for name in COLUMNS)
        differs = " OR ".join(f"entries.{name} <> loaded.{name}" for name in COLUMNS)
        session.execute(
            f"UPDATE entries SET {pairs}, updated_at = ? FROM loaded "
            f"WHERE entries.doc_id = loaded.doc_id AND ({differs})",
            (moment,),
        )
        session.execute(
            f"INSERT INTO entries SELECT doc_id, {_FIELDS}, ? FROM loaded "
            f"WHERE doc_id NOT IN (SELECT doc_id FROM entries)",
            (moment,),
        )
        session.execute("DROP TABLE loaded")


def revise(database: Path, ids: list[str], moment: str) -> None:
    """Give entries a text that they never had."""
    with _session(database) as session:
        statement = "UPDATE entries SET text = text || ' (revised)', updated_at = ? WHERE doc_id = ?"
        session.executemany(statement, [(moment, one) for one in ids])


def rows(database: Path) -> int:
    """How many rows the table has."""
    with _session(database) as session:
        return int(session.execute("SELECT count(*) FROM entries").fetchone()[0])


def _load(session: sqlite3.Connection, entries: pd.DataFrame) -> None:
    session.execute(f"CREATE TEMPORARY TABLE loaded (doc_id TEXT PRIMARY KEY, {_FIELDS})")
    marks = ", ".join("?" * (len(COLUMNS) + 1))
    session.executemany(f"INSERT INTO loaded VALUES ({marks})", entries[list(COLUMNS)].itertuples(name=None))


@contextmanager
def _session(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database)) as session, session:
        yield session
