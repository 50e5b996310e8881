"""A small project in a folder of its own: two sources, a collection file, golden queries, and a store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from slipway import serving
from slipway.config import load_collection
from slipway.connections import environment_connections
from slipway.pipeline import Options, run_pipeline
from slipway.progress import Progress, no_progress
from slipway.run import Run
from slipway.storage.base import ObjectStore
from slipway.storage.local import LocalStore

CONNECTION = "AIRFLOW_CONN_DOCS_DB"
VERBS = ("sort", "join", "filter", "plot", "export", "compress")
THINGS = ("table", "list of words", "photograph", "song", "map of a city", "calendar", "family tree")
LONG = "history"  # a document of several chunks
GATES: dict[str, Any] = {"recall_at_10": 0.95, "hit_rate_at_10": 0.8, "documents": 40}
BAD_ROWS: list[tuple[Any, Any, Any]] = [
    (None, "no id", "This row has no id at all."),
    ("sort-table", "again", "Another text under an id that is there."),
    ("empty", "no text", None),
    ("blank", "no text", " \n\t\x00 "),
    ("bytes", "bytes", b"\xff\xfe not UTF-8"),
    ("markup", "only HTML", "<p><br/></p>"),
    ("years", "a repeat", "Its years were counted by rivers."),
]


@dataclass(frozen=True)
class Project:
    """The folder, and what a test does to it."""

    folder: Path

    @property
    def collections(self) -> Path:
        return self.folder / "collections"

    @property
    def store(self) -> LocalStore:
        """Where the collection lies in the local store."""
        return LocalStore(self.folder / "store/docs")

    @property
    def connection(self) -> str:
        return f"sqlite:///{self.folder}/docs.db"

    def fill(self) -> Project:
        """Write everything: 43 sound documents and 7 rows that are none in SQLite, 8 documents in Parquet."""
        self.sql("CREATE TABLE documents (id TEXT, name TEXT, body TEXT, kind TEXT)")
        for verb, thing in product(VERBS, THINGS):
            self.insert(f"{verb}-{thing.split()[0]}", f"{verb} a {thing}", f"How to {verb} a {thing} step by step.")
        self.insert(LONG, "History of a town", long_text())
        self.insert("rivers", "Rivers", "Its years were counted by rivers.")
        for row in BAD_ROWS:
            self.insert(*row)
        lake = self.folder / "lake"
        lake.mkdir()
        guides = {"guide_id": range(8), "title": [f"Guide {n}" for n in range(8)], "body": GUIDES}
        pq.write_table(pa.table(guides), lake / "guides.parquet")
        self.write_golden()
        self.describe()
        return self

    def sql(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        with sqlite3.connect(self.folder / "docs.db") as database:
            database.execute(statement, values)

    def insert(self, document: Any, name: Any, body: Any) -> None:
        self.sql("INSERT INTO documents VALUES (?, ?, ?, 'howto')", (document, name, body))

    def write_golden(self) -> None:
        lines = []
        for number, (verb, thing) in enumerate(product(VERBS[:4], THINGS[:5])):
            judged = {f"api:{verb}-{thing.split()[0]}": 3}
            part = "tuning" if number % 2 else "judging"
            query = f"how can I {verb} my {thing}"
            lines.append({"query_id": f"q{number}", "query": query, "relevant": judged, "slice": verb, "part": part})
        (self.folder / "golden.jsonl").write_text("\n".join(json.dumps(line) for line in lines))

    def describe(self, name: str = "docs", **changes: Any) -> None:
        """Write the collection file; a field that is changed to None is left out."""
        values = {
            "sources": [
                {
                    "name": "api",
                    "kind": "sql",
                    "connection": "docs_db",
                    "table": "documents",
                    "id": "id",
                    "title": "{name}",
                    "text": "{body}",
                    "metadata": ["kind"],
                },
                {"name": "guides", "kind": "lake", "path": "../lake", "id": "guide_id", "text": "{body}"},
            ],
            "title": "{title}",
            "clean": {"html": "strip"},
            "chunk": {"tokens": 64, "overlap": 8},
            "encoder": "minilm",
            "embed": {"device": "auto"},
            "golden": {"queries": "../golden.jsonl"},
            "gates": GATES,
        } | changes
        kept = {key: value for key, value in values.items() if value is not None}
        self.collections.mkdir(exist_ok=True)
        file = self.collections / f"{name}.yaml"
        file.write_text(yaml.safe_dump(kept, sort_keys=False))

    def run(
        self,
        run_id: str,
        store: ObjectStore | None = None,
        progress: Progress = no_progress,
        allowed: Collection[str] = (),
        full: bool = False,
    ) -> dict[str, Any]:
        """All stages in this process, as `slipway run` does it."""
        scratch = self.folder / f"scratch-{run_id}"
        collection = load_collection(self.collections, "docs")
        run = Run(collection, store or self.store, run_id, scratch, environment_connections, progress)
        return run_pipeline(run, Options("a test", f"for {run_id}", frozenset(allowed), full))

    def found(self, query: str, k: int = 3) -> list[str]:
        """Ids of the documents that the live release finds."""
        with serving.open(self.store.url) as reader:
            return [hit.document_id for hit in reader.search(query, k)]

    def serving_json(self) -> bytes:
        return self.store.read("serving.json").body

    def written(self) -> Mapping[str, int]:
        """Every object of the collection with its size."""
        return {info.key: info.size_bytes for info in self.store.list()}


def long_text() -> str:
    eras = ("stone", "bronze", "iron", "steam", "silicon")
    return "\n\n".join(
        f"In the age of {era} the town grew by {number + 2} streets, and people who worked with {era} came from "
        f"far away. They built {number * 3 + 1} mills on the river, a market for {era}, and a school where the "
        f"children learned to count. Nobody who lived through the age of {era} forgot it."
        for number, era in enumerate(eras)
    )


GUIDES = [
    "Bread rises when yeast eats sugar and breathes out gas.",
    "A bicycle stays upright because its wheel steers into the fall.",
    "Whales sleep with half of their brain at a time.",
    "Glass is made of sand that was melted and cooled.",
    "Bees tell each other by dancing where the flowers are.",
    "Tides follow the moon, and a little the sun.",
    "Paper was folded into letters before envelopes were sold.",
    "Volcanoes make soil on which grapes grow well.",
]
