"""Airflow in a folder of its own, set before any import of airflow; and a small collection to run through it."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = Path(tempfile.mkdtemp(prefix="slipway-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
}

import pytest  # noqa: E402

from tests.dags.bench import Bench  # noqa: E402


@pytest.fixture(scope="session")
def airflow_tables():
    from airflow.utils.db import initdb

    from slipway_airflow.pools import create_pools

    initdb()
    create_pools()


@pytest.fixture
def collections(tmp_path, monkeypatch):
    """An empty folder of collection files that DAG files find."""
    folder = tmp_path / "collections"
    folder.mkdir()
    monkeypatch.setenv("SLIPWAY_COLLECTIONS", str(folder))
    return folder


@pytest.fixture
def bench(collections, tmp_path, monkeypatch, airflow_tables):
    """The collection `tiny` with its sources, a store, and a way to run its DAG."""
    for name, value in {
        "SLIPWAY_STORE": str(tmp_path / "store"),
        "SLIPWAY_CACHE": str(tmp_path / "cache"),
        "SLIPWAY_SCRATCH": str(tmp_path / "scratch"),
        "AIRFLOW_CONN_TINY_DB": f"sqlite:///{tmp_path}/tiny.db",
    }.items():
        monkeypatch.setenv(name, value)
    return Bench(tmp_path)
