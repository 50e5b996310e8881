"""Static models, which average token embeddings: they load, cut texts, and give the same numbers every time."""

from pathlib import Path

import numpy as np
import pytest

from slipway.config import Encoder
from slipway.encoders import find_model, load_encoder
from slipway.encoders.base import TextEncoder
from slipway_demo.static import static_model
from tests.support.encoders import STOCK

TEXTS = ["How to join two tables on a key", "merge", "日本語 🚀", "word " * 300, "The quick brown fox.", "x"]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.model_validate(static_model(tmp_path_factory.mktemp("static") / "model", 32))


@pytest.fixture(scope="module")
def encoder(described: Encoder) -> TextEncoder:
    return load_encoder(described, STOCK)


def test_vectors_are_of_unit_norm_and_of_the_dimension(encoder: TextEncoder) -> None:
    made = encoder.encode_documents(TEXTS)
    assert (made.shape, made.dtype) == ((len(TEXTS), 32), np.float32)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)


def test_a_vector_is_the_same_to_the_bit_whatever_is_encoded_beside_it(encoder: TextEncoder) -> None:
    alone = np.vstack([encoder.encode_documents([text]) for text in TEXTS])
    np.testing.assert_array_equal(encoder.encode_documents(TEXTS), alone)


def test_texts_that_share_words_are_near(encoder: TextEncoder) -> None:
    vectors = encoder.encode_documents(["join two tables on a key", "joining tables by a key", "a fox in the snow"])
    scores = vectors @ vectors[0]
    assert scores[1] > scores[2] + 0.1


def test_max_tokens_cuts_a_text(described: Encoder) -> None:
    short = load_encoder(described.model_copy(update={"max_tokens": 16}), STOCK)
    whole, cut, longer = short.encode_documents(["word " * 16, "word " * 16 + "zebra " * 50, "zebra " * 50])
    np.testing.assert_array_equal(whole, cut)
    assert abs(whole @ longer) < 0.9


def test_the_same_model_is_written_every_time(described: Encoder, tmp_path: Path) -> None:
    again = Encoder.model_validate(static_model(tmp_path / "again", 32))
    assert find_model(again).fingerprint == find_model(described).fingerprint
    other = Encoder.model_validate(static_model(tmp_path / "other", 16))
    assert find_model(other).fingerprint != find_model(described).fingerprint


def test_a_model_that_is_there_is_not_written_again(described: Encoder) -> None:
    weights = next(Path(described.folder or "").glob("*/model.safetensors"))
    before = weights.stat().st_mtime_ns
    static_model(Path(described.folder or ""), 32)
    assert weights.stat().st_mtime_ns == before
