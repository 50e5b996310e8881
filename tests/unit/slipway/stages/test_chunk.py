from pathlib import Path
from typing import Any

import pytest

from slipway.chunking import chunk_hash
from slipway.errors import EncoderError
from slipway.manifest import Manifest
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


def texts_of(run: Run, made: Manifest) -> list[tuple[str, int, str, str]]:
    rows = read(run, made, "chunks")
    return sorted((row["document_id"], row["start"], row["text"], row["content_hash"]) for row in rows)


def test_only_documents_that_changed_are_cut_again(run: Run, tmp_path: Path) -> None:
    first = a_snapshot(run, DOCUMENTS)
    chunk(run, first)
    later = [("merge", LONG), ("", "Short."), ("other", "Longer."), ("merge", LONG), ("new", LONG)]
    second = a_snapshot(run, later, "snapshots/s2", base=first.place)
    made = chunk(run, second)
    assert made.facts["cut"] == 2

    alone = a_run(MemoryStore(), tmp_path)
    anew = chunk(alone, a_snapshot(alone, later))
    assert anew.facts["cut"] == 5
    assert texts_of(run, made) == texts_of(alone, anew)
    assert made.counts == anew.counts


def test_documents_that_went_take_their_chunks_along(run: Run) -> None:
    first = a_snapshot(run, DOCUMENTS)
    chunk(run, first)
    made = chunk(run, a_snapshot(run, DOCUMENTS[:2], "snapshots/s2", base=first.place))
    assert (made.facts["cut"], made.counts["documents"]) == (0, 2)
    assert {row["document_id"] for row in read(run, made, "chunks")} == {"api:0000", "api:0001"}


def test_a_night_that_ended_before_it_cut_is_looked_past(run: Run) -> None:
    first = a_snapshot(run, DOCUMENTS)
    chunk(run, first)
    second = a_snapshot(run, DOCUMENTS[:3], "snapshots/s2", base=first.place)  # never cut
    third = a_snapshot(run, [*DOCUMENTS, ("new", "New.")], "snapshots/s3", base=second.place)
    assert chunk(run, third).facts["cut"] == 1


def test_equal_documents_are_not_cut_again_however_their_snapshot_came_about(run: Run) -> None:
    made = chunk(run, a_snapshot(run, DOCUMENTS))
    assert chunk(run, a_snapshot(run, DOCUMENTS, "snapshots/s2", base="snapshots/s1")) == made


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


def test_an_ancestor_that_maintenance_removed_is_no_error(run: Run) -> None:
    made = chunk(run, a_snapshot(run, DOCUMENTS, base="snapshots/removed"))
    assert made.counts["documents"] == made.facts["cut"] == len(DOCUMENTS)
