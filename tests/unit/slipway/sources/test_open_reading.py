from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slipway.config import DeltaSource, IcebergSource, LakeSource
from slipway.errors import ConnectionMissing
from slipway.run import Connection
from slipway.sources import open_reading
from slipway.sources.adbc import AdbcDatabase
from slipway.sources.alchemy import AlchemyDatabase
from slipway.sources.delta import DeltaReading
from slipway.sources.iceberg import IcebergReading
from slipway.sources.lake import LakeReading
from slipway.sources.sql import SqlReading
from tests.support.sources import described, sql_source


def refuse(name: str) -> Connection:
    raise ConnectionMissing(f"there is no connection {name!r}")


def sql_at(url: str) -> SqlReading:
    reading = open_reading(sql_source(["id"], table="docs"), lambda name: Connection(name, url), Path(), None)
    assert isinstance(reading, SqlReading)
    return reading


def test_the_kind_of_source_chooses_the_adapter(tmp_path: Path) -> None:
    lake = LakeSource(**described(["id"], kind="lake", path=str(tmp_path)))
    delta = DeltaSource(**described(["id"], kind="delta", path=str(tmp_path)))
    iceberg = IcebergSource(**described(["id"], kind="iceberg", table="docs.articles"))

    assert isinstance(open_reading(lake, refuse, tmp_path, None), LakeReading)
    assert isinstance(open_reading(delta, refuse, tmp_path, None), DeltaReading)
    assert isinstance(open_reading(iceberg, refuse, tmp_path, None), IcebergReading)
    assert isinstance(sql_at("sqlite://").database, AlchemyDatabase)


def test_a_missing_connection_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConnectionMissing, match="docs_db"):
        open_reading(sql_source(["id"], table="docs"), refuse, tmp_path, None)


@pytest.mark.parametrize("url", ["postgresql://h/db", "postgresql+psycopg2://h/db", "postgres://h/db"])
def test_postgres_is_read_by_adbc_where_it_is_installed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(sql_at(url).database, AdbcDatabase)

    monkeypatch.setattr("slipway.sources.sql.has_adbc", lambda: False)
    assert isinstance(sql_at(url).database, AlchemyDatabase)


def test_other_databases_are_read_by_sqlalchemy() -> None:
    assert isinstance(sql_at("mysql://h/db").database, AlchemyDatabase)


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("pyarrow", "sqlalchemy", "adbc_driver_manager", "pandas", "boto3", "deltalake", "pyiceberg")
    program = f"import sys, slipway.sources, slipway.connections; print([m for m in {heavy} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
