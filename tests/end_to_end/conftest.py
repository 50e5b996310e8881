"""One project whose first run is done, made once a session; each test works on a copy of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.project import CONNECTION, Project

SETTINGS = ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_SCRATCH", "SLIPWAY_CACHE")


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, object]]:
    """The project after its first run, and the run's result: never changed by a test."""
    project = Project(tmp_path_factory.mktemp("first")).fill()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(CONNECTION, project.connection)
        environment.setenv("HF_HUB_OFFLINE", "1")
        return project, project.run("first")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_run: tuple[Project, object]) -> Project:
    """A copy of the project after its first run, in which this process stands, with nothing else set."""
    folder = tmp_path / "project"
    shutil.copytree(first_run[0].folder, folder)
    return _entered(Project(folder), monkeypatch)


@pytest.fixture
def new_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that has never run."""
    return _entered(Project(tmp_path).fill(), monkeypatch)


def _entered(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLIPWAY_CACHE", str(project.folder / "cache"))
    monkeypatch.setenv(CONNECTION, project.connection)
    monkeypatch.chdir(project.folder)
    return project
