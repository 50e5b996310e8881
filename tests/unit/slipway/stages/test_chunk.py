from pathlib import Path
from typing import Any

import pytest

from slipway.chunking import chunk_hash
from slipway.errors import EncoderError
from slipway.records import CHUNKS
from slipway.run import Run
from slipway.stages import chunk as chunk_stage
from slipway.stages.chunk import chunk
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.embedding_run import a_run, a_snapshot, read

LONG = "It joins two tables on a key. " * 40
DOCUMENTS = [("merge", LONG), ("", "Short."), ("other", "Short."), ("merge", LONG)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path)


def test_every_document_is_cut_and_counted(run: Run) -> None:
    made = chunk(run, a_snapshot(run, DOCUMENTS))
    rows = read(run, made, "chunks")
    assert made.counts == {"documents": 4, "chunks": len(rows), "tokens": sum(row["tokens"] for row in rows)}
    assert {row["document_id"] for row in rows} == {f"api:{number:04d}" for number in range(4)}
    assert list(rows[0]) == CHUNKS.names
    for row in rows:
        title, text = DOCUMENTS[int(row["document_id"][-4:])]
        passage = text[row["start"] : row["end"]]
        assert row["text"] == (f"{title}\n{passage}" if title else passage)
        assert row["chunk_hash"] == chunk_hash(row["text"])
        assert row["tokens"] <= 64


def test_equal_documents_have_equal_chunks_which_count_each_time(run: Run) -> None:
    rows = read(run, chunk(run, a_snapshot(run, DOCUMENTS)), "chunks")
    first, last = ([row["chunk_hash"] for row in rows if row["document_id"] == f"api:000{n}"] for n in (0, 3))
    assert first == last
    assert len(first) > 1


def test_it_is_done_once_whatever_the_run(run: Run, tmp_path: Path) -> None:
    snapshot = a_snapshot(run, DOCUMENTS)
    made = chunk(run, snapshot)
    later = a_run(run.store, tmp_path, "run-2")
    assert chunk(later, snapshot) == made


@pytest.mark.parametrize(
    "fields",
    [
        {"chunk": {"tokens": 48, "overlap": 8}},
        {"chunk": {"tokens": 64, "overlap": 0}},
        {"chunk": {"tokens": 64, "overlap": 8, "title": False}},
        {"prompts": {"document": "passage: "}},
    ],
)
def test_other_settings_make_other_chunks(run: Run, tmp_path: Path, fields: dict[str, Any]) -> None:
    snapshot = a_snapshot(run, DOCUMENTS)
    assert chunk(a_run(run.store, tmp_path, **fields), snapshot).place != chunk(run, snapshot).place


def test_what_does_not_touch_the_cutting_makes_no_other_chunks(run: Run, tmp_path: Path) -> None:
    snapshot = a_snapshot(run, DOCUMENTS)
    made = chunk(run, snapshot)
    (tmp_path / "model/model.safetensors").write_bytes(b"other weights")
    assert chunk(a_run(run.store, tmp_path, prompts={"query": "find: "}, index={"spec": "Flat"}), snapshot) == made


def test_no_documents_make_no_chunks(run: Run) -> None:
    made = chunk(run, a_snapshot(run, []))
    assert made.counts == {"documents": 0, "chunks": 0, "tokens": 0}


def test_progress_counts_documents(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int, int | None, str]] = []
    monkeypatch.setattr(chunk_stage, "STEP", 3)
    run = Run(run.collection, run.store, run.run_id, run.scratch, run.connections, lambda *told: seen.append(told))
    chunk(run, a_snapshot(run, DOCUMENTS))
    assert seen == [("chunk", 3, 4, "documents"), ("chunk", 4, 4, "documents")]


def test_bad_input_a_missing_model_ends_the_stage_and_seals_nothing(run: Run, tmp_path: Path) -> None:
    snapshot = a_snapshot(run, DOCUMENTS)
    (tmp_path / "model/tokenizer.json").unlink()
    with pytest.raises(EncoderError, match=r"has no tokenizer.json"):
        chunk(run, snapshot)
    assert list(run.store.list("chunks/")) == []
