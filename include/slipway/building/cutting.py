"""What an index that is built in shards begins with: a trained index, and which rows each shard is to hold."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slipway import layout
from slipway.building.bounded import Budget
from slipway.building.origin import Origin
from slipway.config.index import Index
from slipway.errors import IndexRefused
from slipway.index import artifact, drift, payload
from slipway.index.build import make, read, sampled, train, write
from slipway.index.merging import why_apart
from slipway.index.spec import Spec, check_trainable
from slipway.manifest import Draft, Manifest, find, fingerprint
from slipway.run import Run

VERSION = 1
MOST = 1_000  # shards: Airflow maps at most 1,024 tasks
TRAINED, PROBES = "trained.faiss", "probes.npy"

Vectors = npt.NDArray[np.float32]


def begin(run: Run, origin: Origin, rows: Path, spec: Spec) -> Manifest:
    """Train an index on a sample of the vectors of `rows` (a rows.arrow), and say which rows each shard is to hold.

    Facts: `spec`, `dimension`, `encoder`, `apart` (why the shards are not merged; empty: they will be), `shards` (each
    with its number as `shard`, its `first` row and how many `rows`), the `seconds` of training, and the mean squared
    quantisation `error`. Skipped when it was done. Raises `IndexRefused`.
    """
    name = fingerprint("shards", VERSION, origin.recipe, spec.factory, spec.metric, spec.seed)
    if sealed := find(run.store, layout.build(name)):
        return sealed
    settings = run.collection.index
    hashes = artifact.open_arrow(rows, artifact.ROWS_SCHEMA)["chunk_hash"]
    shards = _cut(len(hashes), int(settings.shards.vectors or len(hashes)))
    check_trainable(spec, len(hashes), settings.train_vectors)
    draft = Draft(run.store, layout.build(name), "build", name)
    folder = run.scratch / f"build-{draft.attempt}"
    folder.mkdir(parents=True)
    sample = _Sample(run, origin.encoder, hashes, folder)
    facts = {
        "spec": asdict(spec),
        "dimension": sample.dimension,
        "encoder": origin.encoder,
        "shards": shards,
        **_trained(run, spec, sample, shards, folder / TRAINED),
    }
    draft.add_file(TRAINED, folder / TRAINED)
    probes = hashes[: drift.PROBES].to_pylist()
    np.save(folder / PROBES, drift.noisy(sample.of(np.arange(len(probes))), probes, spec.seed))
    draft.add_file(PROBES, folder / PROBES)
    for entry in shards:
        part = folder / layout.shard_name(entry["shard"])
        pq.write_table(pa.table({"chunk_hash": hashes.slice(entry["first"], entry["rows"])}), part, compression="zstd")
        draft.add_file(part.name, part)
    return draft.seal({"vectors": len(hashes), "shards": len(shards)}, facts)


def _trained(run: Run, spec: Spec, sample: _Sample, shards: list[dict[str, int]], path: Path) -> dict[str, Any]:
    """Write the trained index; returns what is to be said of it. What will not fit later is refused before."""
    settings, dimension, total = run.collection.index, sample.dimension, sum(entry["rows"] for entry in shards)
    largest = max(entry["rows"] for entry in shards)
    empty = make(spec, dimension, settings.ef_construction)
    apart, budget = apart_reason(settings, empty), Budget.of(settings)
    check_budget(budget, spec, settings, (total, dimension), largest)
    started = time.perf_counter()
    if empty.is_trained:
        trained = empty
    else:
        chosen = sample.of(sampled(total, settings.train_vectors, spec.seed))
        trained = train(chosen, spec, settings.train_vectors, settings.ef_construction)
    seconds = time.perf_counter() - started
    budget.check(f"training {spec.factory}")
    write(trained, path)
    error = drift.error_of(read(path), sample.of(sampled(total, drift.ERROR_SAMPLE, spec.seed)), spec.seed)
    return {"apart": apart, "seconds": round(seconds, 6), "error": error}


def apart_reason(settings: Index, empty: Any) -> str:
    """Why shards of such an index are served side by side; empty: they are merged."""
    return "index.shards.release is apart" if settings.shards.release == "apart" else why_apart(empty)


def check_budget(budget: Budget, spec: Spec, settings: Index, shape: tuple[int, int], largest: int) -> None:
    """Raise `IndexRefused` when vectors of this shape cannot be made an index in shards of at most `largest`."""
    total, dimension = shape
    budget.check_training(spec, total, dimension, settings.train_vectors)
    budget.check_adding(spec, largest, dimension)
    if not apart_reason(settings, make(spec, dimension, settings.ef_construction)):
        budget.check_merge(spec, total, dimension, largest)


def _cut(rows: int, most: int) -> list[dict[str, int]]:
    """Shards of about equal size, of at most so many rows each."""
    count = -(-rows // most)
    if count > MOST:
        raise IndexRefused(
            f"{rows:,} vectors in shards of {most:,} would be {count:,} shards, of which there may be {MOST:,}; set "
            f"index.shards.vectors to {-(-rows // MOST):,} or more"
        )
    ends = [rows * number // count for number in range(count + 1)]
    return [
        {"shard": number, "first": ends[number], "rows": ends[number + 1] - ends[number]} for number in range(count)
    ]


class _Sample:
    """The vectors that training and measuring need: of a seeded sample of the rows, never of all."""

    def __init__(self, run: Run, encoder: str, hashes: pa.ChunkedArray, folder: Path) -> None:
        settings, rows = run.collection.index, len(hashes)
        wanted = [np.arange(min(rows, drift.PROBES)), sampled(rows, drift.ERROR_SAMPLE, settings.seed)]
        if settings.train_vectors:
            wanted.append(sampled(rows, settings.train_vectors, settings.seed))
        self.rows = np.unique(np.concatenate(wanted))
        chosen = hashes.take(pa.array(self.rows))
        self.vectors = payload.collect(run.store, encoder, chosen, folder / "sample.npy", run.scratch)
        self.dimension = int(self.vectors.shape[1])

    def of(self, rows: npt.NDArray[np.int64]) -> Vectors:
        """The vectors of some of the sampled rows, in order, (n, dimension) float32; mapped where it is all of them."""
        if len(rows) == len(self.rows):
            return self.vectors
        return np.ascontiguousarray(self.vectors[np.searchsorted(self.rows, rows)])
