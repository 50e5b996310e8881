"""An index built in shards: trained once, filled by several workers, then merged or served side by side.

`begin` seals the trained index and what each shard is to hold; `fill` makes one shard, and needs the vectors of its own
rows only; `finish` puts them together. Each finds its work again where it is done, so that a kill costs one shard. What
updates are compared with later is measured the same way: each shard finds the exact neighbours of the probes among its
own vectors, and the best of all shards are the best of all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slipway import layout
from slipway.building.bounded import Budget
from slipway.building.origin import Origin
from slipway.building.work import Indexed, Work
from slipway.errors import IndexRefused
from slipway.index import artifact, drift, payload
from slipway.index.build import add, make, read, sampled, train, write
from slipway.index.drift import Built
from slipway.index.exact import exact_neighbours
from slipway.index.live import Live
from slipway.index.merging import Piece, merge, piece_of, why_apart
from slipway.index.sharded import Shards, merged, write_counts
from slipway.index.spec import Spec, check_trainable
from slipway.index.update import Attempt
from slipway.manifest import MANIFEST, Draft, Manifest, SealedObject, fetch, find, fingerprint
from slipway.run import Run

VERSION = 1
MOST = 1_000  # shards: Airflow maps at most 1,024 tasks
TRAINED, PROBES, TRUTH, REFINEMENT = "trained.faiss", "probes.npy", "truth.npz", "refinement.faiss"

Vectors = npt.NDArray[np.float32]

logger = logging.getLogger("slipway")


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
    budget = Budget.of(settings)
    budget.check_estimate(spec, max(entry["rows"] for entry in shards), sample.dimension, settings.train_vectors)
    started = time.perf_counter()
    trained = make(spec, sample.dimension, settings.ef_construction)
    if not trained.is_trained:
        chosen = sample.of(sampled(len(hashes), settings.train_vectors, spec.seed))
        trained = train(chosen, spec, settings.train_vectors, settings.ef_construction)
    seconds = time.perf_counter() - started
    budget.check(f"training {spec.factory}")
    write(trained, folder / TRAINED)
    draft.add_file(TRAINED, folder / TRAINED)
    probes = hashes[: drift.PROBES].to_pylist()
    np.save(folder / PROBES, drift.noisy(sample.of(np.arange(len(probes))), probes, spec.seed))
    draft.add_file(PROBES, folder / PROBES)
    for entry in shards:
        part = folder / layout.shard_name(entry["shard"])
        pq.write_table(pa.table({"chunk_hash": hashes.slice(entry["first"], entry["rows"])}), part, compression="zstd")
        draft.add_file(part.name, part)
    trained = read(folder / TRAINED)
    facts = {
        "spec": asdict(spec),
        "dimension": sample.dimension,
        "encoder": origin.encoder,
        "apart": "index.shards.release is apart" if settings.shards.release == "apart" else why_apart(trained),
        "shards": shards,
        "seconds": round(seconds, 6),
        "error": drift.error_of(trained, sample.of(sampled(len(hashes), drift.ERROR_SAMPLE, spec.seed)), spec.seed),
    }
    return draft.seal({"vectors": len(hashes), "shards": len(shards)}, facts)


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
        """The vectors of some of the sampled rows, (n, dimension) float32."""
        return np.ascontiguousarray(self.vectors[np.searchsorted(self.rows, rows)])


def fill(run: Run, begun: Manifest, shard: int) -> Manifest:
    """Make one shard of a build that was begun: its index or its lists, and the probes' neighbours among its vectors.

    Counts: `vectors`. Facts: `seconds` of adding. Skipped when it was done. Raises `IndexRefused`.
    """
    place = layout.build_shard(begun.fingerprint, shard)
    if sealed := find(run.store, place):
        if sealed.inputs["build"] == begun.digest:
            return sealed
        run.store.delete(f"{place}/{MANIFEST}")  # of another training, which maintenance swept away: codes would differ
    entry, spec = begun.facts["shards"][shard], Spec(**begun.facts["spec"])
    name = fingerprint(begun.fingerprint, shard)
    draft = Draft(run.store, place, "shard", name, {"build": begun.digest})
    folder = run.scratch / f"shard-{draft.attempt}"
    folder.mkdir(parents=True)
    hashes = pq.read_table(fetch(run.store, begun.one(layout.shard_name(shard)), run.scratch))["chunk_hash"]
    vectors = payload.collect(run.store, begun.facts["encoder"], hashes, folder / "vectors.npy", run.scratch)
    started = time.perf_counter()
    for made in _filled(run, begun, entry, vectors, spec, folder):
        draft.add_file(made.name, made)
    seconds = time.perf_counter() - started
    probes = np.load(fetch(run.store, begun.one(PROBES), run.scratch), allow_pickle=False)
    scores, rows = exact_neighbours(vectors, probes, drift.NEIGHBOURS, spec.metric)
    np.savez(folder / TRUTH, scores=scores, rows=rows + entry["first"])
    draft.add_file(TRUTH, folder / TRUTH)
    del vectors
    (folder / "vectors.npy").unlink()
    return draft.seal({"vectors": len(hashes)}, {"seconds": round(seconds, 6), "shard": shard})


def _filled(
    run: Run, begun: Manifest, entry: dict[str, int], vectors: Vectors, spec: Spec, folder: Path
) -> Iterator[Path]:
    """The files of a shard: an index of its own, or lists to be merged and their refinement."""
    number = entry["shard"]

    def progress(added: int) -> None:
        run.progress(f"index shard {number}", added, len(vectors), "vectors")

    budget = Budget.of(run.collection.index)
    told, step = budget.watching(f"filling shard {number} of {spec.factory}", progress), budget.step(vectors.shape[1])
    trained, path = read(fetch(run.store, begun.one(TRAINED), run.scratch)), folder / artifact.INDEX
    if begun.facts["apart"]:
        add(trained, vectors, spec, told, step)
        write(trained, path)
        yield path
        return
    piece = piece_of(trained, vectors, entry["first"], told, step)
    write(piece.lists, path)
    yield path
    if piece.refinement is not None:
        write(piece.refinement, folder / REFINEMENT)
        yield folder / REFINEMENT


def finish(work: Work, spec: Spec, tried: Attempt) -> Indexed:
    """Put the shards together: merged to one index, or side by side. `tried` says why it is built anew.

    What is not there of the build is made here first, one shard after another. Raises `IndexRefused`.
    """
    run = work.run
    begun = begin(run, work.origin, work.rows, spec)
    shards = [fill(run, begun, entry["shard"]) for entry in begun.facts["shards"]]
    apart, total = begun.facts["apart"], begun.counts["vectors"]
    index = _apart(run, shards) if apart else _merged(run, begun, shards)
    adding = sum(float(shard.facts["seconds"]) for shard in shards)
    built = Built(
        vectors=total,
        seconds=round(float(begun.facts["seconds"]) + adding, 6),
        seconds_per_vector=adding / total,
        imbalance=drift.imbalance(index),
        error=begun.facts["error"],
        probe_recall=_probe_recall(run, begun, shards, index, spec),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ef_construction=run.collection.index.ef_construction,
        train_vectors=run.collection.index.train_vectors,
    )
    objects = _side_by_side(work, shards) if apart else work.written(index)
    said = {"built_in": len(shards), "build": begun.place, "apart": apart}
    return Indexed(index, work.rows, total, built, tried, objects, {"shards": said})


def _merged(run: Run, begun: Manifest, shards: list[Manifest]) -> Any:
    spec, budget = Spec(**begun.facts["spec"]), Budget.of(run.collection.index)
    budget.check_merge(spec, begun.counts["vectors"], begun.facts["dimension"])
    trained = read(fetch(run.store, begun.one(TRAINED), run.scratch))
    return merge(trained, (_piece(run, shard) for shard in shards), lambda: budget.check(f"merging {spec.factory}"))


def _piece(run: Run, shard: Manifest) -> Piece:
    kept = shard.named(REFINEMENT)
    return Piece(
        read(fetch(run.store, shard.one(artifact.INDEX), run.scratch)),
        read(fetch(run.store, kept[0], run.scratch)) if kept else None,
    )


def _apart(run: Run, shards: list[Manifest]) -> Shards:
    files = [fetch(run.store, shard.one(artifact.INDEX), run.scratch) for shard in shards]
    return Shards([read(file, mapped=True) for file in files], [shard.counts["vectors"] for shard in shards])


def _side_by_side(work: Work, shards: list[Manifest]) -> dict[str, Path | SealedObject]:
    """The candidate's objects: the shards' own indexes, to be copied in the store, and how many rows each has."""
    made: dict[str, Path | SealedObject] = {
        artifact.shard_index(number): shard.one(artifact.INDEX) for number, shard in enumerate(shards)
    }
    made[artifact.SHARDS] = work.folder / artifact.SHARDS
    write_counts(work.folder / artifact.SHARDS, [shard.counts["vectors"] for shard in shards])
    return made


def _probe_recall(run: Run, begun: Manifest, shards: list[Manifest], index: Any, spec: Spec) -> float:
    """recall@10 of the probes (see slipway.index.drift) among all shards' exact neighbours."""
    probes = np.load(fetch(run.store, begun.one(PROBES), run.scratch), allow_pickle=False)
    found = [np.load(fetch(run.store, shard.one(TRUTH), run.scratch), allow_pickle=False) for shard in shards]
    scores, rows = np.hstack([one["scores"] for one in found]), np.hstack([one["rows"] for one in found])
    most = min(drift.NEIGHBOURS, begun.counts["vectors"])
    truth = merged(scores, rows, most, higher_is_nearer=spec.metric == "inner_product")[1]
    everything = Live(np.ones(begun.counts["vectors"], dtype=bool), begun.counts["vectors"])
    return drift.recall_of(index, spec, probes, truth, everything)
