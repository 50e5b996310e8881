"""Encoders: finding a model, naming its vector space, and turning text into vectors."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from slipway.encoders.model import Model, find_model
from slipway.settings import encoder_backend

if TYPE_CHECKING:
    from slipway.config import Encoder
    from slipway.config.collection import Embed
    from slipway.encoders.base import TextEncoder
    from slipway.encoders.candidates import Wanted
    from slipway.run import Secrets

__all__ = ["Model", "find_model", "load_encoder"]


def load_encoder(
    encoder: Encoder, embed: Embed | None = None, fingerprint: str | None = None, secrets: Secrets | None = None
) -> TextEncoder:
    """The encoder, loaded once a process (loading takes seconds). Raises `EncoderError`.

    `embed` says where and by what it is computed, None for the defaults; where it leaves the backend open, the
    environment variable SLIPWAY_BACKEND decides, else what slipway.encoders.choosing finds best here.

    A process that outlives an upgrade of the model on this machine names the `fingerprint` that it needs: where the
    model loaded before has another and the files now have this one, it is loaded anew.
    """
    from slipway.encoders.candidates import Wanted

    wanted = Wanted.of(embed, encoder_backend())
    loaded = _load(encoder, wanted)
    if fingerprint not in (None, loaded.fingerprint) and find_model(encoder).fingerprint == fingerprint:
        _load.cache_clear()
        loaded = _load(encoder, wanted)
    return loaded


@lru_cache(maxsize=2)
def _load(encoder: Encoder, wanted: Wanted) -> TextEncoder:
    from slipway.encoders.choosing import choose

    return choose(find_model(encoder), wanted)
