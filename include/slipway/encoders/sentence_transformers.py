"""The sentence-transformers backend: the reference that defines what an encoder's vectors are."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from slipway.encoders.base import Unsuitable
from slipway.encoders.model import Model
from slipway.errors import EncoderError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from slipway.encoders.base import Vectors

BATCH_SIZE = 32


def is_installed() -> bool:
    """Whether sentence-transformers and torch can be imported, found out without doing so."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "sentence_transformers"))


def open_model(model: Model, device: str = "auto", dtype: str = "float32") -> SentenceTransformer:
    """The model as sentence-transformers loads it, reading the configured number of tokens, its numbers in `dtype`.

    `device` is "auto", "cpu", "cuda" or "mps". Raises `EncoderError` when the model cannot be loaded.
    """
    try:
        import torch
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise Unsuitable(
            f"encoder {model.encoder.name}: sentence-transformers is not installed here ({error}); install it with "
            f"torch, as requirements.txt pins them, or search by vector"
        ) from error

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # noise in a task's log
    try:
        loaded = SentenceTransformer(
            str(model.folder),
            device=None if device == "auto" else device,
            local_files_only=True,
            trust_remote_code=False,
        )
        loaded.to(getattr(torch, dtype))
    except (OSError, ValueError, RuntimeError, KeyError, AssertionError, SafetensorError) as error:
        # AssertionError: torch's, for a device that it was not built for
        raise EncoderError(f"encoder {model.encoder.name}: {model.folder} cannot be loaded: {error}") from error
    _limit_tokens(loaded, model.encoder.max_tokens)
    return loaded.eval()


class SentenceTransformersEncoder:
    """A model computed by sentence-transformers itself, in its own batches, on a GPU where there is one.

    `device` is "auto", "cpu", "cuda" or "mps". Raises `EncoderError` when the model cannot be loaded or makes
    vectors of another dimension than configured.
    """

    backend = "sentence-transformers"

    def __init__(self, model: Model, device: str = "auto", dtype: str = "float32") -> None:
        self.fingerprint = model.fingerprint
        self.dimension = model.encoder.dimension
        self.dtype = dtype
        self._prompts = model.encoder.prompts
        self.model = open_model(model, device, dtype)
        self.device = str(self.model.device)
        actual = self._encode(["dimension"], "").shape[1]
        if actual != self.dimension:
            raise EncoderError(
                f"encoder {model.encoder.name}: field dimension: got {self.dimension}, but the model in {model.folder} "
                f"makes vectors of dimension {actual}"
            )

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of chunks: (n, dimension) float32, unit norm."""
        return self._encode(texts, self._prompts.document)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries: (n, dimension) float32, unit norm."""
        return self._encode(texts, self._prompts.query)

    def _encode(self, texts: Sequence[str], prompt: str) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = self.model.encode(
            list(texts),
            prompt=prompt,  # also an empty one: None would take the model's own default
            batch_size=BATCH_SIZE,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return cast("Vectors", np.ascontiguousarray(vectors, dtype=np.float32))


def _limit_tokens(model: SentenceTransformer, most: int) -> None:
    """Let the model read at most so many tokens of a text.

    A static model, which averages token embeddings, has no length to set: its tokenizer cuts.
    """
    if model.max_seq_length == math.inf:
        model.tokenizer.enable_truncation(most)
    else:
        model.max_seq_length = most
