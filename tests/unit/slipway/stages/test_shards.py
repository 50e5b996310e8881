"""An index built in shards: by mapped tasks and the stage that puts it together, or by that stage alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from slipway.building import bounded, cutting, sharded
from slipway.building.origin import Origin
from slipway.encoders import find_model
from slipway.errors import CorruptObject, IndexRefused
from slipway.evaluation.opened import with_vectors
from slipway.evaluation.rebuilt import rebuild
from slipway.index import artifact
from slipway.index import update as update_module
from slipway.index.exact import exact_neighbours
from slipway.index.memory import merge_bytes
from slipway.index.spec import Spec
from slipway.machine import Memory
from slipway.manifest import Manifest, load
from slipway.run import Run
from slipway.serving.loading import load_release
from slipway.serving.searcher import Searcher
from slipway.stages import shards as shards_stage
from slipway.stages.evaluate import evaluate
from slipway.stages.index import index
from slipway.stages.reconcile import reconcile
from slipway.stages.shards import add, cut
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.encoders import FakeEncoder
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.index_run import (
    a_run,
    changed,
    embedded,
    files_of,
    go_live,
    hash_of,
    searcher_of,
    use_fake_encoder,
)

TEXTS = [f"document number {number} of the shards has its own words" for number in range(210)]
MERGED, GRAPH = "IVF4,PQ4x4fs,Refine(SQ8)", "HNSW8"


def settings(spec: str = MERGED, vectors: int | None = 50, **more: Any) -> dict[str, Any]:
    return {"spec": spec, "shards": {"vectors": vectors, **more.pop("shards", {})}, **more}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path, index=settings())


@pytest.fixture(autouse=True)
def encoder(run: Run, monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    return use_fake_encoder(run, monkeypatch)


def index_bytes(run: Run, candidate: Manifest) -> bytes:
    return files_of(run, candidate)[artifact.INDEX].read_bytes()


def test_merged_shards_are_the_index_that_one_task_builds(run: Run) -> None:
    chunks = embedded(run, TEXTS)
    begun = cut(run, chunks)
    assert begun is not None
    assert [entry["rows"] for entry in begun.facts["shards"]] == [42] * 5
    for entry in reversed(begun.facts["shards"]):
        assert add(run, begun, entry["shard"]).counts == {"vectors": 42}
    made = index(run, chunks)
    single = index(changed(run, index=settings(vectors=None)), chunks)
    assert index_bytes(run, made) == index_bytes(run, single)
    assert made.facts["shards"] == {"built_in": 5, "build": begun.place, "apart": ""}
    same = ("vectors", "imbalance", "error", "probe_recall")
    assert {name: made.facts["built"][name] for name in same} == {name: single.facts["built"][name] for name in same}


def test_the_index_stage_makes_what_is_missing_and_nothing_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = embedded(run, TEXTS)
    begun = cut(run, chunks)
    assert begun is not None
    first = add(run, begun, 1)
    filled: list[int] = []
    real = sharded._filled

    def counted(run: Run, begun: Manifest, entry: dict[str, int], *rest: Any) -> Any:
        filled.append(entry["shard"])
        return real(run, begun, entry, *rest)

    monkeypatch.setattr(sharded, "_filled", counted)
    monkeypatch.setattr(cutting, "train", lambda *_: pytest.fail("trained again"))
    made = index(run, chunks)
    assert filled == [0, 2, 3, 4]
    assert load(run.store, first.place).created_at == first.created_at
    assert index(run, chunks).place == made.place
    assert cut(run, chunks) is None
    assert filled == [0, 2, 3, 4]


@pytest.mark.parametrize("asked", [settings(GRAPH), settings(shards={"release": "apart"}), settings("IVF4,RaBitQfs")])
def test_shards_apart_answer_together_and_reconcile(run: Run, asked: dict[str, Any]) -> None:
    run = changed(run, index=asked)
    chunks = embedded(run, TEXTS)
    candidate = index(run, chunks)
    names = {one.name for one in candidate.objects}
    assert {artifact.shard_index(number) for number in range(5)} | {artifact.SHARDS} <= names
    assert artifact.INDEX not in names
    assert candidate.facts["shards"]["apart"]
    assert candidate.counts["index_bytes"] == sum(
        one.size_bytes for one in candidate.objects if artifact.is_index(one.name)
    )
    assert reconcile(run, load(run.store, chunks.facts["snapshot"]), chunks, candidate).sampled == 210
    searcher = searcher_of(run, candidate, {"nprobe": 4} if "IVF" in candidate.facts["spec"]["factory"] else {})
    assert (searcher.vectors, searcher.rows, searcher.dimension) == (210, 210, 8)
    assert len(searcher.search(np.ones((2, 8), np.float32), 300)[1]) == 210


def test_a_graph_in_shards_finds_the_exact_neighbours_under_their_rows(run: Run, encoder: FakeEncoder) -> None:
    run = changed(run, index=settings(GRAPH))
    candidate = index(run, embedded(run, TEXTS))
    searcher = searcher_of(run, candidate, {"efSearch": 64})
    hashes = [row.as_py() for row in searcher._rows["chunk_hash"]]
    assert hashes == sorted(hashes)
    vectors = np.vstack([one.index.reconstruct_n(0, one.rows) for one in searcher.index.shards])
    queries = encoder.encode_queries(["what", "is", "this"])
    assert np.array_equal(searcher.nearest_rows(queries, 10)[1], exact_neighbours(vectors, queries, 10)[1])


def test_a_release_in_shards_is_opened_from_the_store_and_the_next_night_builds_it_anew(
    run: Run, tmp_path: Path
) -> None:
    run = changed(run, index=settings(GRAPH))
    chunks = embedded(run, TEXTS)
    release_id = go_live(run, index(run, chunks))
    loaded = load_release(run.store, release_id, tmp_path / "cache")
    assert len(loaded.searcher.search(np.ones((1, 8), np.float32), 5)[0]) == 5
    assert cut(run, chunks) is None
    more = embedded(run, [*TEXTS, "one more"])
    assert cut(run, more) is not None
    update = index(run, more).facts["update"]
    assert (update["kind"], update["reason"]) == ("built", "the live index lies in shards, which are not updated")


def test_a_merged_index_is_updated_and_then_nothing_is_cut(run: Run) -> None:
    go_live(run, index(run, embedded(run, TEXTS)))
    more = embedded(run, [*TEXTS, "one more"])
    limits = {"error_growth": 100, "imbalance": 100, "recall_loss": 1}
    run = changed(run, index=settings(update=limits))
    assert cut(run, more) is None
    assert index(run, more).facts["update"]["kind"] == "updated"


def test_an_update_that_will_not_fit_is_cut_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "own_memory", lambda: 0)  # what the other tests leave behind counts otherwise
    run = changed(run, index=settings("IVF4,Flat"))
    live = index(run, embedded(run, TEXTS))
    go_live(run, live)
    more = embedded(run, [*TEXTS, "one more"])
    size_bytes = live.one(artifact.INDEX).size_bytes
    limits = {"imbalance": 100, "recall_loss": 1}

    def with_memory(build_memory: int) -> Run:
        asked = settings("IVF4,Flat", update=limits, build_memory=build_memory, shards={"release": "apart"})
        return changed(run, index=asked)

    assert cut(with_memory(size_bytes), more) is None
    small = with_memory(size_bytes - 1)
    assert cut(small, more) is not None
    update = index(small, more).facts["update"]
    assert update["kind"] == "built"
    assert update["reason"].startswith("the live index would take ")


def test_an_update_that_grows_beyond_the_budget_is_followed_by_shards(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_live(run, index(run, embedded(run, TEXTS)))
    more = embedded(run, [*TEXTS, "one more"])
    limits = {"error_growth": 100, "imbalance": 100, "recall_loss": 1}
    steps: list[int] = []

    def exceeding(*given: Any) -> None:
        steps.append(given[-1])
        given[-2](1)

    taken = iter([0, 5 << 20])  # when it begins, and after the first block
    monkeypatch.setattr(update_module, "append", exceeding)
    monkeypatch.setattr(bounded, "own_memory", lambda: next(taken, 0))
    made = index(changed(run, index=settings(update=limits, build_memory=1 << 20)), more)
    assert steps == [(1 << 20) // (16 * 4 * 8)]
    assert made.facts["update"]["kind"] == "built"
    assert "updating the index has taken 5.0 MiB" in made.facts["update"]["reason"]
    assert made.facts["shards"]["built_in"] == 5


def test_an_update_that_a_trigger_speaks_against_is_cut_at_once(run: Run) -> None:
    go_live(run, index(run, embedded(run, TEXTS)))
    others = embedded(run, [f"{text}, and other ones" for text in TEXTS])
    assert cut(run, others) is not None


@pytest.mark.parametrize("vectors", [None, 210, 5_000])
def test_what_fits_into_one_shard_is_built_by_one_task(run: Run, vectors: int | None) -> None:
    run = changed(run, index=settings(vectors=vectors))
    chunks = embedded(run, TEXTS)
    assert cut(run, chunks) is None
    assert "shards" not in index(run, chunks).facts


def test_equal_texts_count_once(run: Run) -> None:
    run = changed(run, index=settings("Flat", vectors=100))
    assert cut(run, embedded(run, TEXTS[:80] * 2)) is None


def test_what_will_not_fit_is_refused_before_anything_is_trained(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "train", lambda *_: pytest.fail("trained"))
    chunks = embedded(run, TEXTS)

    def refusal(factory: str = "IVF4,Flat", **asked: Any) -> str:
        with pytest.raises(IndexRefused) as refused:
            cut(changed(run, index=settings(factory, **asked)), chunks)
        return str(refused.value)

    training = refusal(build_memory="5KiB", train_vectors=200)
    assert "training IVF4,Flat on at most" in training
    packed = "IVF4,PQ4x4fs"
    needed = merge_bytes(Spec(packed, "inner_product", 1, ""), 210, 8, 42)
    merging = refusal(packed, build_memory=needed - 1, train_vectors=40)
    assert "merging the shards of IVF4,PQ4x4fs with 210 vectors" in merging
    filling = refusal(build_memory="2KiB", shards={"release": "apart"})
    assert "filling a shard of IVF4,Flat with 42 vectors" in filling
    assert "Lower index.shards.vectors" in filling


def test_a_machine_that_is_too_small_for_a_shard_refuses_it_before_it_is_filled(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = embedded(run, TEXTS)
    begun = cut(run, chunks)
    assert begun is not None
    monkeypatch.setattr(bounded, "memory_left", lambda: Memory(2_000, "this smaller machine"))
    monkeypatch.setattr(sharded, "piece_of", lambda *_: pytest.fail("filled"))
    with pytest.raises(IndexRefused, match=r"filling a shard of IVF4.* with 42 vectors .*this smaller machine has"):
        add(run, begun, 0)


def test_a_sample_of_all_vectors_is_not_copied(run: Run) -> None:
    embedded(run, TEXTS)
    hashes = pa.chunked_array([sorted(hash_of(text) for text in TEXTS)])
    sample = cutting._Sample(run, find_model(run.collection.encoder).fingerprint, hashes, run.scratch)
    assert np.shares_memory(sample.of(np.arange(210)), sample.vectors)
    assert np.array_equal(sample.of(np.array([3, 7])), sample.vectors[[3, 7]])


def test_too_few_vectors_to_train_on_are_refused_before_anything_is_cut(run: Run) -> None:
    run = changed(run, index=settings("IVF256,Flat"))
    with pytest.raises(IndexRefused, match="at least 256 vectors"):
        cut(run, embedded(run, TEXTS))


def test_more_shards_than_tasks_can_be_mapped_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "MOST", 4)
    with pytest.raises(IndexRefused, match=r"set index\.shards\.vectors to 53"):
        cut(run, embedded(run, TEXTS))


def test_older_settings_name_the_same_index(run: Run) -> None:
    """A collection that uses no shards has the candidates that it had before there were any."""
    plain = changed(run, index={"spec": "Flat"})
    bounded = changed(run, index={"spec": "Flat", "build_memory": "4GiB"})
    chunks = embedded(run, TEXTS[:9])
    assert index(plain, chunks).place == index(bounded, chunks).place


def test_the_index_that_a_contract_leads_to_is_built_in_shards(run: Run) -> None:
    contract = {"recall_at_10": 0.5, "memory": "1MiB"}
    run = changed(run, index={"contract": contract, "shards": {"vectors": 50}, "search": {}})
    chunks = embedded(run, TEXTS)
    begun = cut(run, chunks)
    assert begun is not None
    made = index(run, chunks)
    assert made.facts["shards"]["build"] == begun.place
    assert made.facts["contract"]["spec"] == begun.facts["spec"]["factory"] == made.facts["spec"]["factory"]
    assert searcher_of(run, made, made.facts["contract"]["confirmed"]["parameters"]).vectors == 210


def test_a_contracts_choice_that_cannot_be_built_in_shards_is_left_to_the_index_stage(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = {"recall_at_10": 0.5, "memory": "1MiB"}
    run = changed(run, index={"contract": contract, "shards": {"vectors": 50}, "search": {}})
    chunks = embedded(run, TEXTS)
    begin, refused = cutting.begin, list[str]()

    def begin_the_second(run: Run, origin: Origin, rows: Path, spec: Spec) -> Manifest:
        if not refused:
            refused.append(spec.factory)
        if spec.factory == refused[0]:
            raise IndexRefused("it will not fit")
        return begin(run, origin, rows, spec)

    monkeypatch.setattr(shards_stage, "begin", begin_the_second)
    monkeypatch.setattr(sharded, "begin", begin_the_second)
    assert cut(run, chunks) is None
    made = index(run, chunks)
    assert made.facts["spec"]["factory"] not in refused
    assert made.facts["shards"]["built_in"] == 5


def test_a_candidate_in_shards_is_evaluated_and_built_once_more_to_see_the_noise(run: Run, tmp_path: Path) -> None:
    run = changed(run, index=settings(GRAPH))
    candidate = index(run, embedded(run, TEXTS))
    evaluation = evaluate(run, candidate)
    assert evaluation.facts["metrics"]["index_bytes"] == candidate.counts["index_bytes"]
    files = files_of(run, candidate)
    opened = with_vectors(run, candidate, files, searcher_of(run, candidate), tmp_path)
    folder = tmp_path / "again"
    folder.mkdir()
    again = rebuild(
        opened, files, Spec(**candidate.facts["spec"]), run.collection.index, evaluation.facts["parameters"], folder
    )
    assert [one.rows for one in again.searcher.index.shards] == [42] * 5
    queries = np.ascontiguousarray(opened.vectors[:20])
    assert again.recalls(queries, again.exact(queries)[1], 10).mean() > 0.95


def test_a_shard_that_is_missing_is_named(run: Run) -> None:
    run = changed(run, index=settings(GRAPH))
    files = files_of(run, index(run, embedded(run, TEXTS)))
    with pytest.raises(CorruptObject, match=r"there is no index-00003\.faiss"):
        Searcher({name: path for name, path in files.items() if name != artifact.shard_index(3)}, {})
    swapped = {artifact.shard_index(0): files[artifact.ROWS]}
    with pytest.raises(CorruptObject, match=r"index-00000\.faiss cannot be read by FAISS"):
        Searcher(files | swapped, {})
    with pytest.raises(CorruptObject, match="rows"):
        Searcher(files | shorter(files), {})


def shorter(files: dict[str, Path]) -> dict[str, Path]:
    """shards.json with one row less in the last shard."""
    path = files[artifact.SHARDS].with_name("shorter.json")
    counts = json.loads(files[artifact.SHARDS].read_bytes())
    counts[-1]["rows"] -= 1
    path.write_text(json.dumps(counts))
    return {artifact.SHARDS: path}


@pytest.mark.parametrize("landed", [False, True])
def test_killed_at_any_write_a_build_goes_on_to_the_same_candidate(run: Run, landed: bool) -> None:
    """Shards that were sealed before the kill stay as they were sealed."""
    run = changed(run, index=settings("Flat", vectors=40))
    empty = CrashingStore()
    chunks = embedded(replace(run, store=empty), TEXTS[:80])
    names = {"index-00000.faiss", "index-00001.faiss"}
    finished, number = False, 0
    while not finished:
        store = empty.clone()
        killed = replace(run, store=store, scratch=run.scratch / f"{number}-{landed}")
        store.die_at, store.landed = number, landed
        try:
            built_by_tasks(killed, chunks)
            finished = True
        except Killed:
            store.die_at = None
            sealed = shards_in(store)
            candidate = built_by_tasks(killed, chunks)
            assert sealed.items() <= shards_in(store).items()
            assert names <= {one.name for one in candidate.objects}
            assert searcher_of(killed, candidate).vectors == 80
        number += 1
    assert number > 10


def built_by_tasks(run: Run, chunks: Manifest) -> Manifest:
    if begun := cut(run, chunks):
        for entry in begun.facts["shards"]:
            add(run, begun, entry["shard"])
    return index(run, chunks)


def shards_in(store: CrashingStore) -> dict[str, bytes]:
    """The manifests of sealed shards by key."""
    keys = [info.key for info in store.list("builds/") if info.key.endswith("manifest.json")]
    return {key: store.read(key).body for key in keys}
