import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway.encoders import find_model
from slipway.errors import IndexRefused
from slipway.index import artifact
from slipway.index.artifact import DOCUMENTS_SCHEMA, ROWS_SCHEMA, open_arrow
from slipway.run import Run
from slipway.serving.searcher import Searcher
from slipway.stages import index as module
from slipway.stages.index import index
from tests.support.encoders import FakeEncoder
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.index_run import (
    DIMENSION,
    TEXTS,
    a_run,
    changed,
    embedded,
    files_of,
    use_fake_encoder,
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path)


@pytest.fixture(autouse=True)
def encoder(run: Run, monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    return use_fake_encoder(run, monkeypatch)


def test_a_candidate_holds_what_a_reader_needs(run: Run, encoder: FakeEncoder) -> None:
    chunks = embedded(run, metadata={"package": "pandas"})
    candidate = index(run, chunks)
    files = files_of(run, candidate)
    assert set(files) == {artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS, artifact.ENCODER}
    assert candidate.counts["vectors"] == candidate.counts["documents"] == len(TEXTS)
    assert candidate.counts["index_bytes"] == files[artifact.INDEX].stat().st_size
    assert candidate.facts["spec"] == {
        "factory": "Flat",
        "metric": "inner_product",
        "seed": 1,
        "reason": "exact search, as there are fewer than 5,000 vectors",
    }
    assert (candidate.facts["dimension"], candidate.facts["encoder"]) == (DIMENSION, encoder.fingerprint)
    assert candidate.facts["snapshot"] == chunks.facts["snapshot"]
    described = json.loads(files[artifact.ENCODER].read_text())
    assert described == {"fingerprint": encoder.fingerprint, **run.collection.encoder.model_dump(mode="json")}
    hits = Searcher(files, {}).search(encoder.encode_queries([TEXTS[17]]), 1)[0]
    assert (hits[0].document_id, hits[0].snippet, hits[0].metadata) == ("api:00017", TEXTS[17], {"package": "pandas"})


def test_equal_texts_share_a_vector_and_find_all_documents(run: Run, encoder: FakeEncoder) -> None:
    candidate = index(run, embedded(run, [*TEXTS[:9], TEXTS[3], TEXTS[3]]))
    assert (candidate.counts["vectors"], candidate.counts["documents"]) == (9, 11)
    hits = Searcher(files_of(run, candidate), {}).search(encoder.encode_queries([TEXTS[3]]), 3)[0]
    assert [hit.document_id for hit in hits] == ["api:00003", "api:00009", "api:00010"]


def test_a_document_without_a_chunk_keeps_the_others_in_place(run: Run, encoder: FakeEncoder) -> None:
    candidate = index(run, embedded(run, ["", TEXTS[1], "", TEXTS[3]]))
    files = files_of(run, candidate)
    assert (candidate.counts["vectors"], candidate.counts["documents"]) == (2, 4)
    assert sorted(open_arrow(files[artifact.ROWS], ROWS_SCHEMA)["documents"].to_pylist()) == [[1], [3]]
    assert open_arrow(files[artifact.DOCUMENTS], DOCUMENTS_SCHEMA).num_rows == 4
    hits = Searcher(files, {}).search(encoder.encode_queries([TEXTS[3]]), 2)[0]
    assert [hit.document_id for hit in hits] == ["api:00003", "api:00001"]


def test_the_same_again_is_not_built_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = embedded(run)
    first = index(run, chunks)
    monkeypatch.setattr(module, "train", lambda *_: pytest.fail("built again"))
    assert index(run, chunks) == first
    assert index(changed(run, index={"search": {"ef_search": 7}}), chunks) == first


@pytest.mark.parametrize(
    "settings", [{"metric": "l2"}, {"seed": 2}, {"spec": "HNSW16"}, {"spec": "IVF4,Flat"}, {"ef_construction": 99}]
)
def test_other_settings_give_another_candidate(run: Run, settings: dict[str, Any]) -> None:
    chunks = embedded(run)
    assert index(changed(run, index=settings), chunks).place != index(run, chunks).place


def test_documents_whose_texts_stayed_and_whose_titles_or_metadata_changed_are_released_anew(run: Run) -> None:
    """Every chunk is as it was, and so is every vector: the payload beside them is not."""
    before = index(run, embedded(run))
    retitled = index(run, embedded(run, titles="new title"))
    remarked = index(run, embedded(run, metadata={"package": "numpy"}))
    assert len({one.digest for one in (before, retitled, remarked)}) == 3
    assert {one.one(artifact.INDEX).sha256 for one in (retitled, remarked)} == {before.one(artifact.INDEX).sha256}
    titles = open_arrow(files_of(run, retitled)[artifact.DOCUMENTS], DOCUMENTS_SCHEMA)["title"]
    metadata = open_arrow(files_of(run, remarked)[artifact.DOCUMENTS], DOCUMENTS_SCHEMA)["metadata"]
    assert titles[0].as_py() == "new title 0"
    assert metadata[0].as_py() == '{"package": "numpy"}'


def test_a_model_that_moved_is_described_where_it_is_now(run: Run, tmp_path: Path) -> None:
    """Its vectors are the same, but readers look for it by the description."""
    chunks = embedded(run)
    before = index(run, chunks)
    (tmp_path / "moved").symlink_to(run.collection.encoder.folder or "")
    described = run.collection.encoder.model_dump() | {"folder": str(tmp_path / "moved")}
    moved = changed(run, encoder=described)
    after = index(moved, chunks)
    assert before.facts["encoder"] == after.facts["encoder"] == find_model(moved.collection.encoder).fingerprint
    assert json.loads(files_of(run, after)[artifact.ENCODER].read_text())["folder"] == str(tmp_path / "moved")


def test_a_chunk_without_a_vector_stops_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = embedded(run)
    for info in list(run.store.list("vectors/")):
        run.store.delete(info.key)
    with pytest.raises(IndexRefused, match=r"60 of 60 chunks have no vector of encoder .*run the embed stage again"):
        index(run, chunks)
    assert not list(run.store.list("candidates/"))


def test_nothing_to_index_stops_it(run: Run) -> None:
    with pytest.raises(IndexRefused, match="there is not one chunk to index; look at the rejected rows"):
        index(run, embedded(run, ["", ""]))


def test_too_few_vectors_for_the_spec_stop_it(run: Run) -> None:
    with pytest.raises(IndexRefused, match=r"IVF64,Flat needs at least 64 vectors .*there are 60"):
        index(changed(run, index={"spec": "IVF64,Flat"}), embedded(run))


def test_it_tells_how_far_it_is(run: Run) -> None:
    from dataclasses import replace

    told: list[tuple[str, int, int | None, str]] = []
    index(replace(run, progress=lambda *news: told.append(news)), embedded(run))
    assert told == [("index", 60, 60, "vectors")]


def test_vectors_stand_in_the_order_of_their_rows(run: Run, encoder: FakeEncoder) -> None:
    candidate = index(run, embedded(run))
    files = files_of(run, candidate)
    searcher = Searcher(files, {})
    owners = open_arrow(files[artifact.ROWS], ROWS_SCHEMA)["documents"].to_pylist()
    stored = searcher.index.reconstruct_n(0, searcher.vectors)
    expected = encoder.encode_queries([TEXTS[owner] for (owner,) in owners])
    assert np.allclose(stored, expected)
