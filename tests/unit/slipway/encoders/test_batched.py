"""Batching over an engine that is a fake: it makes a vector from a text's ids, and runs out of memory when told so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from slipway.encoders.batched import BatchedEncoder, is_out_of_memory
from slipway.encoders.batches import Batch
from slipway.encoders.model import Model
from slipway.encoders.texts import WINDOW
from slipway.errors import EncoderError
from tests.support.encoders import minilm, packaged_model

if TYPE_CHECKING:
    from slipway.encoders.base import Vectors

WORDS = ["alpha", "beta", "gamma", "delta", "red", "blue", "join", "table"]


class FakeEngine:
    """Vectors of two numbers from a text's ids. A batch of more than `room` tokens, padding included, does not fit."""

    backend, device, dtype, batch_tokens = "fake", "cpu", "float32", 256

    def __init__(self, room: float = float("inf"), error: Exception | None = None) -> None:
        self.room = room
        self.error = error or RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.batches: list[tuple[int, int]] = []

    def run(self, batches: Sequence[Batch], put: Callable[[Batch, Vectors], None]) -> None:
        for batch in batches:
            if batch.ids.size > self.room:
                raise self.error
            self.batches.append((batch.ids.shape[0], batch.ids.shape[1]))
            put(batch, self.vectors(batch))

    @staticmethod
    def vectors(batch: Batch) -> Vectors:
        angles = (batch.ids * batch.mask * np.arange(1, batch.ids.shape[1] + 1)).sum(axis=1) % 997
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def model() -> Model:
    return Model(minilm(dimension=2, max_tokens=64, prompts={"query": "find: "}), packaged_model().folder)


def some_texts(count: int, longest: int = 40) -> list[str]:
    drawn = np.random.default_rng(5)
    return [" ".join(drawn.choice(WORDS, drawn.integers(1, longest))) + f" {number}" for number in range(count)]


def one_by_one(model: Model, texts: Sequence[str]) -> Vectors:
    return np.vstack([BatchedEncoder(model, FakeEngine()).encode_documents([text]) for text in texts])


def test_vectors_come_in_the_callers_order_whatever_is_batched(model: Model) -> None:
    texts = some_texts(100)
    engine = FakeEngine()
    np.testing.assert_array_equal(BatchedEncoder(model, engine).encode_documents(texts), one_by_one(model, texts))
    assert len(engine.batches) > 5
    assert all(texts_ == 1 or texts_ * length <= 256 for texts_, length in engine.batches)


def test_equal_texts_are_computed_once(model: Model) -> None:
    engine = FakeEngine()
    made = BatchedEncoder(model, engine).encode_documents(["a", "b", "a", "a", "b"])
    assert sum(count for count, _ in engine.batches) == 2
    np.testing.assert_array_equal(made, one_by_one(model, ["a", "b", "a", "a", "b"]))


def test_more_texts_than_are_tokenised_at_once(model: Model) -> None:
    texts = some_texts(2 * WINDOW + 3, longest=3)
    made = BatchedEncoder(model, FakeEngine()).encode_documents(texts)
    for row in (0, WINDOW - 1, WINDOW, 2 * WINDOW, 2 * WINDOW + 2):
        np.testing.assert_array_equal(made[row], one_by_one(model, [texts[row]])[0])


def test_no_texts_are_no_vectors(model: Model) -> None:
    assert BatchedEncoder(model, FakeEngine()).encode_documents([]).shape == (0, 2)


def test_the_prompt_counts_and_a_text_is_cut_at_the_models_length(model: Model) -> None:
    engine = FakeEngine()
    encoder = BatchedEncoder(model, engine)
    encoder.encode_documents(["join " * 500])
    encoder.encode_documents(["join"])
    encoder.encode_queries(["join"])
    assert [length for _, length in engine.batches] == [64, 3, 5]


def test_batches_get_smaller_when_the_device_runs_out_and_stay_so(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    texts, engine = some_texts(80), FakeEngine(room=100)
    encoder = BatchedEncoder(model, engine)
    with caplog.at_level(logging.WARNING, "slipway"):
        np.testing.assert_array_equal(encoder.encode_documents(texts), one_by_one(model, texts))
    assert encoder.batch_tokens == 64
    assert [record.getMessage() for record in caplog.records] == [
        "encoder minilm: cpu ran out of memory in batches of 256 tokens; going on with 128",
        "encoder minilm: cpu ran out of memory in batches of 128 tokens; going on with 64",
    ]
    caplog.clear()
    encoder.encode_documents(texts)
    assert not caplog.records


def test_what_was_computed_before_the_device_ran_out_is_not_computed_again(model: Model) -> None:
    texts, engine = some_texts(60), FakeEngine()

    class Later(FakeEngine):
        def run(self, batches: Sequence[Batch], put: Callable[[Batch, Vectors], None]) -> None:
            if len(self.batches) == 0:
                super().run(batches[:2], put)
                raise MemoryError
            super().run(batches, put)

    engine = Later()
    BatchedEncoder(model, engine).encode_documents(texts)
    assert sum(count for count, _ in engine.batches) == len(texts)


def test_bad_input_one_text_that_does_not_fit(model: Model) -> None:
    with pytest.raises(EncoderError, match=r"one text does not fit the memory of cpu \(CUDA out of"):
        BatchedEncoder(model, FakeEngine(room=30)).encode_documents(["join " * 500, "short"])


def test_other_errors_are_not_taken_for_memory(model: Model) -> None:
    engine = FakeEngine(room=0, error=RuntimeError("the driver was reset"))
    with pytest.raises(RuntimeError, match="the driver was reset"):
        BatchedEncoder(model, engine).encode_documents(["short", "another"])


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_what_libraries_say_when_memory_is_used_up(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) == is_memory


def test_bad_input_a_model_of_another_dimension() -> None:
    model = Model(minilm(dimension=3), packaged_model().folder)
    with pytest.raises(EncoderError, match=r"field dimension: got 3, but the model makes vectors of dimension 2"):
        BatchedEncoder(model, FakeEngine()).encode_documents(["a"])


def test_it_may_be_asked_from_several_threads(model: Model) -> None:
    texts = some_texts(60)
    encoder, made = BatchedEncoder(model, FakeEngine(room=100)), {}

    def encode(number: int) -> None:
        made[number] = encoder.encode_documents(texts)

    threads = [threading.Thread(target=encode, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        np.testing.assert_array_equal(made[number], one_by_one(model, texts))
