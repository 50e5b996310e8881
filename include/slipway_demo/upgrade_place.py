"""The folder in which the demo of an upgrade lives: collection, encoders, sources, store and Airflow, all its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from slipway_demo.standalone import Standalone
from slipway_demo.surroundings import HOST, airflow_environment

if TYPE_CHECKING:
    from slipway.storage.base import ObjectStore

COLLECTION = "pydocs"
# Whatever the caller's environment says of these is about another installation.
_OWN = ("AIRFLOW", "SLIPWAY_")


@dataclass(frozen=True)
class Place:
    """The folder `folder`, for code that lies in `project`. `connections` are URLs by the name of the connection."""

    folder: Path
    project: Path
    connections: Mapping[str, str]

    @property
    def store_url(self) -> str:
        """Where the collection's store lies."""
        return str(self.folder / "store" / COLLECTION)

    def store(self) -> ObjectStore:
        """The collection's store."""
        from slipway.storage import open_store

        return open_store(self.store_url)

    def begin(self, described: Mapping[str, Any], statics: Mapping[str, int]) -> None:
        """Write the collection file, and for each of `statics` (dimension by name) a model and its encoder file.

        A store and an Airflow that an earlier demo left are ended and removed.
        """
        from slipway_demo.static import static_model

        Standalone(self.folder / "airflow").session.stop()
        for left in ("store", "airflow"):
            shutil.rmtree(self.folder / left, ignore_errors=True)
        for name in ("collections", "encoders"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "collections" / f"{COLLECTION}.yaml").write_text(yaml.safe_dump(dict(described)))
        for name, dimension in statics.items():
            encoder = static_model(self.folder / "models" / f"{name}-{dimension}", dimension) | {"name": name}
            (self.folder / "encoders" / f"{name}.yaml").write_text(yaml.safe_dump(encoder))

    def take_vectors(self, encoder: str, store: Path) -> bool:
        """Copy an encoder's vectors (by fingerprint) from another store of the collection; False: it has none."""
        there = store / "vectors" / encoder
        if not there.is_dir():
            return False
        shutil.copytree(there, Path(self.store_url) / "vectors" / encoder, dirs_exist_ok=True)
        return True

    def environment(self, port: int) -> dict[str, str]:
        """The environment of this folder's Airflow."""
        home = self.folder / "airflow"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
        return (
            airflow_environment(self.project, port, kept)
            | {f"AIRFLOW_CONN_{name.upper()}": url for name, url in self.connections.items()}
            | {
                "AIRFLOW_HOME": str(home),
                "SLIPWAY_COLLECTIONS": str(self.folder / "collections"),
                "SLIPWAY_STORE": str(self.folder / "store"),
            }
        )

    def result(self, run_id: str) -> dict[str, Any]:
        """The result that a run wrote into the store."""
        from slipway import layout

        return dict(json.loads(self.store().read(layout.result(run_id)).body))


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
