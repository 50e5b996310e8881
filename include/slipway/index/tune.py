"""Choosing search-time parameters on tuning queries: the cheapest rung of a ladder that finds enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.config.collection import SearchParameters
from slipway.index.build import set_parameters
from slipway.index.exact import recall
from slipway.index.spec import Spec, default_parameters

TARGET = 0.99  # recall@10 on the tuning queries
PLATEAU = 0.001  # of recall, not worth a dearer rung
MIN_QUERIES = 20  # fewer tell too little

Search = Callable[[npt.NDArray[np.float32], int], tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]


def tune(
    index: Any,
    spec: Spec,
    asked: SearchParameters,
    queries: npt.NDArray[np.float32],
    truth: npt.NDArray[np.int64],
    target: float = TARGET,
    search: Search | None = None,
) -> tuple[dict[str, int], str]:
    """Search-time parameters and the reason for them in a sentence; leaves them set on the index.

    `search` is how the index is searched where not by its own method: it may have rows that must not be found.

    `truth` holds the exact neighbours' rows of each tuning query, best first. Parameters that were asked for stay.
    """
    parameters = default_parameters(spec, asked)
    if len(queries) < MIN_QUERIES:
        set_parameters(index, parameters)
        return parameters, f"defaults: {len(queries)} tuning queries are too few to tune on (at least {MIN_QUERIES})"
    tried: list[tuple[float, dict[str, int]]] = []
    for rung in ladder(spec, asked):
        set_parameters(index, rung)
        found = recall((search or index.search)(queries, 10)[1], truth, 10)
        if found >= target:
            return rung, f"smallest tried with recall@10 of {target} on {len(queries)} tuning queries ({found:.3f})"
        tried.append((found, rung))
    best = max(found for found, _ in tried)
    found, rung = next((found, rung) for found, rung in tried if found >= best - PLATEAU)
    set_parameters(index, rung)
    return rung, (
        f"smallest tried of those that find the most; recall@10 on {len(queries)} tuning queries is {found:.3f}, "
        f"under the aim of {target}"
    )


def ladder(spec: Spec, asked: SearchParameters) -> Iterator[dict[str, int]]:
    """Parameter sets from cheap to dear; what was asked for stays as it is."""
    defaults = default_parameters(spec, asked)
    if spec.is_hnsw and asked.ef_search is None:
        for ef_search in (16, 32, 64, 128, 256, 512):
            yield {**defaults, "efSearch": ef_search}
    elif spec.lists and asked.nprobe is None:
        nprobe = 4
        while nprobe < spec.lists:
            yield {**defaults, "nprobe": nprobe}
            nprobe *= 2
        yield {**defaults, "nprobe": spec.lists}
    else:
        yield defaults
