"""Encoder parity: the model here against the vectors that the live release was built with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from slipway.config import Encoder
from slipway.doctor import Outcome, Status, encoder, examine, room
from slipway.errors import EncoderError, UntrustedRelease
from slipway.index import artifact
from slipway.manifest import Manifest
from slipway.pointer import read_serving
from slipway.reindex import Answer, run_campaign
from slipway.run import Run
from slipway.signing import PUBLIC_KEY, new_key
from slipway.stages.release import release
from tests.support.campaigns import TEXTS as TEXTS_OF_PAPERS
from tests.support.campaigns import a_project, asked
from tests.support.memory_store import MemoryStore
from tests.support.releases import DIMENSION, PASSED, a_candidate, a_run, an_evaluation

Vectors = npt.NDArray[np.float32]
TEXTS = ["how to join", "an index by time"]


class Probe:
    """An encoder whose vectors come from the texts' lengths; `change` spoils them."""

    fingerprint, device, dimension, backend = "f" * 16, "cpu", DIMENSION, "fake"
    calls = 0

    def __init__(self, change: Any = lambda vectors, calls: vectors) -> None:
        self.change = change

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        drawn = np.stack([np.random.default_rng(len(text)).normal(size=DIMENSION) for text in texts])
        unit = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        return self.change(unit, self.calls)

    encode_documents = encode_queries


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path)


def looked_at(run: Run, model: Probe, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    monkeypatch.setattr(encoder, "load_encoder", lambda *_, **__: model)
    return encoder.parity(run)


def put_live(run: Run, fingerprint: str = Probe.fingerprint, texts: Sequence[str] | None = TEXTS) -> str:
    """A live release whose smoke queries are those texts, as `Probe` encodes them."""
    candidate = a_candidate(run, encoder=fingerprint)
    vectors = Probe().encode_queries(TEXTS)
    evaluation = _with_texts(run, an_evaluation(run, candidate, vectors), texts)
    return release(run, candidate, evaluation, PASSED, read_serving(run.store)[0].generation, "t", "w").release_id


def _with_texts(run: Run, evaluation: Manifest, texts: Sequence[str] | None) -> Manifest:
    smoke = evaluation.one(artifact.SMOKE)
    queries = json.loads(run.store.read(smoke.key).body)
    for number, query in enumerate(queries):
        query["text"] = texts[number] if texts else None
    body = json.dumps(queries).encode()
    run.store.put(smoke.key, body)
    sealed = replace(smoke, sha256=hashlib.sha256(body).hexdigest(), size_bytes=len(body))
    return replace(evaluation, objects=tuple(sealed if one == smoke else one for one in evaluation.objects))


def test_without_a_release_the_model_is_probed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked_at(run, Probe(), monkeypatch)
    assert (found.status, "unit vectors of 16 numbers" in found.found) == (Status.PASS, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda vectors, _: vectors[:, :8], "makes vectors of 8 numbers, configured are 16"),
        (lambda vectors, _: vectors * 2, "not of length 1"),
        (lambda vectors, calls: vectors if calls == 1 else vectors[::-1], "gives one text two vectors"),
        (lambda vectors, calls: vectors if calls == 1 else vectors * np.nan, "gives one text two vectors"),
        (lambda vectors, _: vectors * np.nan, "not of length 1"),
    ],
)
def test_a_model_that_is_not_sound_fails(run: Run, change: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked_at(run, Probe(change), monkeypatch)
    assert (found.status, said in found.found) == (Status.FAIL, True), found


def test_the_live_releases_vectors_are_made_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    put_live(run)
    found = looked_at(run, Probe(), monkeypatch)
    assert (found.status, "on 2 smoke queries" in found.found) == (Status.PASS, True), found


def test_vectors_that_differ_fail_and_name_both_fingerprints(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = put_live(run)
    found = looked_at(run, Probe(lambda vectors, _: np.roll(vectors, 1, axis=1)), monkeypatch)
    assert found.status is Status.FAIL
    assert f"release {made} was built by {'f' * 16}, the model here is {'f' * 16}" in found.found
    assert "cosine" in found.found


def test_numbers_that_are_none_differ(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    put_live(run)
    found = looked_at(run, Probe(lambda vectors, calls: vectors if calls <= 2 else vectors * np.nan), monkeypatch)
    assert (found.status, "cosine -1.0000" in found.found) == (Status.FAIL, True), found


def test_another_models_fingerprint_fails_and_both_are_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    put_live(run, "e" * 16)
    found = looked_at(run, Probe(), monkeypatch)
    assert found.status is Status.FAIL
    assert "e" * 16 in found.found and "f" * 16 in found.found and "slipway reindex" in found.todo


def test_a_release_that_is_not_trusted_here_is_not_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    put_live(run)
    monkeypatch.setenv(PUBLIC_KEY, new_key()[1].public_text)
    for look in (lambda: looked_at(run, Probe(), monkeypatch), lambda: room.need_of(run)):
        with pytest.raises(UntrustedRelease):
            look()


def test_smoke_queries_without_texts_leave_the_fingerprint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    put_live(run, texts=None)
    found = looked_at(run, Probe(), monkeypatch)
    assert (found.status, "no text" in found.found) == (Status.PASS, True)


def test_a_model_that_is_not_here_fails(run: Run) -> None:
    """The collection of these tests names a folder that does not exist."""
    found = examine("encoder", "test", lambda: encoder.parity(run))
    assert (found.status, found.found.startswith(EncoderError.__name__)) == (Status.FAIL, True)
    assert isinstance(run.collection.encoder, Encoder)


def test_after_an_upgrade_the_live_release_is_held_to_the_encoder_that_nights_build_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = a_project(tmp_path, MemoryStore(), monkeypatch)
    project.write(golden={"queries": str(project.judge(TEXTS_OF_PAPERS))})
    project.night("night-1")
    ask = Answer(True, "ann", "as measured")
    run_campaign(project.run("campaign"), asked(), project.collections, lambda made, judged: ask)
    found = encoder.parity(project.run("doctor"))
    assert found.status is Status.PASS, found
