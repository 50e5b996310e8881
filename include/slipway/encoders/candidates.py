"""What could compute an encoder's vectors on this machine, in the order of the speed that is expected of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, get_args

from slipway.config.collection import Embed
from slipway.encoders import openvino, parity, remembered
from slipway.encoders.batched import BatchedEncoder
from slipway.encoders.model import Model
from slipway.encoders.openvino import OpenVinoEngine
from slipway.encoders.sentence_transformers import SentenceTransformersEncoder
from slipway.encoders.static import StaticEncoder
from slipway.encoders.torch import TorchEngine
from slipway.errors import EncoderError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from slipway.encoders.base import TextEncoder

FULL = "float32"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a collection and the environment decide, or leave open: see slipway.config.collection.Embed."""

    device: str = "auto"
    backend: str = "auto"
    dtype: str = "auto"
    batch_tokens: int | None = None

    @classmethod
    def of(cls, embed: Embed | None, backend: str | None) -> Wanted:
        """From a collection's settings, None for the defaults, and a `backend` for where they leave it open.

        Raises `EncoderError` when there is no such backend.
        """
        settings = embed or Embed()
        possible = get_args(Embed.model_fields["backend"].annotation)
        if backend is not None and backend not in possible:
            raise EncoderError(f"SLIPWAY_BACKEND is {backend!r}; it may be {', '.join(possible)}")
        named = backend if backend and settings.backend == "auto" else settings.backend
        return cls(settings.device, named, settings.dtype, settings.batch_tokens)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend, and the numbers that it computes in."""

    backend: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.backend} {self.dtype}"


REFERENCE = Candidate(SentenceTransformersEncoder.backend, FULL)


class Workbench:
    """Builds and checks candidates for one model; sentence-transformers loads it once at most, when it is needed."""

    def __init__(self, model: Model, wanted: Wanted) -> None:
        self._model, self._wanted = model, wanted

    @cached_property
    def device(self) -> str:
        """Where torch computes: what is wanted, or the best that is here."""
        if self._wanted.device != "auto":
            return self._wanted.device
        if not remembered.cards() and sys.platform != "darwin":
            return "cpu"  # found out without torch, which takes seconds to import
        try:
            import torch
        except ImportError:
            return "cpu"
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    @cached_property
    def reference(self) -> SentenceTransformersEncoder:
        """The model by sentence-transformers in float32. Raises `EncoderError`."""
        return SentenceTransformersEncoder(self._model, self.device)

    def candidates(self) -> list[Candidate]:
        """What may be tried for what is wanted, the one that should be the fastest first."""
        if self._model.encoder.precision == openvino.EIGHT_BITS:
            return [Candidate(OpenVinoEngine.backend, openvino.EIGHT_BITS)]
        return [one for one in self._possible() if self._wanted.backend in ("auto", one.backend)]

    def _possible(self) -> Iterator[Candidate]:
        if self._model.is_static or self._wanted.backend == StaticEncoder.backend:
            yield Candidate(StaticEncoder.backend, FULL)
        if self.device == "cpu" or self._wanted.backend == OpenVinoEngine.backend:
            narrow = [one for one in openvino.dtypes() if one == "bfloat16"] if openvino.is_installed() else []
            yield from self._in_dtypes(OpenVinoEngine.backend, *narrow, FULL)
        if self.device == "cpu":  # where torch computes narrower numbers slowly: only when asked for
            yield from self._in_dtypes(TorchEngine.backend, FULL)
        else:
            yield from self._in_dtypes(TorchEngine.backend, "float16", "bfloat16", FULL)
        yield from self._in_dtypes(REFERENCE.backend, FULL)

    def _in_dtypes(self, backend: str, *dtypes: str) -> Iterator[Candidate]:
        if self._model.is_static and backend in (OpenVinoEngine.backend, TorchEngine.backend):
            return
        asked_for = self._wanted.dtype
        yield from (Candidate(backend, dtype) for dtype in (dtypes if asked_for == "auto" else (asked_for,)))

    def build(self, candidate: Candidate) -> TextEncoder:
        """The encoder, loaded and not checked. Raises `EncoderError` when it is not possible here."""
        model, tokens = self._model, self._wanted.batch_tokens
        if candidate.backend in (StaticEncoder.backend, OpenVinoEngine.backend) and self.device != "cpu":
            raise EncoderError(f"encoder {model.encoder.name}: {candidate.backend} computes on the processor only")
        if candidate.backend == StaticEncoder.backend:
            return StaticEncoder(model)
        if candidate.backend == OpenVinoEngine.backend:
            return BatchedEncoder(model, OpenVinoEngine(model, candidate.dtype, self._loaded), tokens)
        if candidate.backend == TorchEngine.backend:
            loaded = self._loaded() if candidate.dtype == FULL else None
            return BatchedEncoder(model, TorchEngine(model, self.device, candidate.dtype, loaded), tokens)
        if candidate == REFERENCE:
            return self.reference
        return SentenceTransformersEncoder(model, self.device, candidate.dtype)

    def _loaded(self) -> SentenceTransformer:
        return self.reference.model

    def check(self, candidate: Candidate, encoder: TextEncoder) -> float:
        """The least cosine to the reference on the probe texts. Raises `EncoderError` when it is below the limit."""
        if candidate == REFERENCE:
            return 1.0
        asked_for = candidate.dtype in (self._wanted.dtype, openvino.EIGHT_BITS)
        least = parity.LEAST_ASKED_FOR[candidate.dtype] if asked_for else parity.LEAST
        return parity.check(encoder, self._model, parity.reference(self._model, lambda: self.reference), least)
