from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slipway.config import LakeSource
from slipway.errors import ConnectionMissing
from slipway.run import Connection
from slipway.sources import open_rows
from slipway.sources.adbc import AdbcRows
from slipway.sources.alchemy import AlchemyRows
from slipway.sources.lake import LakeRows
from slipway.sources.sql import SqlRows
from tests.support.sources import sql_source


def refuse(name: str) -> Connection:
    raise ConnectionMissing(f"there is no connection {name!r}")


def test_the_kind_of_source_chooses_the_adapter(tmp_path: Path) -> None:
    lake = LakeSource(kind="lake", name="docs", id="id", text="{id}", path=str(tmp_path))

    assert isinstance(open_rows(lake, refuse, tmp_path), LakeRows)
    assert isinstance(
        open_rows(sql_source(["id"], table="docs"), lambda name: Connection(name, "sqlite://"), tmp_path), SqlRows
    )


def test_a_missing_connection_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConnectionMissing, match="docs_db"):
        open_rows(sql_source(["id"], table="docs"), refuse, tmp_path)


@pytest.mark.parametrize("url", ["postgresql://h/db", "postgresql+psycopg2://h/db", "postgres://h/db"])
def test_postgres_is_read_by_adbc_where_it_is_installed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SqlRows(Connection("docs_db", url), sql_source(["id"], table="docs"))
    assert isinstance(source.driver(), AdbcRows)

    monkeypatch.setattr("slipway.sources.sql.has_adbc", lambda: False)
    assert isinstance(source.driver(), AlchemyRows)


def test_other_databases_are_read_by_sqlalchemy() -> None:
    source = SqlRows(Connection("docs_db", "mysql://h/db"), sql_source(["id"], table="docs"))

    assert isinstance(source.driver(), AlchemyRows)


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, slipway.sources, slipway.connections;"
        "print([m for m in ('pyarrow', 'sqlalchemy', 'adbc_driver_manager', 'pandas', 'boto3') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
