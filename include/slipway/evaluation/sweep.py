"""Recall against latency over the ladder of search-time parameters: for the report, and no decision."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.config.index import SearchParameters
from slipway.evaluation.latency import latency
from slipway.evaluation.opened import Opened, Vectors
from slipway.index.build import set_parameters
from slipway.index.spec import Spec
from slipway.index.tune import ladder

QUERIES = 1_000  # at most, of the judging ones
SEARCHES = 100  # timed, a rung
ENOUGH = 0.999  # recall@10 above which no dearer rung is tried


def sweep(
    opened: Opened,
    spec: Spec,
    asked: SearchParameters,
    chosen: dict[str, int],
    queries: Vectors,
    truth: npt.NDArray[np.int64],
) -> list[dict[str, Any]]:
    """{"parameters", "recall_at_10", "p50_ms", "p95_ms"} of each rung, from cheap to dear, the `chosen` one included.

    `truth` holds the exact neighbours' rows of each query, best first. Leaves the chosen parameters set on the index.
    """
    queries, truth = queries[:QUERIES], truth[:QUERIES]
    free = asked.model_copy(update={"ef_search": None, "nprobe": None})
    rungs = list(ladder(spec, free))
    if chosen not in rungs:
        rungs = sorted([*rungs, chosen], key=lambda rung: list(rung.values()))
    made: list[dict[str, Any]] = []
    for rung in rungs:
        set_parameters(opened.searcher.index, rung)
        found = float(opened.recalls(queries, truth, 10).mean())
        times = latency(lambda query: opened.searcher.search(query, 10), queries, SEARCHES)
        made.append(
            {
                "parameters": rung,
                "recall_at_10": round(found, 6),
                "p50_ms": times["p50_ms"],
                "p95_ms": times["p95_ms"],
            }
        )
        if found >= ENOUGH and chosen in [one["parameters"] for one in made]:
            break
    set_parameters(opened.searcher.index, chosen)
    return made
