"""When a process's encoders are dropped, and that dropping them gives the memory back."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from slipway import encoders
from slipway.encoders import find_model, recycling
from slipway.encoders.recycling import Watch
from tests.support.encoders import FakeEncoder, minilm, packaged_model

MIB = 2**20


class Leaking(FakeEncoder):
    """A fake that keeps 8 MiB for every call, as a runtime that leaks would."""

    def encode_documents(self, texts):  # type: ignore[no-untyped-def]
        self.kept = [*getattr(self, "kept", []), np.ones(MIB)]
        return super().encode_documents(texts)


@pytest.fixture
def leaking(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Leaking]]:
    """The leaking encoders that were loaded, as `load_encoder` loads and keeps them, instead of real ones."""
    made: list[weakref.ref[Leaking]] = []

    def load(*_: object) -> Leaking:
        encoder = Leaking(packaged_model())
        made.append(weakref.ref(encoder))
        return encoder

    kept: list[Leaking] = []
    monkeypatch.setattr(encoders, "load_encoder", lambda *_: kept[0] if kept else kept.append(load()) or kept[0])
    monkeypatch.setattr(recycling, "forget", kept.clear)
    return made


def test_an_encoder_that_leaks_is_loaded_anew_and_its_memory_is_given_back(
    leaking: list[weakref.ref[Leaking]],
) -> None:
    watch = Watch(growth=60 * MIB)
    dropped = []
    for _ in range(21):
        encoders.load_encoder(minilm()).encode_documents(["text"])
        dropped.append(watch.after_group())
    assert len(leaking) == dropped.count(True) + 1 >= 2
    gc.collect()
    assert [one() for one in leaking[:-1]] == [None] * (len(leaking) - 1)


def test_the_bound_is_on_the_growth_since_the_first_group_after_loading() -> None:
    told = iter([100, 160, 200, 201, 130, 120, 220, 221, 100])
    drops: list[None] = []
    watch = Watch(growth=100, memory=lambda: next(told), drop=lambda: drops.append(None))
    assert [watch.after_group() for _ in range(7)] == [False, False, False, True, False, False, True]
    assert len(drops) == 2


def test_memory_that_grows_is_seen_and_mapped_files_are_not(tmp_path: Path) -> None:
    before = recycling.own_memory()
    block = np.ones(8 * MIB)
    assert recycling.own_memory() - before > 48 * MIB
    np.save(tmp_path / "vectors.npy", block)
    del block
    recycling.drop_encoders()
    between = recycling.own_memory()
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    assert mapped.sum() == 8 * MIB
    assert recycling.own_memory() - between < 32 * MIB


def test_a_forgotten_encoder_is_loaded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    monkeypatch.setattr(
        "slipway.encoders.sentence_transformers.SentenceTransformersEncoder",
        lambda model, device: loads.append(1) or FakeEncoder(find_model(model.encoder)),
    )
    described = minilm(name="to be forgotten")
    for _ in range(2):
        encoders.load_encoder(described)
    encoders.forget()
    encoders.load_encoder(described)
    encoders.forget()
    assert len(loads) == 2
