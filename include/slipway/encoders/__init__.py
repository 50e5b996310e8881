"""Encoders: finding a model, naming its vector space, and turning text into vectors."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from slipway.encoders.model import Model, find_model

if TYPE_CHECKING:
    from slipway.config import Encoder
    from slipway.encoders.base import TextEncoder

__all__ = ["Model", "find_model", "forget", "load_encoder"]


def load_encoder(encoder: Encoder, device: str = "auto", fingerprint: str | None = None) -> TextEncoder:
    """The encoder, loaded once a process (loading takes seconds). Raises `EncoderError`.

    A process that outlives an upgrade of the model on this machine names the `fingerprint` that it needs: where the
    model loaded before has another and the files now have this one, it is loaded anew.
    """
    loaded = _load(encoder, device)  # one key for the default and for its being written out
    if fingerprint not in (None, loaded.fingerprint) and find_model(encoder).fingerprint == fingerprint:
        _load.cache_clear()
        loaded = _load(encoder, device)
    return loaded


def forget() -> None:
    """Let go of the encoders that are loaded, so that the next call loads anew."""
    _load.cache_clear()


@lru_cache(maxsize=2)
def _load(encoder: Encoder, device: str) -> TextEncoder:
    from slipway.encoders.sentence_transformers import SentenceTransformersEncoder

    return SentenceTransformersEncoder(find_model(encoder), device)
