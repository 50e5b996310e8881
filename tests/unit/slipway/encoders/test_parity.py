"""The probes show what backends do wrong: each of these is wrong on purpose, and refused."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from slipway.encoders import parity, remembered
from slipway.encoders.batched import BatchedEncoder
from slipway.encoders.batches import Batch
from slipway.encoders.model import Model
from slipway.encoders.sentence_transformers import SentenceTransformersEncoder
from slipway.encoders.torch import TorchEngine
from slipway.errors import EncoderError
from tests.support.encoders import FakeEncoder, loaded_minilm, minilm, packaged_model

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder, Vectors

PROMPTS = {"query": "query: ", "document": "passage: "}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def reference(model: Model) -> Vectors:
    """What sentence-transformers makes of the probes, by the model that is loaded already."""
    prompts = model.encoder.prompts
    return np.vstack([encoded(prompts.document), encoded(prompts.query)])


@lru_cache(maxsize=4)
def encoded(prompt: str) -> Vectors:
    """The probes with that prompt, those of like length together."""
    texts = [prompt + text for text in parity.probes(packaged_model())]
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    parts = order[:27], order[27:]
    made = np.vstack([loaded_minilm().encode_documents([texts[row] for row in part]) for part in parts])
    return made[np.argsort(order)]


class Engine(TorchEngine):
    """The torch engine over the model that is loaded already."""

    def __init__(self) -> None:
        loaded = loaded_minilm()
        assert isinstance(loaded, SentenceTransformersEncoder)
        super().__init__(packaged_model(), "cpu", loaded=loaded.model)


class FirstToken(Engine):
    def _forward(self, batch: Batch) -> Any:
        import torch

        told = {"input_ids": torch.from_numpy(batch.ids), "attention_mask": torch.from_numpy(batch.mask)}
        return torch.nn.functional.normalize(self._model[0](told)["token_embeddings"][:, 0], dim=1)


class Unmasked(Engine):
    def _forward(self, batch: Batch) -> Any:
        return super()._forward(Batch(batch.rows, batch.ids, np.ones_like(batch.mask)))


class BrainFloat(Engine):
    """Numbers of 8 bits of precision, as some processors compute in."""

    def _forward(self, batch: Batch) -> Any:
        import torch

        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super()._forward(batch)


def refused(encoder: TextEncoder, model: Model) -> str:
    with pytest.raises(EncoderError) as told:
        parity.check(encoder, model, reference(model), parity.LEAST)
    return str(told.value)


def model_of(**changes: Any) -> Model:
    return Model(minilm(**changes), packaged_model().folder)


@pytest.mark.parametrize("changes", [{}, {"prompts": PROMPTS}])
def test_the_same_modules_in_other_batches_are_taken(changes: dict[str, Any]) -> None:
    model = model_of(**changes)
    encoder = BatchedEncoder(model, Engine())
    assert parity.check(encoder, model, reference(model), parity.LEAST) > 0.999999


@pytest.mark.parametrize("engine", [FirstToken, Unmasked])
def test_other_pooling_and_padding_that_counts_are_refused(engine: type[Engine]) -> None:
    model = model_of()
    told = refused(BatchedEncoder(model, engine()), model)
    assert "torch on cpu would change the vector space silently: cosine " in told
    assert "the least allowed is 0.9999; take another backend or dtype" in told


@pytest.mark.parametrize("length", [256, 448])
def test_another_truncation_is_refused(length: int) -> None:
    refused(BatchedEncoder(model_of(max_tokens=length), Engine()), model_of())


@pytest.mark.parametrize("prompts", [{}, {"query": "query: "}, {"query": "passage: ", "document": "query: "}])
def test_other_prompts_are_refused(prompts: dict[str, str]) -> None:
    refused(BatchedEncoder(model_of(prompts=prompts), Engine()), model_of(prompts=PROMPTS))


def test_narrow_numbers_are_told_from_wide_ones() -> None:
    model = model_of()
    cosine = parity.least_cosine(BatchedEncoder(model, BrainFloat()), model, reference(model))
    assert 0.9 < cosine < 0.99999


@pytest.mark.parametrize("spoiled", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(spoiled: float) -> None:
    model = packaged_model()

    class Spoiled(FakeEncoder):
        def encode_documents(self, texts: Sequence[str]) -> Vectors:
            made = super().encode_documents(texts)
            made[0, 7] = spoiled
            return made

    expected = np.vstack([FakeEncoder(model).encode_documents(parity.probes(model))] * 2)
    assert parity.least_cosine(FakeEncoder(model), model, expected) == pytest.approx(1)
    assert parity.least_cosine(Spoiled(model), model, expected) == -1
    assert parity.least_cosine(FakeEncoder(model), model, expected[:, :100]) == -1


def test_a_reference_of_numbers_that_are_none_lets_nothing_through(cache: Path) -> None:
    model = packaged_model()
    expected = np.vstack([FakeEncoder(model).encode_documents(parity.probes(model))] * 2)
    expected[3, 5] = np.nan
    with pytest.raises(EncoderError, match="would change the vector space silently: cosine -1"):
        parity.check(FakeEncoder(model), model, expected, parity.LEAST)

    class Damaged(FakeEncoder):
        def encode_documents(self, texts: Sequence[str]) -> Vectors:
            return np.full((len(texts), self.dimension), np.nan, dtype=np.float32)

    with pytest.raises(EncoderError, match="hold numbers that are none"):
        parity.reference(model, lambda: Damaged(model))
    first = parity.reference(model, lambda: FakeEncoder(model))
    (kept,) = cache.glob("_encoders/*/reference-*.npz")
    np.savez(kept, vectors=expected)
    np.testing.assert_array_equal(parity.reference(model, lambda: FakeEncoder(model)), first)


def test_a_text_without_a_token_may_have_no_direction() -> None:
    model = packaged_model()

    class Empty(FakeEncoder):
        def encode_documents(self, texts: Sequence[str]) -> Vectors:
            return super().encode_documents(texts) * np.array([[bool(text.strip())] for text in texts])

    expected = np.vstack([Empty(model).encode_documents(parity.probes(model))] * 2)
    assert parity.least_cosine(Empty(model), model, expected) == pytest.approx(1)
    assert parity.least_cosine(FakeEncoder(model), model, expected) == pytest.approx(0)


def test_the_reference_is_made_once_a_machine(cache: Path) -> None:
    model, made = packaged_model(), []

    def make() -> TextEncoder:
        made.append(1)
        return FakeEncoder(model)

    first = parity.reference(model, make)
    np.testing.assert_array_equal(parity.reference(model, make), first)
    assert (len(made), first.shape) == (1, (2 * len(parity.probes(model)), 384))


@pytest.mark.parametrize("spoiled", [b"", b"PK\x03\x04 cut short", b"not an archive"])
def test_a_reference_that_cannot_be_read_is_made_anew(
    cache: Path, spoiled: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    model = packaged_model()
    first = parity.reference(model, lambda: FakeEncoder(model))
    (kept,) = cache.glob("_encoders/*/reference-*.npz")
    kept.write_bytes(spoiled)
    np.testing.assert_array_equal(parity.reference(model, lambda: FakeEncoder(model)), first)
    assert "cannot be read" in caplog.text
    np.testing.assert_array_equal(np.load(kept)["vectors"], first)


def test_a_reference_of_other_vectors_is_made_anew(cache: Path) -> None:
    model = packaged_model()
    parity.reference(model, lambda: FakeEncoder(model))
    (kept,) = cache.glob("_encoders/*/reference-*.npz")
    np.savez(kept, vectors=np.zeros((3, 384), dtype=np.float32))
    assert len(parity.reference(model, lambda: FakeEncoder(model))) == 2 * len(parity.probes(model))


def test_other_versions_of_the_libraries_have_another_reference(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = packaged_model()
    parity.reference(model, lambda: FakeEncoder(model))
    monkeypatch.setattr(remembered, "versions", lambda: {"torch": "99"})
    parity.reference(model, lambda: FakeEncoder(model))
    assert len(list(cache.glob("_encoders/*/reference-*.npz"))) == 2


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "file"))
    model = packaged_model()
    with remembered.one_at_a_time(model.fingerprint):
        assert len(parity.reference(model, lambda: FakeEncoder(model)))
    assert "cannot be kept" in caplog.text and "cannot be locked" in caplog.text
