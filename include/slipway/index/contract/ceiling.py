"""The most that a candidate's codes can find: what finds too little among few vectors is not built on the sample."""

from __future__ import annotations

import math
from typing import Any

from slipway.index.anatomy import codec, inverted_file, is_exact, refinement
from slipway.index.build import build, set_parameters
from slipway.index.contract.candidates import Candidate, candidates
from slipway.index.contract.trial import Sample, Settings, spec_for
from slipway.index.exact import recall

FEW = 10_000  # vectors: enough to train 256 codewords
WORTH = 2  # times as many must be in the sample, or this saves nothing
SCORED_AGAIN = 64  # for each neighbour wanted, where an index scores again


def ceiling(candidate: Candidate, few: Sample, settings: Settings) -> float | None:
    """recall@10 among few vectors with every list visited; None where nothing can be told by that.

    That is nearly the most that it can find among more vectors too: the fewer there are, the farther apart neighbours
    lie, the easier codes tell them apart, and the closer codewords are to what they were trained on. None for graphs,
    and for codes that keep vectors as they are or have more codewords than so few vectors can train.
    """
    index, count = settings.index, len(few.vectors)
    if candidate not in candidates(count, few.vectors.shape[1], index.train_vectors):
        return None
    spec = spec_for(candidate, count, index)
    if spec.is_hnsw:
        return None
    made = build(few.vectors, spec, index.train_vectors, index.ef_construction)
    if is_exact(_finest(made)):
        return None
    every = {"nprobe": spec.lists, "k_factor_rf": SCORED_AGAIN if spec.refines else None}
    set_parameters(made, {name: value for name, value in every.items() if value})
    return recall(made.search(few.tuning.vectors, 10)[1], few.truth, 10)


def least(wanted: float, queries: int) -> float:
    """The ceiling below which `wanted` cannot be reached: three standard errors under it.

    As if each of the ten neighbours of so many queries were found by itself.
    """
    return wanted - 3 * math.sqrt(wanted * (1 - wanted) / (10 * max(queries, 1)))


def _finest(index: Any) -> Any:
    """The part that has the last word on the order of what is found."""
    kept, ivf = refinement(index), inverted_file(index)
    return kept if kept is not None else ivf if ivf is not None else codec(index)
