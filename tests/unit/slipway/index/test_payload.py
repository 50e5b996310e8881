import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway import vectors as vector_store
from slipway.errors import CorruptObject, IndexRefused
from slipway.index.artifact import DOCUMENTS_SCHEMA, ROWS_SCHEMA, open_arrow
from slipway.index.payload import continue_rows, gather, write_documents, write_rows
from slipway.records import CHUNKS, DOCUMENTS
from slipway.storage.local import LocalStore
from tests.support.memory_store import MemoryStore
from tests.support.releases import unit_vectors, write_arrow


def parquet(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def chunk(name: str, document: str, start: int = 0, end: int = 1) -> dict[str, Any]:
    return {
        "chunk_hash": name,
        "document_id": document,
        "start": start,
        "end": end,
        "tokens": 1,
        "text": "text",
        "content_hash": "0",
    }


def document(name: str) -> dict[str, Any]:
    values = {"source": "api", "title": f"title {name}", "text": f"text {name}", "content_hash": "0"}
    values |= {"text_hash": "0", "bands": [], "row_hash": bytes(16), "copy": 0}
    return {"document_id": name, "metadata": json.dumps({"name": name}), **values}


def test_rows_name_documents_by_their_place(tmp_path: Path) -> None:
    snapshot = [
        parquet(tmp_path / "documents-0.parquet", [document(name) for name in ("api:B", "api:a")], DOCUMENTS),
        parquet(tmp_path / "documents-1.parquet", [document(name) for name in ("api:b", "api:é", "web:a")], DOCUMENTS),
    ]
    chunks = [
        parquet(tmp_path / "chunks-0.parquet", [chunk("c2", "api:B", 5, 9), chunk("c1", "web:a")], CHUNKS),
        parquet(
            tmp_path / "chunks-1.parquet",
            [chunk("c1", "api:é", 7, 8), chunk("c1", "api:é", 2, 3), chunk("c1", "api:B"), chunk("c3", "api:b")],
            CHUNKS,
        ),
    ]
    assert write_documents(snapshot, tmp_path / "documents.arrow") == 5
    assert write_rows(chunks, snapshot, tmp_path / "rows.arrow", tmp_path) == 3
    documents = open_arrow(tmp_path / "documents.arrow", DOCUMENTS_SCHEMA)
    rows = open_arrow(tmp_path / "rows.arrow", ROWS_SCHEMA).to_pylist()
    assert documents["document_id"].to_pylist() == ["api:B", "api:a", "api:b", "api:é", "web:a"]
    assert documents["text"].to_pylist()[3] == "text api:é"
    assert rows == [
        {"chunk_hash": "c1", "documents": [0, 3, 3, 4], "starts": [0, 2, 7, 0], "ends": [1, 3, 8, 1]},
        {"chunk_hash": "c2", "documents": [0], "starts": [5], "ends": [9]},
        {"chunk_hash": "c3", "documents": [2], "starts": [0], "ends": [1]},
    ]


def rows_file(path: Path, hashes: list[str]) -> Path:
    rows = [{"chunk_hash": name, "documents": [0], "starts": [0], "ends": [1]} for name in hashes]
    write_arrow(path, pa.Table.from_pylist(rows, ROWS_SCHEMA))
    return path


def test_vectors_come_in_row_order_from_many_parts(tmp_path: Path) -> None:
    names = [f"{number:032x}" for number in range(50)]
    made = unit_vectors(50)
    store = MemoryStore()
    shuffled = np.random.default_rng(1).permutation(50)
    for start in range(0, 50, 20):
        chosen = shuffled[start : start + 25]  # parts may overlap
        vector_store.write_part(store, "enc", [names[n] for n in chosen], made[chosen], tmp_path / "making")
    vector_store.write_part(store, "other", names[:3], unit_vectors(3, seed=9), tmp_path / "making")
    wanted = names[10:40]
    found = gather(store, "enc", rows_file(tmp_path / "rows.arrow", wanted), tmp_path / "v.npy", tmp_path / "scratch")
    assert (found == made[10:40]).all()
    assert not found.flags.writeable


def test_a_chunk_without_a_vector_is_named(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    vector_store.write_part(store, "enc", ["a", "c"], unit_vectors(2), tmp_path / "making")
    with pytest.raises(IndexRefused, match=r"2 of 4 chunks have no vector of encoder enc, the first: b, d"):
        gather(store, "enc", rows_file(tmp_path / "rows.arrow", ["a", "b", "c", "d"]), tmp_path / "v.npy", tmp_path)


@pytest.mark.parametrize("stored", [[], ["a"]])
def test_nothing_to_index_is_refused(tmp_path: Path, stored: list[str]) -> None:
    store = LocalStore(tmp_path / "store")
    if stored:
        vector_store.write_part(store, "enc", stored, unit_vectors(1), tmp_path / "making")
    with pytest.raises(IndexRefused, match="there is not one chunk to index"):
        gather(store, "enc", rows_file(tmp_path / "rows.arrow", []), tmp_path / "v.npy", tmp_path)


def test_a_damaged_vector_part_is_not_used(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    part = vector_store.write_part(store, "enc", ["a"], unit_vectors(1), tmp_path / "making")
    path = store.local_path(part.one(vector_store.VECTORS).key)
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    with pytest.raises(CorruptObject, match="SHA-256"):
        gather(store, "enc", rows_file(tmp_path / "rows.arrow", ["a"]), tmp_path / "v.npy", tmp_path)


@pytest.mark.parametrize("length", [0, 3, 100, -1, -9, -200])
def test_a_cut_arrow_file_is_corrupt(tmp_path: Path, length: int) -> None:
    path = rows_file(tmp_path / "rows.arrow", ["a", "b"])
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CorruptObject, match=r"rows.arrow is not a whole Arrow file"):
        open_arrow(path, ROWS_SCHEMA)


def test_an_arrow_file_of_other_columns_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(
        CorruptObject, match=r"rows.arrow has columns \['chunk_hash'.*this version reads \['document_id"
    ):
        open_arrow(rows_file(tmp_path / "rows.arrow", ["a"]), DOCUMENTS_SCHEMA)


def rows_with(path: Path, rows: list[tuple[str, list[int]]]) -> Path:
    made = [{"chunk_hash": name, "documents": owners, "starts": owners, "ends": owners} for name, owners in rows]
    write_arrow(path, pa.Table.from_pylist(made, ROWS_SCHEMA))
    return path


@pytest.mark.parametrize("revive", [True, False])
def test_rows_keep_their_numbers(tmp_path: Path, revive: bool) -> None:
    base = rows_with(tmp_path / "base.arrow", [("d", [0]), ("b", []), ("a", [1, 2]), ("f", [3])])
    fresh = rows_with(tmp_path / "fresh.arrow", [("a", [7]), ("b", [5, 6]), ("c", [4]), ("d", [1]), ("e", [9])])
    made = continue_rows(fresh, base, tmp_path / "rows.arrow", tmp_path, revive=revive)
    rows = [
        (row["chunk_hash"], row["documents"]) for row in open_arrow(tmp_path / "rows.arrow", ROWS_SCHEMA).to_pylist()
    ]
    if revive:
        assert rows == [("d", [1]), ("b", [5, 6]), ("a", [7]), ("f", []), ("c", [4]), ("e", [9])]
        assert (made.numbers.tolist(), made.appended.tolist(), made.revived) == ([2, 1, 4, 0, 5], [2, 4], 1)
    else:
        assert rows == [("d", [1]), ("b", []), ("a", [7]), ("f", []), ("b", [5, 6]), ("c", [4]), ("e", [9])]
        assert (made.numbers.tolist(), made.appended.tolist(), made.revived) == ([2, 4, 5, 0, 6], [1, 2, 4], 0)
    assert (made.gone.tolist(), made.base, made.rows) == ([3], 4, len(rows))
    assert made.live.tolist() == [bool(owners) for _, owners in rows]


def test_tombstones_need_no_vector(tmp_path: Path) -> None:
    store = MemoryStore()
    vector_store.write_part(store, "enc", ["a", "c"], unit_vectors(2), tmp_path / "making")
    rows = rows_with(tmp_path / "rows.arrow", [("c", [0]), ("b", []), ("a", [1])])
    assert (gather(store, "enc", rows, tmp_path / "v.npy", tmp_path) == unit_vectors(2)[[1, 0]]).all()
