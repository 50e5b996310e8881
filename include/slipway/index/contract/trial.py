"""One candidate built on a sample, tuned, measured, and what that says for all vectors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np

from slipway.config.index import Contract, Index
from slipway.index.build import build, set_parameters
from slipway.index.contract import growth
from slipway.index.contract.candidates import Candidate
from slipway.index.contract.queries import Part, Queries, Rows, Vectors
from slipway.index.contract.tried import Tried, aim, breaks
from slipway.index.exact import recall
from slipway.index.memory import estimate
from slipway.index.spec import Spec
from slipway.index.tune import ladder, tune

P95 = Callable[[Callable[[Vectors], object], Vectors], float]
"""Milliseconds: the 95th percentile of single searches on one thread with these queries."""


def never(spec: Spec, vectors: int, dimension: int) -> str:
    """Where nothing speaks against an index."""
    return ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a search for an index is done with: the contract within the index settings, and how time is measured.

    `unaffordable` says why an index of a spec for so many vectors of a dimension cannot be built here; empty: it can.
    `apart` says why, built in shards, it could not be merged, where it is to be; empty: it could.
    """

    index: Index
    contract: Contract
    p95: P95
    clock: Callable[[], float] = time.perf_counter
    unaffordable: Callable[[Spec, int, int], str] = never
    apart: Callable[[Spec, int, int], str] = never


@dataclass(frozen=True, slots=True)
class Sample:
    """Vectors that candidates are tried on, of `total`; tuning queries with their exact neighbours among them."""

    vectors: Vectors
    total: int
    tuning: Part
    truth: Rows

    @classmethod
    def draw(cls, vectors: Vectors, queries: Queries, most: int, index: Index) -> Sample:
        """At most `most` rows drawn at random with the index's seed, none of which is a query."""
        free = np.setdiff1d(np.arange(len(vectors)), queries.own, assume_unique=True)
        if len(free) > most:
            free = np.sort(np.random.default_rng(index.seed).choice(free, most, replace=False))
        drawn = np.ascontiguousarray(vectors[free])
        tuning = Part(queries.tuning.vectors)  # its own vectors are not in the sample
        return cls(drawn, len(vectors), tuning, tuning.exact(drawn, 10, index.metric))


def spec_for(candidate: Candidate, vectors: int, index: Index) -> Spec:
    """The candidate as a spec for so many vectors."""
    return candidate.spec(vectors, index.metric, index.seed, index.train_vectors)


def expected_bytes(candidate: Candidate, vectors: int, dimension: int, index: Index) -> int:
    """Estimated bytes of a reader's memory: the candidate's index, and what a search on one thread marks in it."""
    return estimate(spec_for(candidate, vectors, index), vectors, dimension, index.train_vectors).resident_bytes


def try_out(candidate: Candidate, sample: Sample, settings: Settings) -> list[Tried]:
    """What the candidate gives. More than one where it misses p95_ms: also what it gives within that."""
    index, contract = settings.index, settings.contract
    spec = spec_for(candidate, len(sample.vectors), index)
    started = settings.clock()
    made = build(sample.vectors, spec, index.train_vectors, index.ef_construction)
    seconds = settings.clock() - started
    target = aim(contract.recall_at_10, len(sample.tuning))
    parameters, _ = tune(made, spec, index.search, sample.tuning.vectors, sample.truth, target)
    measuring = _Measuring(candidate, made, spec, sample, settings, seconds)
    tuned = measuring.measure(parameters)
    if "p95_ms" not in breaks(tuned, contract):
        return [tuned.judged(contract)]
    return [one.judged(contract) for one in (tuned, measuring.within(parameters)) if one is not None]


@dataclass(frozen=True, slots=True)
class _Measuring:
    candidate: Candidate
    made: Any
    spec: Spec
    sample: Sample
    settings: Settings
    seconds: float

    def measure(self, parameters: dict[str, int]) -> Tried:
        sample, index = self.sample, self.settings.index
        set_parameters(self.made, parameters)
        found = recall(self.made.search(sample.tuning.vectors, 10)[1], sample.truth, 10)
        asked = sample.tuning.vectors if len(sample.tuning) else sample.vectors[:1]
        p95 = self.settings.p95(lambda query: self.made.search(query, 10), asked)
        return Tried(
            spec=spec_for(self.candidate, sample.total, index).factory,
            memory_bytes=self._bytes(),
            measured_on=len(sample.vectors),
            parameters=parameters,
            recall_at_10=round(found, 6),
            p95_ms=round(p95 * growth.of_latency(self.spec, len(sample.vectors), sample.total), 4),
            build_seconds=round(self.seconds * growth.of_build(self.spec, len(sample.vectors), sample.total), 3),
        )

    def within(self, parameters: dict[str, int]) -> Tried | None:
        """With the most effort that keeps p95_ms, where there is such."""
        rungs = [rung for rung in ladder(self.spec, self.settings.index.search) if rung != parameters]
        efforts = [{**parameters, **{name: rung[name] for name in rung if name != "k_factor_rf"}} for rung in rungs]
        for effort in reversed([one for one in efforts if list(one.values()) < list(parameters.values())]):
            measured = self.measure(effort)
            if "p95_ms" not in breaks(measured, self.settings.contract):
                return measured
        return None

    def _bytes(self) -> int:
        """The file's bytes measured on the sample, in proportion to what is estimated for it and for all vectors."""
        sample, index = self.sample, self.settings.index
        held, width = len(faiss.serialize_index(self.made)), sample.vectors.shape[1]
        if sample.total == len(sample.vectors):
            return held
        of_sample = estimate(self.spec, len(sample.vectors), width, index.train_vectors).index_bytes
        spec = spec_for(self.candidate, sample.total, index)
        return round(estimate(spec, sample.total, width, index.train_vectors).index_bytes * held / of_sample)


def not_tried(candidate: Candidate, vectors: int, dimension: int, settings: Settings, why: str) -> Tried:
    """A candidate that was left out: its spec and its estimated bytes."""
    spec = spec_for(candidate, vectors, settings.index).factory
    return replace(Tried(spec, expected_bytes(candidate, vectors, dimension, settings.index)), why=why)
