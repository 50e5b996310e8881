"""Encoders: finding a model, naming its vector space, and turning text into vectors."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from slipway.encoders.model import Model, find_model
from slipway.settings import encoder_backend

if TYPE_CHECKING:
    from slipway.config import Encoder
    from slipway.config.collection import Embed
    from slipway.encoders.base import TextEncoder
    from slipway.encoders.candidates import Wanted
    from slipway.run import Secrets

__all__ = ["Model", "find_model", "forget", "load_encoder"]


def load_encoder(
    encoder: Encoder, embed: Embed | None = None, fingerprint: str | None = None, secrets: Secrets | None = None
) -> TextEncoder:
    """The encoder, loaded once a process (loading takes seconds). Raises `EncoderError`.

    `embed` says where and by what it is computed, None for the defaults; where it leaves the backend open, the
    environment variable SLIPWAY_BACKEND decides, else what slipway.encoders.choosing finds best here. An encoder with a
    service is computed there, and `secrets` finds its key, the environment's where none are given.

    A process that outlives an upgrade of the model on this machine names the `fingerprint` that it needs: where the
    model loaded before has another and the files now have this one, it is loaded anew.
    """
    from slipway.encoders.candidates import Wanted

    wanted = Wanted.of(embed, encoder_backend())
    found: Any = secrets  # any function can be the key of a cache
    load = partial(_serve, encoder, found) if encoder.service else partial(_load, encoder, wanted)
    loaded = load()
    if fingerprint not in (None, loaded.fingerprint) and find_model(encoder).fingerprint == fingerprint:
        _load.cache_clear()
        _serve.cache_clear()
        loaded = load()
    return loaded


def forget() -> None:
    """Let go of the encoders that are loaded, so that the next call loads anew."""
    _load.cache_clear()


@lru_cache(maxsize=2)
def _load(encoder: Encoder, wanted: Wanted) -> TextEncoder:
    from slipway.encoders.choosing import choose

    return choose(find_model(encoder), wanted)


@lru_cache(maxsize=2)
def _serve(encoder: Encoder, secrets: Any) -> TextEncoder:
    from slipway.encoders.choosing import serve

    return serve(find_model(encoder), secrets)
