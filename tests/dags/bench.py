"""A small collection, and runs of its DAG in this process: every task a task instance in Airflow's database."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

COLLECTION = """
description: Short notes on many topics
schedule: "15 2 * * *"
sources:
  - {{name: notes, kind: sql, connection: tiny_db, table: notes, id: id, title: "{{title}}", text: "{{body}}"}}
  - {{name: guides, kind: lake, path: {folder}/lake, id: guide_id, title: "{{title}}", text: "{{body}}"}}
encoder: {encoder}
embed: {{shard_tokens: 1000}}
golden: {{queries: {folder}/golden.jsonl}}
gates: {gates}
"""
# Sixty notes that share few words, some guides, and queries with the number of the one note that answers each.
NOTES = [
    (f"n{number:02d}", *line.split(": ", 1))
    for number, line in enumerate((Path(__file__).parent / "notes.txt").read_text(encoding="utf-8").splitlines())
]
GUIDES = [
    ("g1", "Cooking at home", "Advice for a small kitchen: sharp knives, one good pan, and tasting as you go along."),
    ("g2", "Gardens in spring", "What to do in March: clear the beds, sow early greens, and mend the fence."),
    ("g3", "Winter on the road", "How to drive on snow and ice: gentle steering, early braking, twice the distance."),
]
QUERIES = [
    ("how do I bake a loaf", 0),
    ("flat bike wheel puncture", 1),
    ("declare income to the state", 2),
    ("growing tomatos", 3),
    ("first moves in chess", 4),
    ("restring a guitar", 5),
    ("camping when it is wet", 6),
    ("faucet leaks", 13),
    ("what to do when you burn your hand", 14),
    ("prepare for a long distance race", 16),
    ("photographs of the night sky", 20),
    ("flat car will not start", 33),
]
GATES = "{recall_at_10: 0.99, hit_rate_at_10: 0.9, documents: 50}"


@dataclass(frozen=True)
class Ran:
    """A finished run: its state, its tasks' states by "task" or "task[index]", its result and its XComs."""

    state: str
    tasks: dict[str, str]
    labels: list[str]
    result: dict[str, Any]
    xcoms: list[str]


class Bench:
    """The collection `tiny`: ~60 notes in SQLite, a few guides in Parquet, the packaged MiniLM, golden queries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store" / "tiny"
        self.write_notes(NOTES)
        self._write_guides()
        lines = (
            {"query_id": f"q{note:02d}", "query": query, "relevant": {f"notes:n{note:02d}": 3}}
            for query, note in QUERIES
        )
        (folder / "golden.jsonl").write_text("\n".join(map(json.dumps, lines)))
        self.describe()

    def describe(self, gates: str = GATES, other: str = "", encoder: str = "minilm") -> None:
        """Write the collection file; `other` are further lines of it."""
        file = self.folder / "collections" / "tiny.yaml"
        file.write_text(COLLECTION.format(folder=self.folder, gates=gates, encoder=encoder) + other)

    def write_static_encoder(self, name: str, dimension: int) -> None:
        """A static model, and an encoder file of that name for it."""
        from slipway_demo.static import static_model

        described = static_model(self.folder / "models" / name, dimension)
        (self.folder / "encoders").mkdir(exist_ok=True)
        (self.folder / "encoders" / f"{name}.yaml").write_text(json.dumps(described | {"name": name}))

    def write_notes(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Replace the rows of the table `notes`."""
        with sqlite3.connect(self.folder / "tiny.db") as database:
            database.execute("DROP TABLE IF EXISTS notes")
            database.execute("CREATE TABLE notes (id TEXT, title TEXT, body TEXT)")
            database.executemany("INSERT INTO notes VALUES (?, ?, ?)", rows)
        database.close()

    def _write_guides(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        (self.folder / "lake").mkdir()
        names = ("guide_id", "title", "body")
        table = pa.table(dict(zip(names, map(list, zip(*GUIDES, strict=True)), strict=True)))
        pq.write_table(table, self.folder / "lake" / "guides.parquet")

    def run(self, **conf: Any) -> Ran:
        """Run the DAG `tiny__nightly` to its end; retries wait for a second only."""
        return self.run_dag("nightly", conf)

    def run_dag(self, kind: str, conf: Mapping[str, Any]) -> Ran:
        """Run the DAG `tiny__<kind>` to its end, with the parameters `conf`."""
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        assert not bag.import_errors
        dag = bag.dags[f"tiny__{kind}"]
        for task in dag.tasks:
            task.retry_exponential_backoff, task.retry_delay = 0, timedelta(seconds=1)
        return _ran(dag.test(run_conf=dict(conf)), self.store)

    def lease(self, name: str) -> bool:
        """Whether a run holds the lease with that key."""
        return bool(json.loads((self.store / name).read_text())["state"] == "held")

    def serving(self) -> dict[str, Any] | None:
        """serving.json, or None before the first release."""
        file = self.store / "serving.json"
        return json.loads(file.read_text()) if file.exists() else None


def _ran(dag_run: Any, store: Path) -> Ran:
    from slipway_airflow.runs import stored_id

    instances = dag_run.get_task_instances()
    result = store / "runs" / stored_id(dag_run.dag_id, dag_run.run_id) / "result.json"
    return Ran(
        state=str(dag_run.state),
        tasks={_name(one): str(one.state) for one in instances},
        labels=sorted(one.rendered_map_index for one in instances if one.rendered_map_index),
        result=json.loads(result.read_text()),
        xcoms=_xcoms(dag_run.run_id),
    )


def _name(instance: Any) -> str:
    return instance.task_id if instance.map_index < 0 else f"{instance.task_id}[{instance.map_index}]"


def _xcoms(run_id: str) -> list[str]:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        values = session.scalars(select(XComModel.value).where(XComModel.run_id == run_id))
        return [json.dumps(value) for value in values]


def asset_events(name: str) -> list[dict[str, Any]]:
    """The extras of an asset's events, oldest first."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.asset_id).where(AssetModel.name == name)
    with create_session() as session:
        return [dict(event.extra) for event in session.scalars(query.order_by(AssetEvent.id))]
