"""An encoder over an engine: equal texts once, batches by a budget of tokens, and memory that adapts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from slipway.encoders.batches import Batch, cut, padded
from slipway.encoders.model import Model
from slipway.encoders.texts import Texts, Tokens
from slipway.errors import EncoderError

if TYPE_CHECKING:
    from slipway.encoders.base import Engine, Vectors

logger = logging.getLogger("slipway")

_OUT_OF_MEMORY = ("out of memory", "can't allocate", "cannot allocate", "failed to allocate", "bad_alloc")


class BatchedEncoder:
    """A model computed by an engine. `batch_tokens` is of one batch, padding included; None: what suits the engine."""

    def __init__(self, model: Model, engine: Engine, batch_tokens: int | None = None) -> None:
        self.fingerprint = model.fingerprint
        self.dimension = model.encoder.dimension
        self.device, self.backend, self.dtype = engine.device, engine.backend, engine.dtype
        self._name = model.encoder.name
        self._prompts = model.encoder.prompts
        self._texts = Texts(model)
        self._engine = engine
        self._budget = batch_tokens or engine.batch_tokens
        self._lock = threading.Lock()

    @property
    def batch_tokens(self) -> int:
        """Tokens of one batch now: less than at first when the device ran out of memory."""
        return self._budget

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of chunks: (n, dimension) float32, unit norm. Raises `EncoderError` when a text does not fit."""
        return self._encode(texts, self._prompts.document)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries: (n, dimension) float32, unit norm. Raises as `encode_documents`."""
        return self._encode(texts, self._prompts.query)

    def _encode(self, texts: Sequence[str], prompt: str) -> Vectors:
        places: dict[str, int] = {}
        of = [places.setdefault(text, len(places)) for text in texts]
        vectors = np.empty((len(places), self.dimension), dtype=np.float32)
        for start, tokens in self._texts.windows(list(places), prompt):
            self._compute(tokens, vectors[start : start + len(tokens)])
        return vectors if len(places) == len(of) else vectors[of]

    def _compute(self, tokens: list[Tokens], vectors: Vectors) -> None:
        """Fill `vectors`, (texts, dimension), in batches that get smaller as long as the device runs out of memory."""
        pending = np.ones(len(tokens), dtype=bool)

        def put(batch: Batch, made: Vectors) -> None:
            if made.shape[1] != self.dimension:
                raise EncoderError(
                    f"encoder {self._name}: field dimension: got {self.dimension}, but the model makes vectors of "
                    f"dimension {made.shape[1]}"
                )
            vectors[batch.rows] = made
            pending[batch.rows] = False

        while pending.any():
            left, budget = np.flatnonzero(pending), self._budget
            groups = cut([len(tokens[row]) for row in left], budget)
            try:
                self._engine.run([padded(left[group], tokens, self._texts.pad) for group in groups], put)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if all(len(group) == 1 for group in groups):
                    raise EncoderError(
                        f"encoder {self._name}: one text does not fit the memory of {self.device} ({error}); free some "
                        f"memory there, use a larger device, or lower max_tokens"
                    ) from error
                self._shrink(budget)

    def _shrink(self, tried: int) -> None:
        """Halve the budget for what this process still encodes, unless another thread has done so."""
        with self._lock:
            self._budget = min(self._budget, tried // 2)
        logger.warning(
            "encoder %s: %s ran out of memory in batches of %d tokens; going on with %d",
            self._name, self.device, tried, self._budget,
        )  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library says that a device's memory is used up; each has its own words for it."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(one in words for one in _OUT_OF_MEMORY)
