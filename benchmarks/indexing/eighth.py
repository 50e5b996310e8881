"""An index contract with an eighth of the raw vectors' memory: what it leads to, and how long that takes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace

import faiss
import numpy as np

from benchmarks.indexing.corpus import Corpus, Vectors
from benchmarks.indexing.measuring import K, timed
from slipway.config.index import Contract, Index
from slipway.errors import IndexRefused
from slipway.evaluation.latency import latency
from slipway.index.build import build
from slipway.index.contract import Confirmed, Made, Part, Queries, Settings, confirm, search
from slipway.index.exact import exact_neighbours, recall
from slipway.index.spec import Spec

LEAST_RECALL = 0.90
MOST_BUILT = 3  # indexes of all vectors, as in a night
_POSSIBLE = re.compile(r"recall_at_10 of (\d\.\d+) within the other clauses")
_BETWEEN = 0.005  # less than what a refusal says is possible: trials do not find the same twice


@dataclass(frozen=True, slots=True)
class Led:
    """The index that a contract led to: seconds of searching for it, building and tuning it, and its recall@10.

    `asked` is the recall that it was given, and `refused` the reason why more than that was not given. `recall` is on
    queries that nothing was chosen on; None where there is no index. `seconds` has those of refused contracts too.
    """

    memory_bytes: int
    asked: float
    seconds: float = 0.0
    recall: float | None = None
    spec: str = ""
    bytes: int = 0
    refused: str = ""


def judging(corpus: Corpus) -> Vectors:
    """Half of the queries, which nothing is chosen on: a quarter tunes, and another confirms."""
    return np.ascontiguousarray(corpus.queries[np.arange(len(corpus.queries)) % 4 >= 2])


def contract(corpus: Corpus, memory_bytes: int, cores: int, least: float = LEAST_RECALL) -> Led:
    """What a contract of that memory and recall leads to; where that is refused, of the recall that is possible."""
    faiss.omp_set_num_threads(cores)
    first = _led(corpus, memory_bytes, least)
    possible = _POSSIBLE.search(first.refused)
    if first.recall is not None or possible is None:
        return first
    second = _led(corpus, memory_bytes, round(float(possible[1]) - _BETWEEN, 3))
    return replace(second, seconds=first.seconds + second.seconds, refused=f"{first.refused} {second.refused}".strip())


def _led(corpus: Corpus, memory_bytes: int, least: float) -> Led:
    asked = Contract(recall_at_10=least, memory=memory_bytes)
    index = Index(contract=asked)
    settings = Settings(index, asked, lambda find, queries: latency(find, queries)["p95_ms"])
    tuning, held_out = Part(corpus.queries[::4].copy()), Part(corpus.queries[1::4].copy())
    queries = Queries(tuning, held_out, "paragraphs that are not indexed")
    seconds, made = timed(lambda: _kept(corpus, queries, settings))
    if isinstance(made, str):
        return Led(memory_bytes, least, seconds, refused=made)
    judges = judging(corpus)
    truth = exact_neighbours(corpus.vectors, judges, K)[1]
    found = recall(made.index.search(judges, K)[1], truth, K)
    return Led(memory_bytes, least, seconds, found, made.spec.factory, made.size_bytes)


def _kept(corpus: Corpus, queries: Queries, settings: Settings) -> Made | str:
    """The first index of all vectors that is confirmed, tuned, as a night keeps it; or why there is none."""
    try:
        order = search(corpus.vectors, queries, settings).order
    except IndexRefused as refused:
        return str(refused)
    broken = []
    for best in order[:MOST_BUILT]:
        made = _made(corpus, Spec(best.spec, settings.index.metric, settings.index.seed, best.why), settings.index)
        confirmed: Confirmed = confirm(made, queries, settings)
        if confirmed.kept:
            return made
        broken.append(f"{best.spec} was not confirmed: {'; '.join(confirmed.broken)}")
    return "; ".join(broken)


def _made(corpus: Corpus, spec: Spec, index: Index) -> Made:
    started = time.perf_counter()
    made = build(corpus.vectors, spec, index.train_vectors, index.ef_construction)
    seconds = time.perf_counter() - started
    rows = np.arange(len(corpus.vectors), dtype=np.int64)
    return Made(made, spec, corpus.vectors, rows, made.search, len(faiss.serialize_index(made)), seconds)
