"""What a night pays for building an index, over what a bare FAISS script pays for the same one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import faiss
import numpy as np
import pyarrow as pa

from benchmarks.indexing.corpus import Vectors
from benchmarks.indexing.measuring import timed
from benchmarks.indexing.systems import EF_CONSTRUCTION, TRAIN_VECTORS, bare_build
from slipway.building import whole
from slipway.building.work import Work
from slipway.config.index import Index
from slipway.index import artifact
from slipway.index.spec import Spec
from slipway.index.update import Attempt

VECTORS, BARE = "vectors.npy", "bare.faiss"
SEED = 1


@dataclass(frozen=True, slots=True)
class Ratios:
    """One number a round: `whole` of everything from the vectors' file to the index's, `adding` of training and adding.

    The whole of ours has what a night measures beside: the drift alarm's recall, the quantisation error, the memory.
    """

    whole: list[float]
    adding: list[float]


def build_ratios(factory: str, vectors: Vectors, rounds: int, cores: int, folder: Path) -> Ratios:
    """Our seconds over bare FAISS's for the same spec; who begins alternates. The vectors lie in `folder` as .npy."""
    faiss.omp_set_num_threads(cores)
    np.save(folder / VECTORS, vectors)
    _write_rows(folder / artifact.ROWS, len(vectors))
    ratios = Ratios([], [])
    for number in range(rounds):
        order = (_ours, _bare) if number % 2 == 0 else (_bare, _ours)
        told = {one: _timed(one, factory, folder) for one in order}
        ratios.whole.append(told[_ours][0] / told[_bare][0])
        ratios.adding.append(told[_ours][1] / told[_bare][1])
    return ratios


def _timed(build: Callable[[str, Path], float], factory: str, folder: Path) -> tuple[float, float]:
    """Seconds of all of it, and of training and adding alone."""
    seconds, adding = timed(lambda: build(factory, folder))
    return seconds, adding


def _ours(factory: str, folder: Path) -> float:
    """The building of a night, as the index stage calls it."""
    settings = Index(spec=factory, seed=SEED, train_vectors=TRAIN_VECTORS, ef_construction=EF_CONSTRUCTION)
    run = SimpleNamespace(collection=SimpleNamespace(index=settings), progress=lambda *told: None)
    work = Work(cast(Any, run), cast(Any, None), folder, cast(Any, None))
    return whole.build(work, Spec(factory, settings.metric, SEED, "measured"), Attempt(reason="measured")).build_seconds


def _bare(factory: str, folder: Path) -> float:
    """A script that reads the vectors, trains, adds and writes the index."""
    vectors = np.load(folder / VECTORS)
    started = time.perf_counter()
    index = bare_build(factory, vectors, TRAIN_VECTORS, SEED)
    seconds = time.perf_counter() - started
    faiss.write_index(index, str(folder / BARE))
    return seconds


def _write_rows(path: Path, count: int) -> None:
    """A rows.arrow of so many passages, without documents: building reads only the hashes."""
    columns = {"chunk_hash": [f"{row:064x}" for row in range(count)]}
    nothing: list[list[int]] = [[]] * count
    table = pa.table(columns | dict.fromkeys(("documents", "starts", "ends"), nothing), schema=artifact.ROWS_SCHEMA)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
