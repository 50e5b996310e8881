"""Texts across a change of the encoder: every release is searched with its own."""

import gc
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway import encoders as product
from slipway.config import Encoder
from slipway.encoders import Model
from slipway.encoders.base import TextEncoder
from slipway.errors import ConnectionMissing, EncoderError, InputError, ServiceDenied
from slipway.pointer import Slot
from slipway.run import Run
from slipway.serving.held import is_callers_own
from slipway.serving.reader import Reader
from tests.support.encoders import FakeEncoder, model_folder
from tests.support.memory_store import MemoryStore
from tests.support.releases import DIMENSION, a_run
from tests.support.shifts import offer, promote, sealed, take_back

PRINTS = {"old": "a" * 16, "new": "b" * 16, "absent": "c" * 16}


class Machine:
    """The models that this machine has, and which were loaded."""

    def __init__(self) -> None:
        self.names = ["old", "new"]
        self.loaded: list[str] = []
        self.alive: weakref.WeakSet[TextEncoder] = weakref.WeakSet()

    def load_encoder(self, encoder: Encoder, fingerprint: str | None = None, secrets: object = None) -> TextEncoder:
        if encoder.name not in self.names:
            raise EncoderError(f"encoder {encoder.name} is not on this machine")
        self.loaded.append(encoder.name)
        described: Any = type("Described", (), {"fingerprint": PRINTS[encoder.name], "encoder": encoder})
        made = FakeEncoder(described)
        self.alive.add(made)
        return made


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr("slipway.encoders.load_encoder", made.load_encoder)
    return made


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = a_run(MemoryStore(), tmp_path / "scratch")
    promote(made.store, built_by(made, "old", 1))
    return made


def built_by(run: Run, name: str, seed: int) -> Slot:
    """A release whose passages were embedded by that encoder."""
    encoder = {"name": name, "folder": "/model", "dimension": DIMENSION, "max_tokens": 256}
    other = a_run(run.store, run.scratch, encoder=encoder)
    return sealed(other, seed, encoder=PRINTS[name])


def seed_of(reader: Reader, text: str = "words", key: str | None = None) -> str:
    return reader.search(text, key=key)[0].document_id.split("-")[0]


def test_a_new_model_is_loaded_before_the_swap_and_no_text_fails(run: Run, machine: Machine, tmp_path: Path) -> None:
    reader = Reader(run.store, tmp_path / "cache")
    assert (seed_of(reader), machine.loaded) == ("seed1", ["old"])
    promote(run.store, built_by(run, "new", 2))
    reader.poll()
    assert machine.loaded == ["old", "new"]
    machine.names = []  # nothing more is needed
    assert seed_of(reader) == "seed2"


def test_no_queries_need_no_model_and_count_for_nothing(run: Run, machine: Machine, tmp_path: Path) -> None:
    reader = Reader(run.store, tmp_path / "cache")
    assert reader.search_batch([]) == []
    assert reader.search_batch(np.empty((0, DIMENSION), np.float32)) == []
    assert machine.loaded == []
    assert not reader._served().live.is_ready_for_text
    metrics = reader.metrics().releases[0]
    assert (metrics.queries, metrics.p50_ms) == (0, None)
    with pytest.raises(InputError):
        reader.search_batch([], k=0)


def test_releases_of_one_model_share_it(run: Run, machine: Machine, tmp_path: Path) -> None:
    reader = Reader(run.store, tmp_path / "cache")
    seed_of(reader)
    for seed in (2, 3):
        promote(run.store, built_by(run, "old", seed))
        reader.poll()
        assert seed_of(reader) == f"seed{seed}"
    assert machine.loaded == ["old"]


def test_a_model_goes_with_its_last_release(run: Run, machine: Machine, tmp_path: Path) -> None:
    reader = Reader(run.store, tmp_path / "cache")
    seed_of(reader)
    promote(run.store, built_by(run, "new", 2))
    reader.poll()
    gc.collect()
    assert [encoder.fingerprint for encoder in machine.alive] == [PRINTS["new"]]


def test_during_a_shift_each_text_is_encoded_by_the_model_of_the_release_that_answers(
    run: Run, machine: Machine, tmp_path: Path
) -> None:
    reader = Reader(run.store, tmp_path / "cache")
    seed_of(reader)
    offer(run.store, built_by(run, "new", 2), 50)
    reader.poll()
    answers = {seed_of(reader, f"text {number}") for number in range(40)}
    assert answers == {"seed1", "seed2"}
    assert [one.errors for one in reader.metrics().releases] == [0, 0]


def test_a_trial_whose_model_is_missing_is_refused_once_texts_are_searched(
    run: Run, machine: Machine, tmp_path: Path
) -> None:
    reader = Reader(run.store, tmp_path / "cache")
    absent = built_by(run, "absent", 2)
    offer(run.store, absent, 100)
    reader.poll()
    assert reader.trial is not None  # vectors can be searched in it
    assert seed_of(reader) == "seed1"  # the live release answers the text that the trial cannot
    assert reader.metrics().releases[1].errors == 1
    promote(run.store, absent)
    reader.poll()
    assert (reader.trial, seed_of(reader)) == (None, "seed1")
    assert "is not on this machine" in reader.metrics().refused[0].why
    machine.names.append("absent")
    assert reader.refresh()
    assert seed_of(reader) == "seed2"


def test_a_trial_without_its_model_comes_back_with_it(run: Run, machine: Machine, tmp_path: Path) -> None:
    reader = Reader(run.store, tmp_path / "cache")
    seed_of(reader)
    offer(run.store, built_by(run, "absent", 2), 100)
    reader.poll()
    assert reader.trial is None
    take_back(run.store)
    reader.poll()
    assert reader.metrics().refused == ()


@pytest.mark.parametrize("error", [EncoderError("the model is missing"), ServiceDenied("status 401")])
def test_an_encoders_error_is_not_the_callers_own(error: Exception) -> None:
    assert not is_callers_own(error)


def test_a_trial_whose_service_denies_fails_no_search_and_is_counted(
    run: Run, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(run.store, tmp_path / "cache")
    seed_of(reader)
    offer(run.store, built_by(run, "new", 2), 100)
    reader.poll()

    denying = [PRINTS["new"]]

    def denied(encoder: FakeEncoder, texts: Sequence[str]) -> np.ndarray:
        if encoder.fingerprint in denying:
            raise ServiceDenied("status 401: bad key")
        return encode(encoder, texts)

    encode = FakeEncoder.encode_queries
    monkeypatch.setattr(FakeEncoder, "encode_queries", denied)
    assert seed_of(reader) == "seed1"
    live, trial = reader.metrics().releases
    assert (live.errors, trial.errors) == (0, 1)
    assert "status 401" in str(trial.last_error)
    denying.append(PRINTS["old"])
    with pytest.raises(ServiceDenied):
        reader.search("words")
    assert [one.errors for one in reader.metrics().releases] == [1, 2]


def test_a_connection_that_is_missing_here_is_the_releases_trouble(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_encoder(*_: object, **__: object) -> TextEncoder:
        raise ConnectionMissing("there is no connection 'tei'")

    monkeypatch.setattr("slipway.encoders.load_encoder", load_encoder)
    reader = Reader(run.store, tmp_path / "cache")
    with pytest.raises(EncoderError, match="encoder old cannot be used here: there is no connection 'tei'"):
        reader.search("words")
    assert reader.metrics().releases[0].errors == 1


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The fingerprints of the models that were loaded from their folders."""
    found: list[str] = []

    def load(model: Model, *_: object) -> FakeEncoder:
        found.append(model.fingerprint)
        return FakeEncoder(model)

    monkeypatch.setattr("slipway.encoders.candidates.SentenceTransformersEncoder", load)
    product._load.cache_clear()
    yield found
    product._load.cache_clear()


def test_a_model_that_was_replaced_on_this_machine_is_loaded_anew_when_its_print_is_asked_for(
    tmp_path: Path, loads: list[str]
) -> None:
    folder = model_folder(tmp_path / "model")
    encoder = Encoder(name="mine", folder=str(folder), dimension=4, max_tokens=16)
    before = product.load_encoder(encoder)
    (folder / "model.safetensors").write_bytes(b"other weights")
    after = product.find_model(encoder).fingerprint
    assert product.load_encoder(encoder) is before
    assert product.load_encoder(encoder, fingerprint=before.fingerprint) is before
    assert product.load_encoder(encoder, fingerprint="0" * 16) is before  # which the files do not have either
    assert product.load_encoder(encoder, fingerprint=after).fingerprint == after
    assert loads == [before.fingerprint, after]
