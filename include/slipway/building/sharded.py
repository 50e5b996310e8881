"""An index built in shards: trained once, filled by several workers, then merged or served side by side.

`begin` (slipway.building.cutting) seals the trained index and what each shard is to hold; `fill` makes one shard, and
needs the vectors of its own rows only; `finish` puts them together. Each finds its work again where it is done, so that
a kill costs one shard. What updates are compared with later is measured the same way: each shard finds the exact
neighbours of the probes among its own vectors, and the best of all shards are the best of all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from slipway import layout
from slipway.building.bounded import Budget
from slipway.building.cutting import PROBES, TRAINED, begin
from slipway.building.work import Indexed, Work
from slipway.index import artifact, drift, payload
from slipway.index.build import add, read, read_rows, write
from slipway.index.drift import Built
from slipway.index.exact import exact_neighbours
from slipway.index.live import Live
from slipway.index.merging import Piece, merge, piece_of
from slipway.index.sharded import Shards, merged, write_counts
from slipway.index.spec import Spec
from slipway.index.update import Attempt
from slipway.manifest import MANIFEST, Draft, Manifest, SealedObject, fetch, find, fingerprint
from slipway.run import Run

TRUTH, REFINEMENT = "truth.npz", "refinement.faiss"

Vectors = npt.NDArray[np.float32]
Objects = dict[str, Path | SealedObject]


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
    budget.check_adding(spec, len(vectors), vectors.shape[1])
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
    index, objects = _apart(work, shards) if apart else _merged(work, begun, shards)
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
    said = {"built_in": len(shards), "build": begun.place, "apart": apart}
    return Indexed(index, work.rows, total, built, tried, objects, {"shards": said})


def _merged(work: Work, begun: Manifest, shards: list[Manifest]) -> tuple[Any, Objects]:
    """The merged index, mapped from its file, and that."""
    run, spec, budget = work.run, Spec(**begun.facts["spec"]), Budget.of(work.run.collection.index)
    largest = max(entry["rows"] for entry in begun.facts["shards"])
    budget.check_merge(spec, begun.counts["vectors"], begun.facts["dimension"], largest)
    trained, path = read(fetch(run.store, begun.one(TRAINED), run.scratch)), work.index_file()
    drift.prepare(trained, spec)  # as a single build has measured, and is written
    merge(trained, (_piece(run, shard) for shard in shards), path, lambda: budget.check(f"merging {spec.factory}"))
    del trained  # which may hold packed lists, as does what is read now
    return read(path, mapped=True), {artifact.INDEX: path}


def _piece(run: Run, shard: Manifest) -> Piece:
    kept = shard.named(REFINEMENT)
    return Piece(
        read_rows(fetch(run.store, shard.one(artifact.INDEX), run.scratch)),
        read_rows(fetch(run.store, kept[0], run.scratch)) if kept else None,
    )


def _apart(work: Work, shards: list[Manifest]) -> tuple[Shards, Objects]:
    """The shards' own indexes, mapped, and the candidate's objects: those, to be copied in the store, and how many
    rows each has.
    """
    run, rows = work.run, [shard.counts["vectors"] for shard in shards]
    files = [fetch(run.store, shard.one(artifact.INDEX), run.scratch) for shard in shards]
    objects: Objects = {artifact.shard_index(number): shard.one(artifact.INDEX) for number, shard in enumerate(shards)}
    objects[artifact.SHARDS] = work.folder / artifact.SHARDS
    write_counts(work.folder / artifact.SHARDS, rows)
    return Shards([read(file, mapped=True) for file in files], rows), objects


def _probe_recall(run: Run, begun: Manifest, shards: list[Manifest], index: Any, spec: Spec) -> float:
    """recall@10 of the probes (see slipway.index.drift) among all shards' exact neighbours."""
    probes = np.load(fetch(run.store, begun.one(PROBES), run.scratch), allow_pickle=False)
    found = [np.load(fetch(run.store, shard.one(TRUTH), run.scratch), allow_pickle=False) for shard in shards]
    scores, rows = np.hstack([one["scores"] for one in found]), np.hstack([one["rows"] for one in found])
    most = min(drift.NEIGHBOURS, begun.counts["vectors"])
    truth = merged(scores, rows, most, higher_is_nearer=spec.metric == "inner_product")[1]
    everything = Live(np.ones(begun.counts["vectors"], dtype=bool), begun.counts["vectors"])
    return drift.recall_of(index, spec, probes, truth, everything)
