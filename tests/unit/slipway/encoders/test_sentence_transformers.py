import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway.config import Encoder
from slipway.config.collection import Embed
from slipway.encoders import load_encoder
from slipway.errors import EncoderError
from tests.support.encoders import STOCK, loaded_minilm, minilm, packaged_model

TEXTS = ["How to join two tables on a key", "merge", "日本語 🚀", "word " * 300, "The quick brown fox.", "x"]


def another(folder: Path, changed: dict[str, Any] | None = None, **fields: Any) -> Encoder:
    """The packaged model from a folder in which files stand in for its own, by name."""
    folder.mkdir()
    for path in packaged_model().folder.iterdir():
        if path.name not in (changed or {}):
            (folder / path.name).symlink_to(path)
    for name, body in (changed or {}).items():
        (folder / name).write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
    return minilm(package=None, folder=str(folder), **fields)


def test_vectors_are_of_unit_norm_and_float32() -> None:
    made = loaded_minilm().encode_documents(TEXTS)
    assert (made.shape, made.dtype) == ((len(TEXTS), 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert made.flags.c_contiguous
    assert loaded_minilm().encode_documents([]).shape == (0, 384)


def test_a_vector_does_not_depend_on_what_is_encoded_beside_it() -> None:
    together = loaded_minilm().encode_documents(TEXTS)
    alone = np.vstack([loaded_minilm().encode_documents([text]) for text in TEXTS])
    backwards = loaded_minilm().encode_documents(TEXTS[::-1])[::-1]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, backwards, atol=1e-5)


def test_near_texts_are_near() -> None:
    vectors = loaded_minilm().encode_documents(["join two tables on a key", "merge frames by column", "a fox in snow"])
    scores = vectors @ vectors[0]
    assert scores[1] > scores[2] + 0.1


def test_query_and_document_prompts_are_put_before() -> None:
    prompts = {"query": "find: ", "document": "passage: "}
    prompted = load_encoder(minilm(prompts=prompts), STOCK)
    plain = loaded_minilm()
    texts = TEXTS[:2]
    for made, prefix in ((prompted.encode_queries(texts), "find: "), (prompted.encode_documents(texts), "passage: ")):
        np.testing.assert_allclose(made, plain.encode_documents([prefix + text for text in texts]), atol=1e-5)
    np.testing.assert_array_equal(plain.encode_queries(texts), plain.encode_documents(texts))
    assert prompted.fingerprint != plain.fingerprint


def test_a_prompt_that_the_model_brings_along_is_not_used(tmp_path: Path) -> None:
    own = {"prompts": {"query": "something else entirely: "}, "default_prompt_name": "query"}
    encoder = load_encoder(another(tmp_path / "model", {"config_sentence_transformers.json": own}), STOCK)
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), loaded_minilm().encode_queries(TEXTS), atol=1e-5)


def test_texts_are_read_up_to_the_configured_length(tmp_path: Path) -> None:
    long = "word " * 13 + "volcano " * 200  # 16 tokens: [CLS], 14 words, [SEP]
    encoder = load_encoder(another(tmp_path / "model", max_tokens=16), STOCK)
    np.testing.assert_allclose(
        encoder.encode_documents([long]), loaded_minilm().encode_documents(["word " * 13 + "volcano"]), atol=1e-5
    )


def test_it_is_loaded_once_a_process() -> None:
    assert load_encoder(minilm(name="mine"), STOCK) is load_encoder(minilm(name="mine"), STOCK)
    assert (loaded_minilm().device, loaded_minilm().fingerprint) == ("cpu", packaged_model().fingerprint)


def test_bad_input_a_model_of_another_dimension() -> None:
    with pytest.raises(EncoderError, match=r"field dimension: got 300, but the model in .* of dimension 384"):
        load_encoder(minilm(dimension=300), STOCK)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"model.safetensors": b"cut short"}, id="weights"),
        pytest.param({"config.json": b"{"}, id="configuration"),
        pytest.param({"modules.json": [{"type": "no.such.module", "path": "", "idx": 0, "name": "0"}]}, id="module"),
    ],
)
def test_bad_input_a_model_that_cannot_be_loaded(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(EncoderError, match=r"encoder minilm: .* cannot be loaded"):
        load_encoder(another(tmp_path / "model", changed), STOCK)


def test_bad_input_a_device_that_is_not_there() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder(minilm(), Embed(device="cuda"))
