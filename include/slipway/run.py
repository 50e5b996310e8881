"""What every stage is given: one run of one collection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slipway.config import Collection
from slipway.errors import ConnectionMissing
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


class Secrets(Protocol):
    """Finds passwords by the name of their connection. What it gives is used, and never logged or stored."""

    def __call__(self, name: str) -> str:
        """The password of the connection of that name. Raises `ConnectionMissing`, and `InputError` without one."""
        ...


def no_secrets(name: str) -> str:
    """The secrets of a run that was given none. Raises `ConnectionMissing`."""
    raise ConnectionMissing(f"there is no connection {name!r}: this run was given no connections")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its collection, the store scoped to that collection, and a scratch folder of its own."""

    collection: Collection
    store: ObjectStore
    run_id: str
    scratch: Path
    connections: Connections
    progress: Progress = no_progress
    secrets: Secrets = no_secrets
