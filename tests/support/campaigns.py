"""A collection in a folder with two encoders that need no torch, its nights, and reindex campaigns on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from slipway import encoders
from slipway.config import Encoder, load_collection
from slipway.encoders import find_model
from slipway.pipeline import Options, run_pipeline
from slipway.reindex import Asked
from slipway.run import Connection, Run
from slipway.stages import embed
from slipway.storage.base import ObjectStore
from tests.support.encoders import FakeEncoder, model_folder

if TYPE_CHECKING:
    from slipway.encoders.base import Vectors

NAME = "papers"
OLD, NEW = "old", "new"
DIMENSIONS = {OLD: 8, NEW: 12}
TEXTS = {f"{number:03d}": f"paper number {number} about topic {number % 7} and some words" for number in range(40)}


class Deafened(FakeEncoder):
    """`deaf`: its queries get vectors that mean nothing."""

    deaf = False

    def encode_queries(self, texts: Any) -> Vectors:
        return super().encode_queries([f"not {text}" for text in texts] if self.deaf else texts)


class CountingEncoder(FakeEncoder):
    """Counts how often each text was embedded in its space."""

    def __init__(self, encoder: Encoder, counted: Counter[tuple[str, str]]) -> None:
        super().__init__(find_model(encoder))
        self._counted, self._space = counted, encoder.name

    def encode_documents(self, texts: Any) -> Vectors:
        self._counted.update((self._space, text) for text in texts)
        return super().encode_documents(texts)


@dataclass
class Project:
    """The collection's files in `folder`. `embedded` counts (encoder, text) as they were embedded."""

    folder: Path
    store: ObjectStore
    embedded: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def collections(self) -> Path:
        return self.folder / "collections"

    def write(self, encoder: str = OLD, **fields: Any) -> None:
        """The collection file."""
        values = {
            "sources": [
                {"name": "api", "kind": "lake", "path": str(self.folder / "lake"), "id": "id", "text": "{body}"}
            ],
            "encoder": encoder,
            "chunk": {"tokens": 64, "overlap": 8},
            "index": {"spec": "Flat"},
            "judging": {"resamples": 1_000},
            "reindex": {"margin": 0.1},  # forty golden queries cannot rule out a loss of 0.07 in what was not asked
            "drift": {"sample": 100, "permutations": 99, "alpha": 0.01},
            "limits": {"deleted_share": 1.0, "changed_share": 1.0},
        }
        self.collections.mkdir(exist_ok=True)
        (self.collections / f"{NAME}.yaml").write_text(yaml.safe_dump(values | fields))

    def put(self, texts: Mapping[str, str]) -> None:
        """What the source holds from now on."""
        lake = self.folder / "lake"
        lake.mkdir(exist_ok=True)
        pq.write_table(pa.table({"id": list(texts), "body": list(texts.values())}), lake / "papers.parquet")

    def judge(self, texts: Mapping[str, str], **fields: Any) -> Path:
        """A golden file: each text is the one answer to itself."""
        path = self.folder / "golden.jsonl"
        lines = [
            {"query_id": f"q{name}", "query": text, "relevant": {f"api:{name}": 3}, **fields}
            for name, text in texts.items()
        ]
        path.write_text("\n".join(json.dumps(line) for line in lines))
        return path

    def run(self, run_id: str) -> Run:
        described = load_collection(self.collections, NAME)
        return Run(described, self.store, run_id, self.folder / "scratch" / run_id, _no_connection)

    def night(self, run_id: str, **options: Any) -> dict[str, Any]:
        return run_pipeline(self.run(run_id), Options("tester", "a night", **options))


def a_project(folder: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> Project:
    """A project whose first night is still to come. Models are told apart by their weights and their dimension."""
    project = Project(folder, store)
    (folder / "encoders").mkdir(parents=True)
    for name, dimension in DIMENSIONS.items():
        model_folder(folder / "models" / name, name.encode())
        described = {"folder": f"../models/{name}", "dimension": dimension, "max_tokens": 512}
        (folder / "encoders" / f"{name}.yaml").write_text(yaml.safe_dump(described))
    loaded: dict[str, FakeEncoder] = {}

    def load(encoder: Encoder, wanted: object) -> FakeEncoder:
        return loaded.setdefault(encoder.name, Deafened(find_model(encoder)))

    def load_counting(encoder: Encoder, *_: object, **__: object) -> CountingEncoder:
        return CountingEncoder(encoder, project.embedded)

    monkeypatch.setattr(encoders, "_load", load)
    monkeypatch.setattr(embed, "load_encoder", load_counting)  # what others encode is not kept, and not counted
    project.put(TEXTS)
    project.write(**fields)
    return project


def asked(**changes: Any) -> Asked:
    values: dict[str, Any] = {
        "encoder": NEW,
        "index": "",
        "reason": "a better model",
        "who": "tester",
        "sample": 0,
        "approval": True,
        "budget_hours": None,
    }
    return Asked(**values | changes)


def _no_connection(name: str) -> Connection:
    raise LookupError(name)
