"""What a service answered: vectors in the order of the texts, or why it gave none."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, cast

import httpx
import numpy as np

from slipway.encoders.service.key import hidden
from slipway.errors import EncoderError

if TYPE_CHECKING:
    from slipway.encoders.base import Vectors

LONGEST_MESSAGE = 300


def vectors(answer: Any, texts: int, dimension: int) -> Vectors:
    """The vectors of an answer's `data`: (texts, dimension) float32, unit norm, ordered by `index`.

    Raises `EncoderError` unless there is one finite vector of that dimension for every text.
    """
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise EncoderError("the answer has no list of embeddings under 'data': is the url one of this protocol?")
    if sorted(row["index"] for row in rows if isinstance(row.get("index"), int)) != list(range(texts)):
        raise EncoderError(f"the answer has {len(rows)} embeddings, not one for each of {texts} texts")
    made = np.empty((texts, dimension), dtype=np.float32)
    for row in rows:
        made[row["index"]] = _vector(row.get("embedding"), dimension)
    norms = np.linalg.norm(made, axis=1, keepdims=True)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise EncoderError("the answer has vectors that are not finite, or of length 0")
    return cast("Vectors", made / norms)


def _vector(told: Any, dimension: int) -> Vectors:
    """One embedding, as numbers or as base64 of little-endian float32."""
    try:
        if isinstance(told, str):
            made = np.frombuffer(base64.b64decode(told, validate=True), dtype="<f4")
        else:
            made = np.asarray(told, dtype=np.float32)
    except (TypeError, ValueError, binascii.Error) as error:
        raise EncoderError(f"the answer has an embedding that is neither numbers nor base64: {error}") from error
    if made.shape != (dimension,):
        raise EncoderError(f"the answer has vectors of shape {made.shape}, the field dimension says {dimension}")
    return made


def used_tokens(answer: Any) -> int:
    """The tokens that the service counted, `usage.total_tokens`; 0 where it counts none."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    counted = usage.get("total_tokens") if isinstance(usage, dict) else None
    return counted if isinstance(counted, int) and counted > 0 else 0


def message(response: httpx.Response, key: str | None) -> str:
    """What the service says of a failure, in one shortened line, without the key should it quote it."""
    try:
        told = response.json()
    except ValueError:
        told = response.text
    if isinstance(told, dict):
        told = told.get("error", told.get("message", told.get("detail", told)))
    if isinstance(told, dict):
        told = told.get("message", told)
    line = hidden(" ".join(str(told).split()), key)
    return line[: LONGEST_MESSAGE - 1] + "…" if len(line) > LONGEST_MESSAGE else line or "no message"
