"""Whether stored vectors are those that the encoder makes of their texts, seen by making some of them anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slipway.chunking import chunk_hash
from slipway.drift.distances import Vectors
from slipway.drift.measure import VECTORS, Measure
from slipway.encoders.base import TextEncoder

PASSAGES = 64
# A cosine. Batches and devices move a vector by some 1e-6, half precision by some 1e-4; another pooling by far more.
TOLERANCE = 0.999


def fidelity(hashes: Sequence[str], texts: Sequence[str], stored: Vectors, encoder: TextEncoder) -> list[Measure]:
    """Passages embedded anew with the run's encoder, beside their stored vectors (n, dimension).

    Catches vectors that were shuffled against their texts, truncated, or made by a model that pooled otherwise under
    the same name. `texts` are put together from what travels to readers: those that do not give their chunk's hash
    raise an alarm of their own, and are not embedded.
    """
    sound = [place for place, text in enumerate(texts) if chunk_hash(text) == hashes[place]]
    altered = len(texts) - len(sound)
    said = f"{altered} of {len(texts)} passages drawn are not the texts that were embedded"
    found = [Measure("altered_passages", VECTORS, altered, said, threshold=0, alarm=altered > 0)]
    if not sound:
        return found
    anew = encoder.encode_documents([texts[place] for place in sound])
    lengths = np.maximum(np.linalg.norm(stored[sound], axis=1), 1e-12)
    cosines = np.einsum("nd,nd->n", anew, stored[sound]) / lengths
    wrong = int((~(cosines >= TOLERANCE)).sum())  # those that are not a number too
    said = (
        f"{wrong} of {len(sound)} stored vectors are not what the encoder makes of their texts: cosine "
        f"{cosines.min():.4f} at least, {TOLERANCE} expected"
    )
    median = f"the median cosine of {len(sound)} stored vectors with those made anew is {np.median(cosines):.6f}"
    return [
        *found,
        Measure("fidelity", VECTORS, float(cosines.min()), said, threshold=TOLERANCE, alarm=wrong > 0),
        Measure("fidelity_median", VECTORS, float(np.median(cosines)), median),
    ]
