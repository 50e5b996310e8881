"""The static backend: the mean of a text's token embeddings, with NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from slipway.encoders.base import Unsuitable
from slipway.encoders.model import WEIGHTS, Model
from slipway.encoders.texts import Texts, Tokens
from slipway.errors import EncoderError

if TYPE_CHECKING:
    from slipway.encoders.base import Vectors

_TABLES = ("embedding.weight", "embeddings")  # as sentence-transformers and model2vec call it


class StaticEncoder:
    """A model whose only module is a table of token embeddings, summed and normalised.

    Raises `EncoderError` when it is of another kind, or of another dimension than configured.
    """

    backend, device, dtype = "static", "cpu", "float32"

    def __init__(self, model: Model) -> None:
        if not model.is_static:
            raise Unsuitable(f"encoder {model.encoder.name}: {model.folder} is no static model, but computes layers")
        self.fingerprint = model.fingerprint
        self.dimension = model.encoder.dimension
        self._prompts = model.encoder.prompts
        self._texts = Texts(model, special=False)
        self._table = _table(model)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of chunks: (n, dimension) float32, unit norm, but for texts without a token: zeros."""
        return self._encode(texts, self._prompts.document)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries: (n, dimension) float32, unit norm, but for texts without a token: zeros."""
        return self._encode(texts, self._prompts.query)

    def _encode(self, texts: Sequence[str], prompt: str) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start, tokens in self._texts.windows(texts, prompt):
            for place, ids in enumerate(tokens, start):
                vectors[place] = self._mean(ids)
        return vectors

    def _mean(self, ids: Tokens) -> Vectors:
        """The sum's direction, which is the mean's. Each text by itself: its numbers depend on no other text."""
        if not len(ids):
            return np.zeros(self.dimension, dtype=np.float32)
        total = self._table[ids].sum(axis=0)
        return cast("Vectors", total / max(float(np.linalg.norm(total)), 1e-12))


def _table(model: Model) -> Vectors:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = model.file(WEIGHTS)
    try:
        tables = load_file(path)
    except (OSError, SafetensorError, TypeError) as error:
        raise EncoderError(f"encoder {model.encoder.name}: {path} cannot be loaded: {error}") from error
    found = next((tables[name] for name in _TABLES if name in tables), None)
    if found is None or found.ndim != 2 or len(tables) != 1:
        raise EncoderError(
            f"encoder {model.encoder.name}: {path} holds {', '.join(sorted(tables))}, which is not one table of token "
            f"embeddings"
        )
    if found.shape[1] != model.encoder.dimension:
        raise EncoderError(
            f"encoder {model.encoder.name}: field dimension: got {model.encoder.dimension}, but the model in "
            f"{model.folder} makes vectors of dimension {found.shape[1]}"
        )
    return np.ascontiguousarray(found, dtype=np.float32)
