"""An index contract with an eighth of the raw vectors' memory: what it leads to, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from benchmarks.indexing.corpus import Corpus
from benchmarks.indexing.measuring import K, timed
from benchmarks.indexing.systems import EF_CONSTRUCTION, Rows
from slipway.config.collection import Contract, Index
from slipway.errors import IndexRefused
from slipway.evaluation.latency import latency
from slipway.index.build import build
from slipway.index.contract import Part, Queries, Settings, aim, search
from slipway.index.exact import exact_neighbours, recall
from slipway.index.spec import Spec
from slipway.index.tune import tune

LEAST_RECALL = 0.90


@dataclass(frozen=True, slots=True)
class Led:
    """The index that a contract led to: seconds of searching for it, building and tuning it, and its recall@10.

    `recall` is on queries that nothing was chosen on; None, with the reason in `refused`, where there is no index.
    """

    memory_bytes: int
    seconds: float
    recall: float | None = None
    spec: str = ""
    refused: str = ""


def contract(corpus: Corpus, memory_bytes: int, cores: int, least: float = LEAST_RECALL) -> Led:
    """Search, build and tune under that memory; half of the queries tune, the other half judges."""
    faiss.omp_set_num_threads(cores)
    tuning, held_out = corpus.queries[::2], corpus.queries[1::2]
    asked = Contract(recall_at_10=least, memory=memory_bytes)
    index = Index(contract=asked)
    settings = Settings(index, asked, lambda find, queries: latency(find, queries)["p95_ms"])
    queries = Queries(Part(tuning), Part(held_out), "paragraphs that are not indexed")
    try:
        seconds, (spec, made) = timed(lambda: _made(corpus, queries, settings))
    except IndexRefused as refused:
        return Led(memory_bytes, 0.0, refused=str(refused))
    truth: Rows = exact_neighbours(corpus.vectors, held_out, K)[1]
    return Led(memory_bytes, seconds, recall(made.search(held_out, K)[1], truth, K), spec.factory)


def _made(corpus: Corpus, queries: Queries, settings: Settings) -> tuple[Spec, Any]:
    best = search(corpus.vectors, queries, settings).order[0]
    index = settings.index
    spec = Spec(best.spec, index.metric, index.seed, best.why)
    made = build(corpus.vectors, spec, index.train_vectors, EF_CONSTRUCTION)
    truth = np.asarray(queries.tuning.exact(corpus.vectors, K, index.metric))
    target = aim(settings.contract.recall_at_10, len(queries.tuning))
    tune(made, spec, index.search, queries.tuning.vectors, truth, target)
    return spec, made
