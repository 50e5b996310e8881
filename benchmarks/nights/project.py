"""A project in a folder of its own: the table, a collection file and a store, and the nights that run there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slipway import vectors
from slipway.config import load_collection
from slipway.connections import environment_connections
from slipway.encoders import find_model
from slipway.manifest import Manifest
from slipway.pipeline import Options, run_pipeline
from slipway.run import Run
from slipway.storage.local import LocalStore

NAME = "entries"
CONNECTION = "AIRFLOW_CONN_ENTRIES_DB"


@dataclass(frozen=True, slots=True)
class Night:
    """A night in a process of its own: its result, the seconds until the process had ended, and of those the seconds
    spent in encoding alone, without loading the model (None where the vector parts do not say).
    """

    result: Mapping[str, Any]
    seconds: float
    encoding_seconds: float | None


@dataclass(frozen=True)
class Project:
    """The folder. `encoder` is what a collection file says under that name."""

    folder: Path
    encoder: str | Mapping[str, Any]

    @property
    def database(self) -> Path:
        """The source."""
        return self.folder / "entries.db"

    @property
    def collections(self) -> Path:
        """Where the collection file is."""
        return self.folder / "collections"

    @property
    def root(self) -> str:
        """The store's root."""
        return str(self.folder / "store")

    @property
    def store(self) -> LocalStore:
        """The collection's part of the store."""
        return LocalStore(self.folder / "store" / NAME)

    def write(self) -> Project:
        """Write the collection file, and let this process and its children find the table."""
        source = {
            "name": NAME,
            "kind": "sql",
            "connection": "entries_db",
            "table": "entries",
            "id": "doc_id",
            "title": "{title}",
            "text": "{text}",
            "metadata": ["pos", "category"],
            "updated_at": "updated_at",
        }
        described = {
            "sources": [source],
            "clean": {"duplicates": "none", "min_characters": 1},
            "chunk": {"title": True},
            "encoder": self.encoder if isinstance(self.encoder, str) else dict(self.encoder),
        }
        self.collections.mkdir(parents=True)
        (self.collections / f"{NAME}.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
        os.environ[CONNECTION] = f"sqlite:///{self.database}"
        return self

    def run(self, run_id: str, allowed: Collection[str] = ()) -> dict[str, Any]:
        """A night in this process. Raises what the pipeline raises."""
        collection = load_collection(self.collections, NAME)
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=self.folder) as scratch:
            run = Run(collection, self.store, run_id, Path(scratch), environment_connections)
            return run_pipeline(run, Options("a benchmark", run_id, allowed=frozenset(allowed)))

    def run_apart(self) -> Night:
        """A night as people run it: `slipway run` in a process of its own. Raises CalledProcessError."""
        before = {part.place for part in self.vector_parts()}
        options = ["--collections", str(self.collections), "--store", self.root, "--json"]
        command = [sys.executable, "-c", "from slipway.cli import main; main()", "run", NAME, *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        started = time.monotonic()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=self.folder, env=environment)
        seconds = time.monotonic() - started
        told = [part.facts.get("seconds") for part in self.vector_parts() if part.place not in before]
        encoding = None if None in told else float(sum(told))
        return Night(json.loads(done.stdout), seconds, encoding)

    def vector_parts(self) -> list[Manifest]:
        """The sealed vectors of the collection's encoder."""
        encoder = load_collection(self.collections, NAME).encoder
        return vectors.parts(self.store, find_model(encoder).fingerprint)
