"""The folder in which a night runs: the database, the collection's store and the scratch folders of its runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kills.history import NAME


@dataclass(frozen=True, slots=True)
class Place:
    """The folder, and what is where in it."""

    folder: Path

    @property
    def database(self) -> Path:
        """The source."""
        return self.folder / "notes.db"

    @property
    def store(self) -> Path:
        """The collection's objects."""
        return self.folder / "store" / NAME

    def scratch(self, run_id: str) -> Path:
        """A run's scratch folder: what a killed attempt left in it meets the retry, as on an Airflow worker."""
        return self.folder / f"scratch-{run_id}"

    def replace_by(self, other: Place) -> None:
        """Make this place a copy of another."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(other.folder, self.folder)
