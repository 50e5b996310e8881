"""The same vectors, built into an index once more in another order and with another seed: what chance alone changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway.config.index import Index
from slipway.evaluation.opened import Opened, Vectors
from slipway.index import artifact
from slipway.index.build import ADD_STEP, build, write
from slipway.index.sharded import read_counts, write_counts
from slipway.index.spec import Spec
from slipway.scratch import reserve
from slipway.serving.searcher import Searcher


def rebuild(
    opened: Opened, files: Mapping[str, Path], spec: Spec, settings: Index, parameters: Mapping[str, int], folder: Path
) -> Opened:
    """The index built anew from the live vectors of `opened`, whose files are given; searched with `parameters`.

    Of a graph the order of insertion decides, of trained indexes the seed as well: it draws the training vectors and
    begins k-means. Makes its files in `folder`, among them a copy of all vectors.
    """
    seed = spec.seed + 1
    order = np.random.default_rng(seed).permutation(len(opened.vectors))
    vectors = _shuffled(opened.vectors, order, folder / "shuffled.npy")
    again = replace(spec, seed=seed)
    own = _built(vectors, _rows_of(files, len(vectors)), again, settings, folder)
    rows = artifact.open_arrow(files[artifact.ROWS], artifact.ROWS_SCHEMA).take(pa.array(opened.numbers[order]))
    with pa.OSFile(str(folder / artifact.ROWS), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    others = {name: path for name, path in files.items() if not artifact.is_index(name) and name != artifact.SHARDS}
    own[artifact.ROWS] = folder / artifact.ROWS
    return Opened(Searcher({**others, **own}, parameters), vectors, np.arange(len(vectors)), spec.metric)


def _rows_of(files: Mapping[str, Path], live: int) -> list[int]:
    """How many of the live rows go into each index: one, or as many as the shards had, each with its share of them."""
    if artifact.SHARDS not in files:
        return [live]
    counts = np.array(list(read_counts(files[artifact.SHARDS]).values()), dtype=np.float64)
    ends = np.round(np.cumsum(counts) / counts.sum() * live).astype(int)
    return [int(count) for count in np.diff(ends, prepend=0)]


def _built(vectors: Vectors, rows: list[int], spec: Spec, settings: Index, folder: Path) -> dict[str, Path]:
    """The files of the index by name, with so many rows in each."""
    names = [artifact.INDEX] if len(rows) == 1 else [artifact.shard_index(number) for number in range(len(rows))]
    first, made = 0, {name: folder / name for name in names}
    for count, path in zip(rows, made.values(), strict=True):
        part = vectors[first : first + count]
        write(build(part, spec, settings.train_vectors, settings.ef_construction), path)
        first += count
    if len(rows) > 1:
        made[artifact.SHARDS] = folder / artifact.SHARDS
        write_counts(made[artifact.SHARDS], rows)
    return made


def _shuffled(vectors: Vectors, order: npt.NDArray[np.int64], path: Path) -> Vectors:
    """The vectors in this order, as a memory-mapped file."""
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=vectors.shape)
    reserve(path, made.offset)
    for start in range(0, len(order), ADD_STEP):
        made[start : start + ADD_STEP] = vectors[order[start : start + ADD_STEP]]
    del made  # writes what is still in memory
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
