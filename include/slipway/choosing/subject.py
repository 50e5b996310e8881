"""What an index is chosen for: the vectors of a run, the queries, and how time is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from slipway.building.bounded import Budget
from slipway.building.cutting import check_budget
from slipway.building.deciding import in_shards
from slipway.config.index import Contract
from slipway.encoders import load_encoder
from slipway.errors import EncoderError, IndexRefused
from slipway.evaluation.golden import GoldenQuery, GoldenSet, read_golden
from slipway.evaluation.latency import undisturbed
from slipway.index.build import make
from slipway.index.contract import Part, Queries, Settings, of_collection
from slipway.index.merging import why_apart
from slipway.index.spec import Spec
from slipway.index.tune import MIN_QUERIES
from slipway.manifest import Manifest
from slipway.run import Run

DRAWN = 1_000  # of the collection's own vectors, where there are too few golden queries
SEARCHES = 100  # of a round of measuring p95

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Subject:
    """`vectors` of the `chunks`, (n, dimension) float32 and mapped, made by `encoder` (fingerprint).

    `live` is the live release's manifest, None where nothing is released yet.
    """

    run: Run
    chunks: Manifest
    encoder: str
    vectors: Vectors
    live: Manifest | None
    _queries: list[Queries] = field(default_factory=list)

    @property
    def contract(self) -> Contract:
        """The collection's. There is one: who makes a subject has looked."""
        contract = self.run.collection.index.contract
        assert contract is not None
        return contract

    @property
    def settings(self) -> Settings:
        """What a search is done with.

        What cannot be built in the memory that there is now is left out of it; and where the index is built in shards
        that are to be merged, what cannot be merged: served apart, it would be built anew each night that changes it.
        """
        index = self.run.collection.index
        budget = Budget.of(index)

        def unaffordable(spec: Spec, vectors: int, dimension: int) -> str:
            try:
                if in_shards(self.run, vectors) and index.shards.vectors:
                    check_budget(budget, spec, index, (vectors, dimension), index.shards.vectors)
                else:
                    budget.check_estimate(spec, vectors, dimension, index.train_vectors)
            except IndexRefused as error:
                return str(error)
            return ""

        def apart(spec: Spec, vectors: int, dimension: int) -> str:
            if not in_shards(self.run, vectors) or index.shards.release == "apart":
                return ""
            return why_apart(make(spec, dimension, index.ef_construction))

        return Settings(index, self.contract, p95, unaffordable=unaffordable, apart=apart)

    @property
    def golden(self) -> GoldenSet | None:
        """The collection's golden queries. Raises `GoldenError`."""
        return read_golden(self.run.collection.golden.queries) if self.run.collection.golden else None

    def queries(self) -> Queries:
        """Golden queries of either part, encoded once; vectors of the collection where either part has too few.

        Raises `EncoderError` and `GoldenError`.
        """
        if not self._queries:
            self._queries.append(self._asked())
        return self._queries[0]

    def _asked(self) -> Queries:
        golden = self.golden
        tuning, judging = (golden.part("tuning"), golden.part("judging")) if golden else ([], [])
        if min(len(tuning), len(judging)) < MIN_QUERIES:
            return of_collection(self.vectors, DRAWN, self.run.collection.index.seed)
        return Queries(Part(self._encoded(tuning)), Part(self._encoded(judging)), "golden queries")

    def _encoded(self, queries: list[GoldenQuery]) -> Vectors:
        encoder = load_encoder(self.run.collection.encoder, self.run.collection.embed, secrets=self.run.secrets)
        if encoder.fingerprint != self.encoder:
            raise EncoderError(
                f"encoder {self.run.collection.encoder.name} has fingerprint {encoder.fingerprint}, the vectors were "
                f"made by {self.encoder}: the model changed during the run; start a new run"
            )
        return encoder.encode_queries([query.query for query in queries])


def p95(search: Callable[[Vectors], object], queries: Vectors) -> float:
    """Milliseconds of the 95th percentile of single searches on one thread, in the least disturbed of some rounds."""
    return undisturbed(search, queries, SEARCHES)["p95_ms"]
