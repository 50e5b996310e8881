"""One fill for all tests of this folder: it reads every package of the scope and takes some seconds."""

import sqlite3
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from slipway_demo.fill import fill

MINIMUM_CHARACTERS = 40


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both demo sources."""
    folder = tmp_path_factory.mktemp("pydocs")
    fill(folder)
    return folder


@pytest.fixture(scope="session")
def survivors(filled: Path) -> dict[str, str]:
    """Text by document id (``<source>:<key>``) once short texts and exact duplicates are rejected.

    Of equal texts the smallest id survives, which is what the cleaning stage does.
    """
    texts = sorted(_documents(filled).items())
    smallest: dict[str, str] = {}
    for identifier, text in texts:
        if len(text) >= MINIMUM_CHARACTERS:
            smallest.setdefault(text, identifier)
    return {identifier: text for text, identifier in smallest.items()}


def _documents(filled: Path) -> dict[str, str]:
    connection = sqlite3.connect(filled / "pydocs.db")
    try:
        api = connection.execute("SELECT id, name, signature, doc FROM documents").fetchall()
    finally:
        connection.close()
    texts = {f"api:{key}": f"{name}\n{signature}\n{doc}" for key, name, signature, doc in api}
    for row in pq.read_table(filled / "guides").to_pylist():
        texts[f"guides:{row['guide_id']}"] = f"{row['title']}\n{row['body']}"
    return texts
