"""What every stage is given: one run of one collection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slipway.config import Collection
from slipway.progress import Progress, no_progress
from slipway.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Connection:
    """A resolved connection: a SQLAlchemy URL, secret inside. `repr` and `str` never show it."""

    name: str
    url: str

    def __repr__(self) -> str:
        return f"Connection({self.name!r})"


class Connections(Protocol):
    """Finds connections by name: in Airflow, or in the environment for the command line."""

    def __call__(self, name: str) -> Connection:
        """The connection of that name. Raises `ConnectionMissing`."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its collection, the store scoped to that collection, and a scratch folder of its own."""

    collection: Collection
    store: ObjectStore
    run_id: str
    scratch: Path
    connections: Connections
    progress: Progress = no_progress
