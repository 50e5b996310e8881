"""An index built anew in one piece."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import numpy as np

from slipway.building.bounded import Budget
from slipway.building.work import Indexed, Work
from slipway.index import artifact, drift
from slipway.index.build import add, train
from slipway.index.drift import Built
from slipway.index.live import Live
from slipway.index.spec import Spec
from slipway.index.update import Attempt


def build(work: Work, spec: Spec, tried: Attempt) -> Indexed:
    """An index of all vectors, with what later updates are compared with. `tried` says why it is built.

    Raises `IndexRefused` and `MemoryExceeded`.
    """
    settings, vectors = work.run.collection.index, work.vectors()
    started = time.perf_counter()
    budget = Budget.of(settings)
    budget.check_estimate(spec, len(vectors), vectors.shape[1], settings.train_vectors)
    made = train(vectors, spec, settings.train_vectors, settings.ef_construction)
    trained = time.perf_counter()
    budget.check(f"training {spec.factory}")
    told = budget.watching(f"building {spec.factory}", work.told(len(vectors)))
    add(made, vectors, spec, told, budget.step(vectors.shape[1]))
    ended = time.perf_counter()
    hashes = artifact.open_arrow(work.rows, artifact.ROWS_SCHEMA)["chunk_hash"][: drift.PROBES].to_pylist()
    everything = Live(np.ones(len(vectors), dtype=bool), len(vectors))
    built = Built(
        vectors=len(vectors),
        seconds=round(ended - started, 6),
        seconds_per_vector=(ended - trained) / len(vectors),
        imbalance=drift.imbalance(made),
        error=drift.error_of(made, vectors, spec.seed),
        probe_recall=drift.probe_recall(made, spec, vectors, hashes, everything, np.arange(len(vectors))),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ef_construction=settings.ef_construction,
        train_vectors=settings.train_vectors,
    )
    return Indexed(made, work.rows, len(vectors), built, tried, work.written(made))
