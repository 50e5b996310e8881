"""Whether the model on this machine makes the vectors that the live release was built with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from slipway import agreement, checkpoint
from slipway.doctor.finding import Outcome, failed, passed
from slipway.encoders import load_encoder
from slipway.encoders.candidates import REFERENCE
from slipway.encoders.choosing import choice_of
from slipway.errors import EncoderError
from slipway.index import artifact
from slipway.manifest import fetch
from slipway.pointer import Slot, read_serving
from slipway.run import Run
from slipway.serving.loading import read_release_manifest
from slipway.signing import trusted_here

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder, Vectors

PROBES = ("a short text", "Another one, which is a little longer than the first; with punctuation.")
LEAST_COSINE = 0.999
_UNIT = 1e-3
_INSTALL = (
    "install the model that the live release was built with; or, if the new one is meant, move the collection to it "
    "with slipway reindex"
)


def parity(run: Run) -> Outcome:
    """Encode the live release's smoke query texts again and compare with its vectors; without one, probe the model."""
    encoder = load_encoder(run.collection.encoder, run.collection.embed, secrets=run.secrets)
    if wrong := _unsound(encoder):
        return failed(wrong, "correct the encoder file, or install the model again")
    live = read_serving(run.store)[0].live_release
    if live is None:
        return passed(f"{_named(encoder)}: unit vectors of {encoder.dimension} numbers")
    return _compared(run, encoder, live)


def _unsound(encoder: TextEncoder) -> str:
    """What is wrong with the vectors of two probes, if anything."""
    once, twice = encoder.encode_queries(PROBES), encoder.encode_queries(PROBES)
    if once.shape != (len(PROBES), encoder.dimension):
        return f"{encoder.fingerprint} makes vectors of {once.shape[-1]} numbers, configured are {encoder.dimension}"
    norms = np.linalg.norm(once, axis=1)
    if not np.allclose(norms, 1, atol=_UNIT):  # nor are numbers that are none
        return f"{encoder.fingerprint} makes vectors of length {norms.min():.3f} to {norms.max():.3f}, not of length 1"
    if not (least := _least_cosine(once, twice)) >= LEAST_COSINE:
        return f"{encoder.fingerprint} gives one text two vectors (cosine {least:.4f})"
    return ""


def _compared(run: Run, encoder: TextEncoder, live: Slot) -> Outcome:
    release = read_release_manifest(run.store, live.release_id, live.manifest_sha256, trusted_here())
    both = f"release {live.release_id} was built by {release.facts['encoder']}, the model here is {encoder.fingerprint}"
    if release.facts["encoder"] != encoder.fingerprint:
        return _followed(run, live) or failed(both, _INSTALL)
    smoke = json.loads(fetch(run.store, release.one(artifact.SMOKE), run.scratch / "smoke").read_bytes())
    told = [query for query in smoke if query["text"]]
    if not told:
        return passed(f"{_named(encoder)}, the live release's; its smoke queries have no text")
    stored = np.asarray([query["vector"] for query in told], dtype=np.float32)
    least = _least_cosine(encoder.encode_queries([query["text"] for query in told]), stored)
    if not least >= LEAST_COSINE:
        return failed(f"{both}: the same text has cosine {least:.4f} to its stored vector", _INSTALL)
    return passed(f"{_named(encoder)}: cosine {least:.4f} or more on {len(told)} smoke queries")


def _named(encoder: TextEncoder) -> str:
    """The vector space, and what computes it here, with its least cosine to sentence-transformers on probe texts."""
    choice = choice_of(encoder)
    if choice is None or encoder.backend == REFERENCE.backend:
        return f"{encoder.fingerprint} by {encoder.backend} on {encoder.device}"
    compared = f"not compared with {REFERENCE.backend}, which is not installed"
    if choice.cosine is not None:
        compared = f"cosine {choice.cosine:.6f} to {REFERENCE.backend}"
    return f"{encoder.fingerprint} by {encoder.backend} {choice.dtype} on {encoder.device} ({compared})"


def _followed(run: Run, live: Slot) -> Outcome | None:
    """The same of the live release's own encoder, where nights build with that instead of the collection file's."""
    try:
        settings = agreement.follow(run).settings
    except EncoderError:  # a night is refused too
        return None
    if "encoder" not in settings:
        return None
    nightly = checkpoint.with_settings(run, settings)
    return _compared(nightly, load_encoder(nightly.collection.encoder, run.collection.embed, secrets=run.secrets), live)


def _least_cosine(one: Vectors, other: Vectors) -> float:
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return -1.0
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.min(np.sum(one * other, axis=1) / np.maximum(lengths, 1e-12)))
