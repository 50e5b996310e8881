from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from slipway import layout
from slipway.errors import CorruptObject, ReconcileRefused
from slipway.index import artifact
from slipway.index.artifact import DOCUMENTS_SCHEMA, ROWS_SCHEMA
from slipway.index.build import build, read, write
from slipway.index.update import remove
from slipway.manifest import Draft, Manifest, find, load
from slipway.run import Run
from slipway.stages import reconcile as module
from slipway.stages.index import index
from slipway.stages.reconcile import Reconciled, reconcile
from tests.support.memory_store import MemoryStore
from tests.support.releases import clustered_vectors, spec, write_arrow
from tests.unit.slipway.stages.index_run import (
    a_run,
    a_snapshot,
    changed,
    chunks_of,
    files_of,
    go_live,
    hash_of,
    store_vectors,
)

DIMENSION = 16
NAMES = [f"api:{number:04d}" for number in range(430)]
VECTORS = clustered_vectors(len(NAMES), DIMENSION)
FACTORIES = ["Flat", "HNSW16", "HNSW16,SQ8", "IVF4,Flat", "IVF4,PQ4x4fs", "IVF4,PQ4x4fs,Refine(SQ8)", "PCA8,IVF4,SQ8"]
UPDATED = [factory for factory in FACTORIES if factory != "Flat"]
PATIENT = {"tombstone_share": 0.9, "recall_loss": 1, "imbalance": 1e9, "error_growth": 1e9}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path, dimension=DIMENSION)


def text_of(name: str) -> str:
    return f"text of {name}"


def chunked(run: Run, names: list[str]) -> tuple[Manifest, Manifest]:
    """Snapshot and chunks of these documents, their vectors in the store."""
    texts = {name: text_of(name) for name in names}
    store_vectors(run, {text: VECTORS[NAMES.index(name)] for name, text in texts.items()})
    snapshot = a_snapshot(run, texts)
    return snapshot, chunks_of(run, snapshot, texts)


def made(run: Run, factory: str, *, updated: bool) -> tuple[Run, Manifest, Manifest, Manifest]:
    """Run, snapshot, chunks and candidate; updated: ten documents went and thirty came after a release of 400."""
    run = changed(run, index={"spec": factory, "update": PATIENT})
    if updated:
        go_live(run, index(run, chunked(run, NAMES[:400])[1]))
    snapshot, chunks = chunked(run, NAMES[10:] if updated else NAMES[:400])
    candidate = index(run, chunks)
    assert candidate.facts["update"]["kind"] == ("updated" if updated else "built")
    return run, snapshot, chunks, candidate


def tampered(run: Run, candidate: Manifest, name: str, change: Callable[[Path, Path], None]) -> Manifest:
    """The candidate with one object changed, and sealed as if that were right."""
    draft = Draft(run.store, layout.candidate("tampered"), "index", "tampered", candidate.inputs)
    path = run.scratch / "tampered"
    change(files_of(run, candidate)[name], path)
    for sealed in candidate.objects:
        if sealed.name != name:
            draft.add_copy(sealed)
    draft.add_file(name, path)
    return draft.seal(candidate.counts, candidate.facts)


def rows_changed(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path, Path], None]:
    def write_changed(old: Path, new: Path) -> None:
        rows = artifact.open_arrow(old, ROWS_SCHEMA).to_pylist()
        change(rows)
        write_arrow(new, pa.Table.from_pylist(rows, ROWS_SCHEMA))

    return write_changed


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_built_candidate_agrees(run: Run, factory: str) -> None:
    run, snapshot, chunks, candidate = made(run, factory, updated=False)
    assert reconcile(run, snapshot, chunks, candidate) == Reconciled(400, 400, 400, 400, 0, 256)


@pytest.mark.parametrize("factory", UPDATED)
def test_an_updated_candidate_agrees(run: Run, factory: str) -> None:
    run, snapshot, chunks, candidate = made(run, factory, updated=True)
    counts = reconcile(run, snapshot, chunks, candidate)
    assert (counts.documents, counts.chunks, counts.vectors) == (420, 420, 420)
    assert (counts.rows, counts.tombstones) == (430, 10)
    assert 256 <= counts.sampled <= 286


def refuses(run: Run, snapshot: Manifest, chunks: Manifest, candidate: Manifest, match: str) -> None:
    with pytest.raises(ReconcileRefused, match=match) as refused:
        reconcile(run, snapshot, chunks, candidate)
    assert f"candidate {candidate.place} does not hold what this run made" in str(refused.value)
    assert "Nothing was released, and the candidate was discarded: start a new run" in str(refused.value)
    assert find(run.store, candidate.place) is None


def test_a_document_that_is_missing_is_named(run: Run) -> None:
    run, snapshot, chunks, candidate = made(run, "Flat", updated=False)

    def without(old: Path, new: Path) -> None:
        write_arrow(new, artifact.open_arrow(old, DOCUMENTS_SCHEMA).slice(0, 397))

    bad = tampered(run, candidate, artifact.DOCUMENTS, without)
    refuses(run, snapshot, chunks, bad, r"3 of the snapshot .*the first: api:0397, api:0398, api:0399\.")


def test_a_document_that_should_be_gone_is_named(run: Run) -> None:
    run, _, _, candidate = made(run, "Flat", updated=False)
    snapshot, chunks = chunked(run, NAMES[2:400])
    refuses(run, snapshot, chunks, candidate, r"2 documents .*not in the snapshot, the first: api:0000, api:0001\.")


def test_a_document_that_stands_twice_is_named(run: Run) -> None:
    run, snapshot, chunks, candidate = made(run, "Flat", updated=False)

    def doubled(old: Path, new: Path) -> None:
        table = artifact.open_arrow(old, DOCUMENTS_SCHEMA)
        write_arrow(new, pa.concat_tables([table, table.slice(7, 1)]))

    refuses(run, snapshot, chunks, tampered(run, candidate, artifact.DOCUMENTS, doubled), r"1 documents .*: api:0007\.")


@pytest.mark.parametrize("factory", ["Flat", "HNSW16"])
@pytest.mark.parametrize("field", ["starts", "ends", "documents"])
def test_a_passage_of_another_place_or_document_is_named(run: Run, factory: str, field: str) -> None:
    run, snapshot, chunks, candidate = made(run, factory, updated=False)
    change = rows_changed(lambda rows: rows[5].update({field: [rows[5][field][0] + 1]}))
    refuses(run, snapshot, chunks, tampered(run, candidate, artifact.ROWS, change), r"1 passages of the index .*\[")


def test_a_passage_without_a_document_is_named(run: Run) -> None:
    run, snapshot, chunks, candidate = made(run, "Flat", updated=False)
    change = rows_changed(lambda rows: rows[5].update(documents=[9_999]))
    refuses(run, snapshot, chunks, tampered(run, candidate, artifact.ROWS, change), r"1 passages .*no document\[0:")


def test_a_tombstone_that_should_live_is_named(run: Run) -> None:
    run, snapshot, chunks, candidate = made(run, "HNSW16", updated=True)
    change = rows_changed(lambda rows: rows[50].update(documents=[], starts=[], ends=[]))
    refuses(run, snapshot, chunks, tampered(run, candidate, artifact.ROWS, change), r"1 of the chunks are not among")


def test_a_tombstone_that_lives_is_named(run: Run) -> None:
    run, snapshot, chunks, candidate = made(run, "HNSW16", updated=True)

    def revive(rows: list[dict[str, Any]]) -> None:
        dead = next(row for row in rows if not row["documents"])
        dead.update(documents=[0], starts=[0], ends=[1])

    refuses(
        run, snapshot, chunks, tampered(run, candidate, artifact.ROWS, rows_changed(revive)), r"1 passages .*\[0:1\]"
    )


def test_a_chunk_with_two_rows_is_named(run: Run) -> None:
    """Every passage is there once, but one text's passages are spread over two rows."""
    texts = {"api:0000": "same", "api:0001": "same", "api:0002": "other"}
    store_vectors(run, {"same": VECTORS[0], "other": VECTORS[1]})
    snapshot = a_snapshot(run, texts)
    chunks = chunks_of(run, snapshot, texts)
    candidate = index(run, chunks)
    old = files_of(run, candidate)

    def split(rows: list[dict[str, Any]]) -> None:
        (row,) = [row for row in rows if len(row["documents"]) == 2]
        rows.append({name: value[1:] if isinstance(value, list) else value for name, value in row.items()})
        row.update({name: value[:1] for name, value in row.items() if isinstance(value, list)})

    bad_rows = tampered(run, candidate, artifact.ROWS, rows_changed(split))
    faiss_index = read(old[artifact.INDEX])
    faiss_index.add(VECTORS[:1])
    draft = Draft(run.store, layout.candidate("both"), "index", "both")
    for sealed in bad_rows.objects:
        if sealed.name != artifact.INDEX:
            draft.add_copy(sealed)
    write(faiss_index, run.scratch / "bigger")
    draft.add_file(artifact.INDEX, run.scratch / "bigger")
    bad = draft.seal(candidate.counts, candidate.facts)
    refuses(run, snapshot, chunks, bad, rf"1 chunks have more than one live row, the first: {hash_of('same')}")


def test_a_chunk_without_a_vector_is_named(run: Run) -> None:
    run, snapshot, chunks, candidate = made(run, "Flat", updated=False)
    for info in list(run.store.list("vectors/")):
        run.store.delete(info.key)
    refuses(run, snapshot, chunks, candidate, r"400 chunks of the index have no vector of encoder [0-9a-f]+")


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF4,PQ4x4fs,Refine(SQ8)"])
def test_a_vector_too_many_or_too_few_is_refused(run: Run, factory: str) -> None:
    run, snapshot, chunks, candidate = made(run, factory, updated=False)

    def more(old: Path, new: Path) -> None:
        grown = read(old)
        grown.add(VECTORS[:1])
        write(grown, new)

    bad = tampered(run, candidate, artifact.INDEX, more)
    refuses(run, snapshot, chunks, bad, r"the index holds 401 vectors, rows.arrow has 400 rows")


@pytest.mark.parametrize("factory", ["IVF4,Flat", "IVF4,PQ4x4fs"])
def test_an_id_in_place_of_another_is_named(run: Run, factory: str) -> None:
    """As many as there should be, but one that is gone stands for one that is not."""
    run, snapshot, chunks, candidate = made(run, factory, updated=True)
    rows = artifact.open_arrow(files_of(run, candidate)[artifact.ROWS], ROWS_SCHEMA)
    live = artifact.live_rows(rows)
    dead, alive = int(np.flatnonzero(~live)[0]), int(np.flatnonzero(live)[0])

    def swapped(old: Path, new: Path) -> None:
        faiss_index = read(old)
        remove(faiss_index, np.array([alive]))
        faiss_index.add_with_ids(VECTORS[:1], np.array([dead]))
        write(faiss_index, new)

    bad = tampered(run, candidate, artifact.INDEX, swapped)
    refuses(
        run, snapshot, chunks, bad, rf"1 ids in index.faiss are not in the live rows of rows.arrow, the first: {dead}"
    )


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("order", ["shifted", "shuffled"])
def test_vectors_in_each_others_place_are_caught(run: Run, factory: str, order: str) -> None:
    """Every set is right; only what the index stores for a row is another row's vector."""
    run, snapshot, chunks, candidate = made(run, factory, updated=False)
    hashes = artifact.open_arrow(files_of(run, candidate)[artifact.ROWS], ROWS_SCHEMA)["chunk_hash"].to_pylist()
    by_hash = {hash_of(text_of(name)): VECTORS[number] for number, name in enumerate(NAMES)}
    right = np.stack([by_hash[name] for name in hashes])
    places = np.roll(np.arange(400), 1) if order == "shifted" else np.random.default_rng(1).permutation(400)
    bad = tampered(
        run, candidate, artifact.INDEX, lambda _, new: write(build(right[places], spec(factory), 1_000, 40), new)
    )
    refuses(run, snapshot, chunks, bad, r"the codes of \d+ of 256 sampled rows are not those of their vectors")


@pytest.mark.parametrize("factory", ["HNSW16", "IVF4,PQ4x4fs", "IVF4,PQ4x4fs,Refine(SQ8)"])
def test_an_update_that_appended_in_another_order_is_caught(run: Run, factory: str) -> None:
    """Thirty of four hundred would hide among the others, so those that came last are looked at by themselves."""
    run, snapshot, chunks, candidate = made(run, factory, updated=True)

    def rotated(rows: list[dict[str, Any]]) -> None:
        rows[400:] = [*rows[401:], rows[400]]

    bad = tampered(run, candidate, artifact.ROWS, rows_changed(rotated))
    refuses(run, snapshot, chunks, bad, r"the codes of \d+ of (30|256) sampled rows are not those of their vectors")


def test_a_refinement_of_other_rows_is_caught(run: Run) -> None:
    run, snapshot, chunks, candidate = made(run, "IVF4,PQ4x4fs,RFlat", updated=False)

    def mixed(old: Path, new: Path) -> None:
        faiss_index = read(old)
        faiss_index.refine_index.reset()
        faiss_index.refine_index.add(np.roll(VECTORS[:400], 1, axis=0))
        write(faiss_index, new)

    bad = tampered(run, candidate, artifact.INDEX, mixed)
    refuses(run, snapshot, chunks, bad, r"the refinement of \d+ of 256 sampled rows")


def test_a_file_that_is_no_index_is_refused(run: Run) -> None:
    run, snapshot, chunks, candidate = made(run, "Flat", updated=False)
    bad = tampered(run, candidate, artifact.INDEX, lambda _, new: new.write_bytes(b"nothing") and None)
    refuses(run, snapshot, chunks, bad, r"index.faiss cannot be read by FAISS")


@pytest.mark.parametrize("shards", [{}, {"vectors": 100, "release": "apart"}])
def test_an_index_stays_in_its_files_while_it_is_compared(
    run: Run, monkeypatch: pytest.MonkeyPatch, shards: dict[str, Any]
) -> None:
    """A candidate in shards may be larger than this machine's memory."""
    run = changed(run, index={"spec": "HNSW16", "shards": shards})
    snapshot, chunks = chunked(run, NAMES)
    candidate = index(run, chunks)
    mapped: list[bool] = []

    def watched(path: Path, **how: bool) -> Any:
        mapped.append(how.get("mapped", False))
        return read(path, **how)

    monkeypatch.setattr(module, "read", watched)
    reconcile(run, snapshot, chunks, candidate)
    assert mapped == [True] * (5 if shards else 1)


def test_an_object_that_was_damaged_in_the_store_is_corrupt(run: Run) -> None:
    run, snapshot, chunks, candidate = made(run, "Flat", updated=False)
    key = load(run.store, candidate.place).one(artifact.ROWS).key
    run.store.put(key, run.store.read(key).body[:-1])
    with pytest.raises(CorruptObject, match="bytes, its manifest says"):
        reconcile(run, snapshot, chunks, candidate)


def test_a_candidate_that_a_release_was_made_of_is_not_discarded(run: Run) -> None:
    run, snapshot, chunks, candidate = made(run, "Flat", updated=False)
    go_live(run, candidate)
    wrong = replace(snapshot, objects=())
    with pytest.raises(ReconcileRefused):
        reconcile(run, wrong, chunks, candidate)
    assert find(run.store, candidate.place) == candidate
