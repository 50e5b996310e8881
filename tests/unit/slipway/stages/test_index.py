import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway import layout
from slipway.encoders import find_model
from slipway.errors import CorruptObject, IndexRefused
from slipway.index import artifact
from slipway.index.artifact import DOCUMENTS_SCHEMA, ROWS_SCHEMA, open_arrow
from slipway.manifest import Manifest, fingerprint, load
from slipway.pointer import read_serving
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.serving.searcher import Searcher
from slipway.stages import index as module
from slipway.stages.index import index
from tests.support.encoders import FakeEncoder, model_folder
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.index_run import (
    DIMENSION,
    TEXTS,
    a_run,
    changed,
    embedded,
    files_of,
    go_live,
    rows_of,
    searcher_of,
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
    monkeypatch.setattr(module.whole, "build", lambda *_: pytest.fail("built again"))
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


GRAPH = {"spec": "HNSW16"}
PATIENT = {"tombstone_share": 0.9, "recall_loss": 1, "imbalance": 1e9, "error_growth": 1e9}


def built_and_live(run: Run, texts: list[str] = TEXTS) -> tuple[Manifest, str]:
    candidate = index(run, embedded(run, texts))
    return candidate, go_live(run, candidate)


@pytest.mark.parametrize("factory", ["HNSW16", "IVF4,PQ2x4fs,RFlat"])
def test_the_live_index_is_brought_up_to_date(run: Run, encoder: FakeEncoder, factory: str) -> None:
    run = changed(run, index={"spec": factory, "update": PATIENT})
    first, release_id = built_and_live(run)
    assert first.facts["update"] == {
        "kind": "built", "reason": "nothing is released yet", "base": None, "added": 0, "removed": 0, "triggers": [],
    }  # fmt: skip
    texts = [*TEXTS[5:], "one more", "and another"]
    second = index(run, embedded(run, texts))
    update = second.facts["update"]
    assert (update["kind"], update["base"], update["added"], update["removed"]) == ("updated", release_id, 2, 5)
    assert update["reason"] == "2 texts came and 5 went; no trigger fired"
    assert {one["name"] for one in update["triggers"]} >= {"tombstone_share", "cost", "recall_loss"}
    assert not any(one["fired"] for one in update["triggers"])
    assert second.facts["built"] == first.facts["built"]
    assert {name: second.counts[name] for name in ("vectors", "rows", "tombstones", "documents")} == {
        "vectors": 57, "rows": 62, "tombstones": 5, "documents": 57,
    }  # fmt: skip
    rows, before = rows_of(run, second), rows_of(run, first)
    assert [row["chunk_hash"] for row in rows[:60]] == [row["chunk_hash"] for row in before]
    searcher = searcher_of(run, second, {"nprobe": 4, "k_factor_rf": 20} if "IVF" in factory else {"efSearch": 64})
    for text, number in ((texts[0], 0), ("one more", 55), ("and another", 56)):
        assert searcher.search(encoder.encode_queries([text]), 1)[0][0].document_id == f"api:{number:05d}"
    gone = searcher.search(encoder.encode_queries(TEXTS[:5]), 40)
    assert not {hit.snippet for hits in gone for hit in hits} & set(TEXTS[:5])
    assert [len(hits) for hits in gone] == [40] * 5


def test_what_was_measured_when_it_was_built_travels_with_the_release(run: Run) -> None:
    run = changed(run, index={"spec": "IVF4,PQ2x4fs,RFlat"})
    candidate, release_id = built_and_live(run)
    facts = load(run.store, layout.release(release_id)).facts
    assert {name: facts[name] for name in ("recipe", "candidate", "built", "update", "spec")} == {
        name: candidate.facts[name] for name in ("recipe", "candidate", "built", "update", "spec")
    }
    assert facts["candidate"] == candidate.place
    built = facts["built"]
    assert (built["vectors"], built["ef_construction"], built["train_vectors"]) == (60, 200, 262_144)
    assert built["imbalance"] >= 1
    assert 0 < built["error"] < 1
    assert 0.9 < built["probe_recall"] <= 1
    assert built["seconds"] >= built["seconds_per_vector"] * 60 > 0


def test_a_trigger_builds_it_anew_in_the_same_run(run: Run) -> None:
    run = changed(run, index=GRAPH)
    _, release_id = built_and_live(run)
    texts = TEXTS[20:]
    second = index(run, embedded(run, texts))
    update = second.facts["update"]
    assert (update["kind"], update["base"], update["removed"]) == ("built", release_id, 20)
    assert update["reason"] == "tombstone_share 0.3333, over the limit of 0.2"
    assert update["triggers"] == [{"name": "tombstone_share", "value": 0.333333, "limit": 0.2, "fired": True}]
    assert (second.counts["rows"], second.counts["tombstones"]) == (40, 0)
    hashes = [row["chunk_hash"] for row in rows_of(run, second)]
    assert hashes == sorted(hashes)
    assert second.facts["built"]["vectors"] == 40


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"spec": "HNSW16", "update": {"enabled": False}}, "index.update.enabled is false"),
        ({"spec": "HNSW16", "seed": 2}, "index settings have changed since the live index was built"),
        ({"spec": "HNSW16", "ef_construction": 99}, "index settings have changed since the live index was built"),
        ({"spec": "HNSW16", "metric": "l2"}, "index settings have changed since the live index was built"),
        ({"spec": "HNSW16", "train_vectors": 99}, "index settings have changed since the live index was built"),
        (
            {"spec": "HNSW8"},
            "the index is to be HNSW8 of dimension 8, the live one is HNSW16 of dimension 8",
        ),
    ],
)
def test_another_kind_of_index_is_built_anew(run: Run, settings: dict[str, Any], reason: str) -> None:
    built_and_live(changed(run, index=GRAPH))
    second = index(changed(run, index=settings), embedded(run, TEXTS[1:]))
    assert (second.facts["update"]["kind"], second.facts["update"]["reason"]) == ("built", reason)


def test_an_exact_index_is_built_anew(run: Run) -> None:
    built_and_live(run)
    second = index(run, embedded(run, TEXTS[1:]))
    assert second.facts["update"]["reason"] == "the live index is Flat, which is not updated"


def test_another_encoder_is_built_anew(run: Run, tmp_path: Path) -> None:
    run = changed(run, index=GRAPH)
    built_and_live(run)
    folder = str(model_folder(tmp_path / "other", b"other weights"))
    other = changed(run, encoder=run.collection.encoder.model_dump() | {"folder": folder})
    second = index(other, embedded(other))
    assert second.facts["update"]["reason"] == "the live release was made by another encoder"


def test_a_night_without_changes_makes_no_index(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = changed(run, index={"spec": "HNSW16", "update": PATIENT})
    built_and_live(run)
    second = index(run, embedded(run, TEXTS[1:]))
    go_live(run, second)
    monkeypatch.setattr(module, "_make", lambda *_: pytest.fail("made again"))
    assert index(run, embedded(run, TEXTS[1:])) == second


def test_contents_of_a_release_on_standby_give_its_candidate(run: Run) -> None:
    run = changed(run, index=GRAPH)
    first, _ = built_and_live(run)
    go_live(run, index(run, embedded(run, TEXTS[1:])))
    assert index(run, embedded(run)) == first


def test_contents_that_were_withdrawn_stay_withdrawn(run: Run) -> None:
    """The candidate is the same, and so is the release's id, which serving.json says was rolled back."""
    run = changed(run, index=GRAPH)
    built_and_live(run)
    bad = index(run, embedded(run, TEXTS[1:]))
    bad_release = go_live(run, bad)
    roll_back(run.store, "tester", "it was bad")
    assert bad_release in read_serving(run.store)[0].withdrawn
    assert index(run, embedded(run, TEXTS[1:])) == bad
    other = index(run, embedded(run, TEXTS[2:]))
    go_live(run, other)
    go_live(run, index(run, embedded(run, TEXTS[3:])))  # both slots hold others by now
    assert index(run, embedded(run, TEXTS[1:])) == bad


def test_a_candidate_that_was_removed_is_made_again(run: Run) -> None:
    run = changed(run, index={"spec": "HNSW16", "update": PATIENT})
    first, _ = built_and_live(run)
    for info in list(run.store.list(f"{first.place}/")):
        run.store.delete(info.key)
    again = index(run, embedded(run))
    assert (again.facts["update"]["kind"], again.facts["update"]["added"]) == ("updated", 0)
    assert again.facts["recipe"] == first.facts["recipe"]


def test_a_retry_after_a_kill_finds_the_update(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = changed(run, index={"spec": "HNSW16", "update": PATIENT})
    _, release_id = built_and_live(run)
    chunks = embedded(run, TEXTS[1:])
    second = index(run, chunks)
    assert second.place == layout.candidate(fingerprint(second.facts["recipe"], release_id))
    monkeypatch.setattr(module, "_make", lambda *_: pytest.fail("made again"))
    assert index(run, chunks) == second


def test_a_damaged_live_index_stops_the_update(run: Run) -> None:
    run = changed(run, index={"spec": "HNSW16", "update": PATIENT})
    _, release_id = built_and_live(run)
    key = load(run.store, layout.release(release_id)).one(artifact.INDEX).key
    body = bytearray(run.store.read(key).body)
    body[-1] ^= 1
    run.store.put(key, bytes(body))
    with pytest.raises(CorruptObject, match="SHA-256"):
        index(run, embedded(run, TEXTS[1:]))


def test_new_titles_keep_the_index_and_change_the_payload(run: Run) -> None:
    run = changed(run, index={"spec": "HNSW16", "update": PATIENT})
    first, _ = built_and_live(run)
    second = index(run, embedded(run, titles="new title"))
    assert second.facts["update"]["added"] == second.facts["update"]["removed"] == 0
    assert second.one(artifact.INDEX).sha256 == first.one(artifact.INDEX).sha256
    assert second.one(artifact.DOCUMENTS).sha256 != first.one(artifact.DOCUMENTS).sha256
