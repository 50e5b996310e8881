"""The static backend against sentence-transformers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from slipway.config import Encoder
from slipway.encoders import find_model, load_encoder
from slipway.encoders.model import WEIGHTS, Model
from slipway.encoders.parity import PROBES
from slipway.encoders.static import StaticEncoder
from slipway.errors import EncoderError
from slipway_demo.static import static_model
from tests.support.encoders import STOCK, packaged_model

PROMPTS = {"query": "find: ", "document": "passage: "}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.model_validate(static_model(tmp_path_factory.mktemp("static") / "model", 32))


def copied(described: Encoder, folder: Path) -> Model:
    shutil.copytree(described.folder or "", folder)
    return find_model(described.model_copy(update={"folder": str(folder)}))


@pytest.mark.parametrize("changes", [{}, {"prompts": PROMPTS}, {"max_tokens": 16}])
def test_it_makes_what_sentence_transformers_makes(described: Encoder, changes: dict[str, object]) -> None:
    encoder = Encoder.model_validate(described.model_dump() | changes)
    stock, ours = load_encoder(encoder, STOCK), StaticEncoder(find_model(encoder))
    texts = [*PROBES, "word " * 20 + "volcano"]
    np.testing.assert_allclose(ours.encode_documents(texts), stock.encode_documents(texts), atol=1e-6)
    np.testing.assert_allclose(ours.encode_queries(texts), stock.encode_queries(texts), atol=1e-6)


def test_a_vector_is_the_same_to_the_bit_whatever_is_encoded_beside_it(described: Encoder) -> None:
    encoder = StaticEncoder(find_model(described))
    alone = np.vstack([encoder.encode_documents([text]) for text in PROBES])
    np.testing.assert_array_equal(encoder.encode_documents(PROBES), alone)
    assert encoder.encode_documents([]).shape == (0, 32)


def test_bad_input_a_model_with_layers() -> None:
    with pytest.raises(EncoderError, match="is no static model, but computes layers"):
        StaticEncoder(packaged_model())


def test_bad_input_another_dimension(described: Encoder, tmp_path: Path) -> None:
    model = copied(described, tmp_path / "model")
    with pytest.raises(EncoderError, match=r"field dimension: got 16, but the model in .* of dimension 32"):
        StaticEncoder(Model(described.model_copy(update={"dimension": 16}), model.folder))


def test_bad_input_weights_that_are_no_table(described: Encoder, tmp_path: Path) -> None:
    model = copied(described, tmp_path / "model")
    table = np.zeros((8, 32), dtype=np.float32)
    save_file({"embedding.weight": table, "weights": table[:, 0].copy()}, model.file(WEIGHTS))
    with pytest.raises(EncoderError, match=r"holds embedding\.weight, weights, which is not one table"):
        StaticEncoder(model)
    model.file(WEIGHTS).write_bytes(b"cut short")
    with pytest.raises(EncoderError, match=r"model.safetensors cannot be loaded"):
        StaticEncoder(model)


@pytest.mark.parametrize(
    ("kinds", "static"),
    [
        (["a.StaticEmbedding"], True),
        (["a.StaticEmbedding", "b.Normalize"], True),
        (["a.StaticEmbedding", "b.Dense"], False),
        (["a.Transformer", "b.Pooling"], False),
    ],
)
def test_static_is_what_has_only_a_table(described: Encoder, tmp_path: Path, kinds: list[str], static: bool) -> None:
    model = copied(described, tmp_path / "model")
    (model.folder / "modules.json").write_text(json.dumps([{"type": kind} for kind in kinds]))
    assert model.is_static == static
