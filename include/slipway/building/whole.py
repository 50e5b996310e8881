"""An index built anew in one piece."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.building.work import Work
from slipway.index import artifact, drift
from slipway.index.build import add, train
from slipway.index.drift import Built
from slipway.index.live import Live
from slipway.index.spec import Spec


def build(work: Work, rows: Path, vectors: npt.NDArray[np.float32], spec: Spec) -> tuple[Any, Built]:
    """An index of all vectors ((n, d) float32 in the order of `rows`), and what later updates are compared with."""
    settings = work.run.collection.index
    started = time.perf_counter()
    made = train(vectors, spec, settings.train_vectors, settings.ef_construction)
    trained = time.perf_counter()
    add(made, vectors, spec, work.told(len(vectors)))
    ended = time.perf_counter()
    hashes = artifact.open_arrow(rows, artifact.ROWS_SCHEMA)["chunk_hash"][: drift.PROBES].to_pylist()
    everything = Live(np.ones(len(vectors), dtype=bool), len(vectors))
    return made, Built(
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
