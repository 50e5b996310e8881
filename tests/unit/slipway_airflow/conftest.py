"""Airflow in a folder of its own, where nobody set one before; its tables; a store with one collection."""

import os
import tempfile
from pathlib import Path

HOME = Path(tempfile.mkdtemp(prefix="slipway-ui-"))
for name, value in {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
}.items():
    os.environ.setdefault(name, value)

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def airflow_tables():
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with the collection files `pydocs` and `broken`; stores lie in `<root>/store`."""
    (tmp_path / "collections").mkdir()
    (tmp_path / "collections" / "pydocs.yaml").write_text("description: no collection that could run\n")
    (tmp_path / "collections" / "broken.yaml").write_text("{\n")
    monkeypatch.setenv("SLIPWAY_COLLECTIONS", str(tmp_path / "collections"))
    monkeypatch.setenv("SLIPWAY_STORE", str(tmp_path / "store"))
    return tmp_path
