"""What could compute an encoder's vectors on this machine, in the order of the speed that is expected of it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, get_args

from slipway.config.collection import Embed
from slipway.encoders import openvino, parity, remembered, sentence_transformers
from slipway.encoders.base import Unsuitable
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

logger = logging.getLogger("slipway")

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


@lru_cache(maxsize=16)  # said once
def _log_device(device: str, why: str) -> None:
    logger.info("encoders compute on %s: %s", device, why)


class Workbench:
    """Builds and checks candidates for one model; sentence-transformers loads it once at most, when it is needed."""

    def __init__(self, model: Model, wanted: Wanted) -> None:
        self._model, self._wanted = model, wanted

    @cached_property
    def device(self) -> str:
        """Where torch computes: what is wanted, or the best that is here."""
        device, why = self._device()
        _log_device(device, why)
        return device

    def _device(self) -> tuple[str, str]:
        if self._wanted.device != "auto":
            return self._wanted.device, "embed.device says so"
        cards = remembered.cards()
        if not cards and sys.platform != "darwin":  # found out without torch, which takes seconds to import
            hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
            return "cpu", "CUDA_VISIBLE_DEVICES is empty" if hidden else "no graphics card shows here"
        told = ", ".join(cards)
        try:
            import torch
        except ImportError as error:
            return "cpu", f"torch, which would use {told or 'Metal'}, is not installed ({error})"
        if torch.cuda.is_available():
            return "cuda", told
        if torch.backends.mps.is_available():
            return "mps", "torch says that it has Metal"
        return "cpu", f"torch cannot use {told or 'Metal'}"

    @cached_property
    def reference(self) -> SentenceTransformersEncoder:
        """The model by sentence-transformers in float32. Raises `EncoderError`."""
        return SentenceTransformersEncoder(self._model, self.device)

    def candidates(self) -> list[Candidate]:
        """What may be tried for what is wanted, the one that should be the fastest first.

        Raises `EncoderError` when what is wanted has not the encoder's precision.
        """
        if self._model.encoder.precision == openvino.EIGHT_BITS:
            self._check_eight_bits()
            return [Candidate(OpenVinoEngine.backend, openvino.EIGHT_BITS)]
        asked_for = (self._wanted.dtype,)
        return [
            Candidate(backend, dtype)
            for backend in self._backends()
            for dtype in (self._dtypes(backend) if asked_for == ("auto",) else asked_for)
        ]

    def _check_eight_bits(self) -> None:
        possible = {"backend": ("auto", OpenVinoEngine.backend), "dtype": ("auto", FULL)}
        for name, values in possible.items():
            asked = getattr(self._wanted, name)
            if asked not in values:
                raise EncoderError(
                    f"encoder {self._model.encoder.name}: its precision int8 is computed by {OpenVinoEngine.backend} "
                    f"from {FULL} numbers only, but {name} {asked} was asked for (embed.{name} or SLIPWAY_BACKEND); "
                    f"ask for {' or '.join(values)}, or set precision: full, which is another vector space"
                )

    def _backends(self) -> Sequence[str]:
        if self._wanted.backend != "auto":
            return [self._wanted.backend]
        if self._model.is_static:
            return [StaticEncoder.backend, REFERENCE.backend]
        on_processor = [OpenVinoEngine.backend] if self.device == "cpu" else []
        return [*on_processor, TorchEngine.backend, REFERENCE.backend]

    def _dtypes(self, backend: str) -> Sequence[str]:
        """What a backend may compute in, the fastest first. On a processor torch has no fast way for narrow numbers."""
        if backend == OpenVinoEngine.backend and openvino.is_installed() and "bfloat16" in openvino.dtypes():
            return ["bfloat16", FULL]
        if backend == TorchEngine.backend and self.device != "cpu":
            return ["float16", "bfloat16", FULL]
        return [FULL]

    def build(self, candidate: Candidate) -> TextEncoder:
        """The encoder, loaded and not checked. Raises `EncoderError` when it is not possible here."""
        model, tokens = self._model, self._wanted.batch_tokens
        if candidate.backend in (StaticEncoder.backend, OpenVinoEngine.backend) and self.device != "cpu":
            raise Unsuitable(f"encoder {model.encoder.name}: {candidate.backend} computes on the processor only")
        if candidate.backend == StaticEncoder.backend:
            if candidate.dtype != FULL:
                raise Unsuitable(f"encoder {model.encoder.name}: static models are computed in {FULL} only")
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

    @property
    def is_comparable(self) -> bool:
        """Whether the model's vectors are compared with the reference's: static ones only where that is installed.

        They are a sum that NumPy makes, and a reader of them alone needs no torch.
        """
        return not self._model.is_static or sentence_transformers.is_installed()

    def check(self, candidate: Candidate, encoder: TextEncoder) -> float | None:
        """The least cosine to the reference on the probe texts, None where it is not compared.

        Raises `EncoderError` when it is below the limit.
        """
        if candidate == REFERENCE:
            return 1.0
        if not self.is_comparable:
            logger.info(
                "encoder %s: the vectors of %s are not compared, as sentence-transformers is not installed here",
                self._model.encoder.name,
                candidate,
            )
            return None
        asked_for = candidate.dtype in (self._wanted.dtype, openvino.EIGHT_BITS)
        least = parity.LEAST_ASKED_FOR[candidate.dtype] if asked_for else parity.LEAST
        return parity.check(encoder, self._model, parity.reference(self._model, lambda: self.reference), least)
