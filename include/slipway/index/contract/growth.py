"""From a sample to all vectors: how what was measured grows. Rules of thumb, so what they give is called an estimate.

A scan looks at every vector. A graph's search takes steps in the logarithm of the vectors, and each vector added is one
search (Malkov and Yashunin 2018, section 4.2). Of inverted files the number of lists grows with √n, and so do, where as
many lists are visited, the vectors in them; each vector added is compared with every list.
"""

from __future__ import annotations

import math

from slipway.index.spec import Spec


def of_latency(spec: Spec, sample: int, vectors: int) -> float:
    """What the time of one search is multiplied by, from `sample` vectors to `vectors`."""
    if spec.is_hnsw:
        return math.log(max(vectors, 3)) / math.log(max(sample, 3))
    return math.sqrt(vectors / sample) if spec.lists else vectors / sample


def of_build(spec: Spec, sample: int, vectors: int) -> float:
    """What the time of building is multiplied by."""
    by_vector = math.sqrt(vectors / sample) if spec.lists else 1.0
    if spec.is_hnsw:
        by_vector = math.log(max(vectors, 3)) / math.log(max(sample, 3))
    return by_vector * vectors / sample
