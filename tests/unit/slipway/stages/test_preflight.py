import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway import checkpoint, layout
from slipway.checkpoint import Start
from slipway.encoders import find_model
from slipway.errors import (
    ConnectionMissing,
    CorruptObject,
    EncoderError,
    GoldenError,
    IndexRefused,
    InputError,
    StoreUnreachable,
)
from slipway.manifest import Draft
from slipway.run import Connection, Run
from slipway.stages.preflight import preflight
from tests.support.encoders import model_folder
from tests.support.memory_store import MemoryStore
from tests.support.releases import publish
from tests.unit.slipway.stages.embedding_run import DIMENSION, a_run
from tests.unit.slipway.stages.index_run import changed


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path)


def fingerprint(run: Run) -> str:
    return find_model(run.collection.encoder).fingerprint


def with_encoder(run: Run, folder: Path, **fields: Any) -> Run:
    return changed(run, encoder=run.collection.encoder.model_dump() | {"folder": str(folder)} | fields)


def a_checkpoint(run: Run) -> str:
    """The place of a checkpoint that an earlier run has sealed."""
    snapshot = Draft(run.store, "snapshots/s1", "snapshot", "s1").seal({"documents": 0})
    earlier = replace(run, run_id="earlier")
    checkpoint.begin(earlier, Start(0, None, "e" * 16))
    return checkpoint.write(earlier, snapshot, {}).place


def test_before_the_first_release(run: Run) -> None:
    assert preflight(run) == Start(0, None, fingerprint(run))


def test_it_tells_what_is_live_and_writes_nothing_but_the_beginning(run: Run) -> None:
    live = publish(run, encoder=fingerprint(run))
    publish(replace(run, run_id="run-2"), 2, encoder=fingerprint(run))
    del run.store.calls[:]
    found = preflight(run)
    assert (found.generation, found.encoder) == (2, fingerprint(run))
    assert found.live_release not in {None, live.release_id}
    writes = [call for call in run.store.calls if call[0] not in {"read", "list"}]
    assert writes == [("put_if", "runs/run-1/start/manifest.json")]


@pytest.mark.parametrize("full", [False, True])
def test_what_the_run_may_do_and_builds_on_is_sealed(run: Run, full: bool) -> None:
    base = a_checkpoint(run)
    found = preflight(run, ["over_budget", "deletes", "deletes"], full)
    assert found == Start(0, None, fingerprint(run), base, full, ("deletes", "over_budget"))
    assert checkpoint.start_of(run) == found


def test_a_retry_sees_the_same_beginning(run: Run) -> None:
    first = preflight(run, {"deletes"})
    a_checkpoint(run)
    publish(replace(run, run_id="run-2"), encoder=fingerprint(run))
    assert preflight(run) == first
    assert preflight(replace(run, run_id="run-3")).generation == 1


def test_what_cannot_be_allowed_is_named(run: Run) -> None:
    with pytest.raises(InputError, match=r"cannot be allowed delete, everything; .*deletes, changes, encoder_change"):
        preflight(run, {"everything", "deletes", "delete"})


def test_a_refused_run_has_no_beginning(run: Run, tmp_path: Path) -> None:
    with pytest.raises(EncoderError):
        preflight(with_encoder(run, tmp_path / "nowhere"))
    assert checkpoint.started(run) is None
    assert list(run.store.list(layout.RUNS)) == []


def test_another_vector_space_is_refused_unless_it_is_allowed(run: Run, tmp_path: Path) -> None:
    live = publish(run, encoder=fingerprint(run))
    other = with_encoder(run, model_folder(tmp_path / "other", b"other weights"), name="better", dimension=32)
    with pytest.raises(EncoderError) as refused:
        preflight(other, {"deletes", "changes", "over_budget"})
    was = f"dimension {run.collection.encoder.dimension}"
    for part in (live.release_id, fingerprint(run), was, "better", "dimension 32", "--allow-encoder-change"):
        assert part in str(refused.value)
    assert preflight(other, {"encoder_change"}).encoder == fingerprint(other)


def test_the_same_model_elsewhere_under_another_name_is_the_same_space(run: Run, tmp_path: Path) -> None:
    publish(run, encoder=fingerprint(run))
    moved = with_encoder(run, model_folder(tmp_path / "moved"), name="renamed")
    assert preflight(moved).encoder == fingerprint(run)


def test_other_prompts_are_another_space(run: Run) -> None:
    publish(run, encoder=fingerprint(run))
    prompted = with_encoder(run, Path(run.collection.encoder.folder or ""), prompts={"document": "passage: "})
    with pytest.raises(EncoderError, match="another vector space"):
        preflight(prompted)


def test_a_missing_model_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"field folder: .*nowhere does not exist"):
        preflight(with_encoder(run, tmp_path / "nowhere"))
    (tmp_path / "hollow").mkdir()
    with pytest.raises(EncoderError, match=r"has no model.safetensors"):
        preflight(with_encoder(run, tmp_path / "hollow"))


def test_weights_that_are_not_the_configured_ones_are_refused(run: Run) -> None:
    folder = Path(run.collection.encoder.folder or "")
    with pytest.raises(EncoderError, match=r"has SHA-256 .*weights_sha256 says 0{64}"):
        preflight(with_encoder(run, folder, weights_sha256="0" * 64))


def test_every_missing_connection_is_found(run: Run) -> None:
    table = {"kind": "sql", "id": "id", "text": "{body}", "table": "t"}
    sources = [table | {"name": "a", "connection": "first_db"}, table | {"name": "b", "connection": "second_db"}]
    asked: list[str] = []

    def connections(name: str) -> Connection:
        asked.append(name)
        if name == "second_db":
            raise ConnectionMissing(f"there is no connection {name!r}")
        return Connection(name, "sqlite://")

    with pytest.raises(ConnectionMissing, match="second_db"):
        preflight(replace(changed(run, sources=sources), connections=connections))
    assert asked == ["first_db", "second_db"]


def test_a_golden_file_that_cannot_be_judged_with_is_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    broken = changed(run, golden={"queries": path})
    with pytest.raises(GoldenError, match=r"golden.jsonl: the golden file cannot be read"):
        preflight(broken)
    path.write_text(json.dumps({"query_id": "q1", "query": "words", "relevant": {"a": 9}}))
    with pytest.raises(GoldenError, match=r"golden.jsonl:1: field relevant.a"):
        preflight(broken)
    path.write_text(json.dumps({"query_id": "q1", "query": "words", "relevant": {"a": 3}}))
    assert preflight(broken).generation == 0


@pytest.mark.parametrize("spec", ["Nonsense", "IVF16,PQ3", "HNSW1", "IVF0,Flat", "HNSW16_PQ4", "IDMap,Flat"])
def test_a_spec_that_cannot_be_built_is_refused_with_the_dimension(run: Run, spec: str) -> None:
    with pytest.raises(IndexRefused, match=rf"dimension {DIMENSION}.*correct index.spec, or use auto") as refused:
        preflight(changed(run, index={"spec": spec}))
    assert repr(spec) in str(refused.value)


@pytest.mark.parametrize("spec", ["auto", "Flat", "HNSW32,SQ8", "IVF4096,PQ4x4fs,RFlat", "OPQ4,IVF65536_HNSW32,PQ4"])
def test_a_spec_that_needs_many_vectors_is_sound_before_there_are_any(run: Run, spec: str) -> None:
    preflight(changed(run, index={"spec": spec}))


def test_an_unreachable_store_is_passed_on(run: Run) -> None:
    run.store.fail_next("read", StoreUnreachable("the store did not answer"))
    with pytest.raises(StoreUnreachable, match="did not answer"):
        preflight(run)


def test_a_damaged_live_release_is_named(run: Run) -> None:
    live = publish(run, encoder=fingerprint(run))
    key = f"releases/{live.release_id}/manifest.json"
    run.store.put(key, run.store.read(key).body.replace(b"run-1", b"run-7"))
    with pytest.raises(CorruptObject, match=r"manifest.json has SHA-256 .*serving.json says"):
        preflight(run)
    run.store.put("serving.json", b"{")
    with pytest.raises(CorruptObject, match=r"serving.json is not one that this version can read"):
        preflight(run)


def test_a_signing_key_that_cannot_be_used_is_found_before_any_work(run: Run) -> None:
    signing = replace(changed(run, release={"signing": "signing_key"}), secrets=lambda _name: "no key")
    with pytest.raises(InputError, match=r"release\.signing.*'signing_key'.*32 bytes in base64"):
        preflight(signing)
    with pytest.raises(ConnectionMissing, match=r"release\.signing"):
        preflight(changed(run, release={"signing": "signing_key"}))
    assert list(run.store.list("runs/")) == []


def test_a_contract_that_no_index_of_the_live_vectors_can_keep_is_refused_before_any_work(run: Run) -> None:
    release = publish(run)
    wanted = changed(run, index={"contract": {"recall_at_10": 0.9, "memory": 100}})
    with pytest.raises(IndexRefused, match=r"memory 100 bytes cannot be kept by any index of"):
        preflight(replace(wanted, run_id="tonight"), allowed=["encoder_change"])
    assert release
    kept = changed(run, index={"contract": {"recall_at_10": 0.9, "memory": "1GiB"}})
    preflight(replace(kept, run_id="tonight"), allowed=["encoder_change"])
