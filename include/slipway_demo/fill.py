"""Fills the two embedded sources of the demo: a SQLite database and a Parquet lake.

    <folder>/pydocs.db            table documents: the `api` source
    <folder>/guides/part-*.parquet                 the `guides` source
    <folder>/pydocs.filled.json   fingerprint and counts, written last: whoever finds it finds a whole fill

Run it as ``python -m slipway_demo.fill FOLDER``.
"""

import hashlib
import importlib.metadata
import json
import shutil
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway_demo.docstrings import ApiRow, api_rows, read_package
from slipway_demo.guides import README_ONLY, GuideRow, data_folder, module_guides, prose_guides, readme_guides
from slipway_demo.scope import SCOPES

GUIDE_PARTS = 3
# the modules that decide what the rows are; a change in one of them asks for a new fill
CODE = ("abridge", "cython", "docstrings", "fill", "guides", "modules", "newdocs", "outline", "publicnames", "scope")
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90
API_TABLE = """
CREATE TABLE documents (
    id TEXT PRIMARY KEY, package TEXT, kind TEXT, name TEXT, signature TEXT, doc TEXT, path TEXT, line INTEGER,
    updated_at TEXT
)
"""
# who edits a row by hand need not think of updated_at
TOUCHED = """
CREATE TRIGGER touched AFTER UPDATE ON documents WHEN new.updated_at = old.updated_at
BEGIN UPDATE documents SET updated_at = strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now') WHERE id = new.id; END
"""
# of two fills, rows that stayed as they were keep their timestamp
KEEP_TIMES = """
UPDATE documents SET updated_at = old.updated_at FROM before.documents AS old
WHERE documents.id = old.id AND documents.name = old.name AND documents.signature = old.signature
    AND documents.doc = old.doc AND documents.package = old.package AND documents.kind = old.kind
"""


def fill(folder: Path) -> dict[str, int]:
    """Write both sources under `folder`, or leave them alone when they are there for the same packages and code.

    Returns:
        The number of rows of each source: ``{"api": ..., "guides": ...}``.

    Raises:
        PackageNotInstalled, importlib.metadata.PackageNotFoundError: a package of the scope is not installed.
        OSError: the folder cannot be written.
    """
    wanted = fingerprint()
    filled = _read_receipt(folder)
    if filled and filled["fingerprint"] == wanted and _sources_present(folder):
        return {"api": int(filled["api"]), "guides": int(filled["guides"])}
    api, guides = _read_sources()
    folder.mkdir(parents=True, exist_ok=True)
    _receipt_path(folder).unlink(missing_ok=True)
    _write_database(folder / "pydocs.db", api)
    _write_lake(data_folder(folder), guides)
    counts = {"api": len(api), "guides": len(guides)}
    _write_receipt(folder, {"fingerprint": wanted, **counts})
    return counts


def fingerprint() -> str:
    """A hash over the versions of the packages read and over the code that reads them: same hash, same rows."""
    digest = hashlib.sha256()
    for name in sorted({scope.distribution for scope in SCOPES} | set(README_ONLY)):
        # a local version ("2.0+cpu") names a build, not another text
        digest.update(f"{name}=={importlib.metadata.version(name).split('+')[0]}\n".encode())
    for module in CODE:
        digest.update((Path(__file__).parent / f"{module}.py").read_bytes())
    return digest.hexdigest()


def updated_at(identifier: str) -> str:
    """When a row was written, in the first fill (ISO 8601, UTC): by its id, spread over `DAYS` days."""
    seconds = zlib.crc32(identifier.encode()) % (DAYS * 86_400)
    return (FIRST_DAY + timedelta(seconds=seconds)).isoformat()


def _read_sources() -> tuple[list[ApiRow], list[GuideRow]]:
    api: list[ApiRow] = []
    guides: list[GuideRow] = []
    for scope in SCOPES:
        outlines = read_package(scope.package)
        api.extend(api_rows(scope, outlines))
        guides.extend(module_guides(scope, outlines))
    guides.extend(prose_guides())
    guides.extend(readme_guides(tuple(sorted({*README_ONLY, *(scope.distribution for scope in SCOPES)}))))
    return sorted(api, key=lambda row: row.id), sorted(guides, key=lambda row: row.id)


def _write_database(path: Path, rows: Sequence[ApiRow]) -> None:
    """A new file in place of the old one. Rows that are new in it, or changed, are stamped with this moment."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds") if path.is_file() else None
    connection = sqlite3.connect(partial)
    try:
        if now:
            connection.execute("ATTACH ? AS before", (str(path),))
        with connection:
            connection.execute(API_TABLE)
            values = ((*_api_values(row), now or updated_at(row.id)) for row in rows)
            connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            if now:
                connection.execute(KEEP_TIMES)
            connection.execute(TOUCHED)
    finally:
        connection.close()
    partial.replace(path)


def _api_values(row: ApiRow) -> tuple[str | int, ...]:
    return (
        row.id,
        row.package,
        row.kind,
        row.name,
        row.signature,
        row.doc,
        row.path,
        row.line,
    )


def _write_lake(folder: Path, rows: Sequence[GuideRow]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for number in range(GUIDE_PARTS):
        part = rows[number * len(rows) // GUIDE_PARTS : (number + 1) * len(rows) // GUIDE_PARTS]
        pq.write_table(pa.table(_guide_columns(part)), partial / f"part-{number:04d}.parquet")
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _guide_columns(rows: Iterable[GuideRow]) -> dict[str, list[str]]:
    rows = list(rows)
    return {
        "guide_id": [row.id for row in rows],
        "package": [row.package for row in rows],
        "title": [row.title for row in rows],
        "body": [row.body for row in rows],
        "path": [row.path for row in rows],
        "updated_at": [updated_at(row.id) for row in rows],
    }


def _receipt_path(folder: Path) -> Path:
    return folder / "pydocs.filled.json"


def _read_receipt(folder: Path) -> dict[str, str | int] | None:
    """The record of a finished fill; None when there is none or it cannot be read, which means: fill again."""
    try:
        found: dict[str, str | int] = json.loads(_receipt_path(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if {"fingerprint", "api", "guides"} <= found.keys() else None


def _write_receipt(folder: Path, receipt: dict[str, str | int]) -> None:
    partial = _receipt_path(folder).with_suffix(".partial")
    partial.write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
    partial.replace(_receipt_path(folder))


def _sources_present(folder: Path) -> bool:
    parts = list(data_folder(folder).glob("part-*.parquet"))
    return (folder / "pydocs.db").is_file() and len(parts) == GUIDE_PARTS


def main(arguments: Sequence[str]) -> int:
    """Fill the folder named by the one argument and print a line; 2 when it is missing."""
    if len(arguments) != 1:
        print("usage: python -m slipway_demo.fill FOLDER", file=sys.stderr)  # noqa: T201
        return 2
    counts = fill(Path(arguments[0]))
    print(f"pydocs: {counts['api']} API documents and {counts['guides']} guides in {arguments[0]}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
