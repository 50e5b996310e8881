"""The small history that is disturbed: a table of some hundred texts, and what happens to it between three nights."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from slipway.config import Collection

DOCUMENTS = 240
NIGHTS = 3
SOURCE = "notes"
NAME = "chaos"
GROUP_CHUNKS = 24  # so that a shard has several groups
SHARD_TOKENS = 4_000  # so that a night has several shards
# Of vectors (256 bytes each), so that maintenance makes several parts of the many that nights leave.
SMALL_BYTES, TARGET_BYTES = 8 << 10, 32 << 10
SPECS = ("HNSW32", "IVF8,SQ8")  # a graph and an inverted file: each is updated in its own way
LONG = 11  # every so many documents one of several chunks
WORDS = (  # noqa: SIM905 - a list of a hundred lines would be nothing to read
    "amber anchor apple arrow autumn barley basket beacon birch bottle bridge bronze candle canyon cedar chalk cherry "
    "circle clay clover copper coral cotton cradle crystal dagger desert diamond dragon eagle ember falcon feather "
    "fern flint forest fountain garden ginger glacier granite hammer harbor harvest hazel helmet honey hunter island "
    "ivory jacket jungle kettle ladder lantern lemon linen lizard marble meadow mirror monsoon mountain needle nutmeg "
    "oak ocean olive orchard paddle pebble pepper pillow pine planet plum prairie quartz quiver raven ribbon river "
    "saddle saffron sailor shadow silver spruce stable summer temple thistle timber tunnel valley velvet violet "
    "walnut"
).split()
QUERIES = tuple(" ".join(random.Random(number).sample(WORDS, 3)) for number in range(25))


def collection(encoder: Mapping[str, Any], spec: str) -> Collection:
    """The collection: read by watermark and id scan, duplicates dropped, several chunks, an index that is updated.

    It is searched exhaustively, so an answer does not depend on the order in which vectors came into it. A night
    changes a tenth of its rows, and codes trained on so few say little of new ones, so the triggers are set high.
    """
    source = {
        "name": SOURCE,
        "kind": "sql",
        "connection": "chaos",
        "table": "notes",
        "id": "note_id",
        "title": "{title}",
        "text": "{body}",
        "metadata": ["kind"],
        "updated_at": "updated_at",
    }
    return Collection.model_validate(
        {
            "name": NAME,
            "sources": [source],
            "clean": {"min_characters": 10},
            "chunk": {"tokens": 48, "overlap": 8},
            "encoder": dict(encoder),
            "embed": {"device": "cpu", "shard_tokens": SHARD_TOKENS},
            "index": {
                "spec": spec,
                "search": {"ef_search": 2_048, "nprobe": 8},
                "update": {"tombstone_share": 0.5, "imbalance": 4, "error_growth": 100, "recall_loss": 0.2},
            },
        }
    )


def begin(database: Path, seed: int, night: int) -> None:
    """Bring the table to the state in which the night numbered `night` (from 0) finds it."""
    drawn = random.Random(f"{seed}-{night}")
    with closing(sqlite3.connect(database)) as session, session:
        (_first, _second, _third)[night](session, drawn)


def _first(session: sqlite3.Connection, drawn: random.Random) -> None:
    session.execute("CREATE TABLE notes (note_id INTEGER PRIMARY KEY, title, body, kind, updated_at TEXT)")
    for number in range(DOCUMENTS):
        _insert(session, drawn, number, night=0)
    _repeat(session, source=3, number=DOCUMENTS)  # dropped while 3 is there
    _repeat(session, source=4, number=DOCUMENTS + 1)
    session.execute("INSERT INTO notes VALUES (?, 'too short', 'x', 'note', ?)", (DOCUMENTS + 2, _moment(0)))


def _second(session: sqlite3.Connection, drawn: random.Random) -> None:
    """New rows, new texts, new titles and metadata, and deletions: of the first of two equal texts, among others."""
    for number in range(1_000, 1_024):
        _insert(session, drawn, number, night=1)
    for number in drawn.sample(range(20, 120), 22):
        _update(session, 1, number, body=_body(drawn, number + 5_000))
    for number in drawn.sample(range(120, 180), 6):
        _update(session, 1, number, title=_title(drawn))
    _update(session, 1, 181, kind="report")
    for number in [3, *drawn.sample(range(190, DOCUMENTS), 9)]:
        session.execute("DELETE FROM notes WHERE note_id = ?", (number,))


def _third(session: sqlite3.Connection, drawn: random.Random) -> None:
    """As the second; one of its deletions is taken back, and a repeated text becomes one of its own."""
    _insert(session, drawn, 3, night=2)
    for number in range(2_000, 2_015):
        _insert(session, drawn, number, night=2)
    for number in [DOCUMENTS + 1, *drawn.sample(range(20, 120), 9)]:
        _update(session, 2, number, body=_body(drawn, number + 9_000))
    for number in drawn.sample(range(1_000, 1_024), 8):
        session.execute("DELETE FROM notes WHERE note_id = ?", (number,))


def _insert(session: sqlite3.Connection, drawn: random.Random, number: int, night: int) -> None:
    values = (number, _title(drawn), _body(drawn, number), "note", _moment(night))
    session.execute("INSERT INTO notes VALUES (?, ?, ?, ?, ?)", values)


def _repeat(session: sqlite3.Connection, source: int, number: int) -> None:
    query = "INSERT INTO notes SELECT ?, title, body, kind, updated_at FROM notes WHERE note_id = ?"
    session.execute(query, (number, source))


def _update(session: sqlite3.Connection, night: int, number: int, **values: str) -> None:
    named = ", ".join(f"{column} = ?" for column in values)
    row = (*values.values(), _moment(night), number)
    session.execute(f"UPDATE notes SET {named}, updated_at = ? WHERE note_id = ?", row)


def _moment(night: int) -> str:
    return f"2024-03-{10 + night:02d} 22:30:00"


def _title(drawn: random.Random) -> str:
    return " ".join(drawn.sample(WORDS, 2)).title()


def _body(drawn: random.Random, number: int) -> str:
    """Sentences of drawn words; the number in it keeps two texts from having the same words."""
    sentences = [f"{' '.join(drawn.sample(WORDS, 9)).capitalize()}." for _ in range(12 if number % LONG == 0 else 2)]
    return f"Note {number}. " + " ".join(sentences)
