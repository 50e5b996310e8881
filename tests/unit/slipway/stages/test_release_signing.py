"""What the release stage signs: only what its own run's candidate and evaluation give, whatever lies in the store."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway import layout, signing
from slipway.errors import CorruptObject, ReleaseRefused, SlipwayError
from slipway.index import artifact
from slipway.manifest import Manifest, load
from slipway.pointer import read_serving
from slipway.run import Run
from slipway.serving.loading import load_release, manifest_key, manifest_sum
from slipway.stages.release import Released, name_release, release, seal_release
from tests.support.memory_store import MemoryStore
from tests.support.releases import PASSED, a_candidate, a_run, again, an_evaluation, publish

SEED = base64.b64encode(bytes(range(32))).decode()
TRUSTED = signing.private_key(SEED).trusted


@pytest.fixture
def unsigned(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path / "scratch")


@pytest.fixture
def run(unsigned: Run, tmp_path: Path) -> Run:
    """The same collection and store with a signing key."""
    made = a_run(unsigned.store, tmp_path / "scratch", release={"signing": "key"})
    return replace(made, secrets=lambda name: {"key": SEED}[name])


def judged(run: Run, seed: int = 0, **metrics: float) -> tuple[Manifest, Manifest]:
    candidate = a_candidate(run, seed)
    return candidate, an_evaluation(run, candidate, **metrics)


def put_live(run: Run, made: tuple[Manifest, Manifest]) -> Released:
    return release(run, *made, PASSED, read_serving(run.store)[0].generation, "tester", "because")


def edit(run: Run, release_id: str, change: Callable[[dict[str, Any]], object], in_serving: bool = True) -> None:
    """What somebody may do who can write to the store and has no key: alter the manifest, and serving.json with it."""
    key = manifest_key(release_id)
    raw = json.loads(run.store.read(key).body)
    change(raw)
    run.store.put(key, json.dumps(raw).encode())
    if run.store.exists(layout.signature(release_id)):
        run.store.delete(layout.signature(release_id))
    if in_serving:
        serving = json.loads(run.store.read(layout.SERVING).body)
        serving["slots"][serving["live"]]["manifest_sha256"] = manifest_sum(run.store, release_id)
        run.store.put(layout.SERVING, json.dumps(serving).encode())


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "metrics": (lambda raw: raw["facts"].update(metrics={"recall_at_10": 0.1}), r"facts\.metrics"),
    "parameters": (lambda raw: raw["facts"].update(parameters={"nprobe": 1}), r"facts\.parameters"),
    "a fact more": (lambda raw: raw["facts"].update(extra=1), r"facts\.extra"),
    "a fact less": (lambda raw: raw["facts"].pop("snapshot"), r"facts\.snapshot"),
    "collection": (lambda raw: raw["facts"].update(collection="other"), r"facts\.collection"),
    "counts": (lambda raw: raw["counts"].update(documents=39), "counts"),
    "candidate": (lambda raw: raw["inputs"].update(candidate="0" * 32), "inputs"),
    "sum of an object": (lambda raw: raw["objects"][0].update(sha256="0" * 64), "objects"),
    "an object less": (lambda raw: raw["objects"].pop(), "objects"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_live_release_is_not_signed_by_a_night_without_changes(run: Run, forgery: str) -> None:
    change, said = FORGERIES[forgery]
    made = judged(run)
    name = put_live(run, made).release_id
    edit(run, name, change)
    with pytest.raises(ReleaseRefused, match=rf"is not what this run's candidate and evaluation give: {said} differ"):
        put_live(again(run, "run-2"), made)
    assert not run.store.exists(layout.signature(name))


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_release_that_waits_to_be_adopted_is_neither_signed_nor_released(run: Run, forgery: str) -> None:
    made = judged(run)
    name = name_release(*made)
    seal_release(run, name, *made, PASSED)
    edit(run, name, FORGERIES[forgery][0], in_serving=False)
    with pytest.raises(ReleaseRefused, match="neither signed nor released"):
        put_live(again(run, "run-2"), made)
    assert not run.store.exists(layout.signature(name))
    assert read_serving(run.store)[0].generation == 0


def test_another_candidate_under_this_ones_name_is_not_released(unsigned: Run) -> None:
    made, other = judged(unsigned, 1), judged(unsigned, 5)
    seal_release(unsigned, name_release(*made), *other, PASSED)
    with pytest.raises(ReleaseRefused, match=r"facts\.candidate, facts\.snapshot, inputs, objects differ"):
        put_live(unsigned, made)
    assert read_serving(unsigned.store)[0].live_release is None


def test_what_serving_json_contradicts_is_not_signed(unsigned: Run, run: Run) -> None:
    made = judged(run)
    name = put_live(unsigned, made).release_id
    edit(run, name, lambda raw: raw["facts"].update(run_id="run-0"), in_serving=False)
    with pytest.raises(CorruptObject, match=r"has SHA-256 .*serving\.json says"):
        put_live(again(run, "run-2"), made)
    assert not run.store.exists(layout.signature(name))


def test_a_live_release_is_read_back_before_it_is_signed(unsigned: Run, run: Run) -> None:
    made = judged(run)
    name = put_live(unsigned, made).release_id
    index = load(run.store, layout.release(name)).one(artifact.INDEX).key
    body = bytearray(run.store.read(index).body)
    body[-1] ^= 1
    run.store.put(index, bytes(body))
    with pytest.raises(CorruptObject):
        put_live(again(run, "run-2"), made)
    assert not run.store.exists(layout.signature(name))


def test_what_is_compared_is_what_is_signed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody alters the manifest between the comparison and the signature: readers refuse it, and so does the run."""
    made = judged(run)
    name = name_release(*made)
    real = signing.sign

    def altered_before(store: Any, release_id: str, body: bytes, key: signing.SigningKey) -> None:
        edit(run, release_id, lambda raw: raw["facts"].update(metrics={}), in_serving=False)
        real(store, release_id, body, key)

    monkeypatch.setattr(signing, "sign", altered_before)
    with pytest.raises(SlipwayError):
        put_live(run, made)
    assert read_serving(run.store)[0].live_release is None
    with pytest.raises(SlipwayError):
        load_release(run.store, name, run.scratch / "cache", trusted=TRUSTED)


def test_a_deleted_signature_is_made_again_of_what_is_sound(run: Run) -> None:
    """As the runbook says, after the key was changed on purpose."""
    made = judged(run)
    name = put_live(run, made).release_id
    run.store.delete(layout.signature(name))
    assert put_live(again(run, "run-2"), made).released is False
    load_release(run.store, name, run.scratch / "cache", manifest_sum(run.store, name), TRUSTED)


def test_a_signed_live_release_stays_as_it_is_when_it_is_judged_anew(run: Run) -> None:
    """The golden file has changed since: its own signature vouches for it."""
    name = put_live(run, judged(run)).release_id
    body = run.store.read(layout.signature(name)).body
    assert put_live(again(run, "run-2"), judged(run, recall_at_10=0.95)).released is False
    assert run.store.read(layout.signature(name)).body == body


def test_an_unsigned_live_release_that_is_judged_anew_is_not_signed(unsigned: Run, run: Run) -> None:
    name = put_live(unsigned, judged(unsigned)).release_id
    with pytest.raises(ReleaseRefused, match=r"facts\.metrics"):
        put_live(again(run, "run-2"), judged(run, recall_at_10=0.95))
    assert not run.store.exists(layout.signature(name))


def test_without_a_key_a_night_without_changes_reads_no_manifest(unsigned: Run) -> None:
    publish(unsigned)
    made = judged(unsigned)
    del unsigned.store.calls[:]
    assert put_live(again(unsigned, "run-2"), made).released is False
    assert [key for method, key in unsigned.store.calls if method == "read"] == [layout.SERVING, layout.SERVING]


def test_what_was_refused_is_sealed_anew_once_it_is_removed(run: Run) -> None:
    made, other = judged(run, 1), judged(run, 5)
    name = name_release(*made)
    seal_release(run, name, *other, PASSED)
    with pytest.raises(ReleaseRefused, match=f"delete {manifest_key(name)} and the signature beside it"):
        put_live(run, made)
    run.store.delete(manifest_key(name))
    assert put_live(run, made).released
    load_release(run.store, name, run.scratch / "cache", trusted=TRUSTED)
