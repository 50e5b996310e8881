"""The same vectors, built into an index once more in another order and with another seed: what chance alone changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway.config.collection import Index
from slipway.evaluation.opened import Opened, Vectors
from slipway.index import artifact
from slipway.index.build import ADD_STEP, build, write
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
    made = build(vectors, replace(spec, seed=seed), settings.train_vectors, settings.ef_construction)
    write(made, folder / artifact.INDEX)
    rows = artifact.open_arrow(files[artifact.ROWS], artifact.ROWS_SCHEMA).take(pa.array(opened.numbers[order]))
    with pa.OSFile(str(folder / artifact.ROWS), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    own = {artifact.INDEX: folder / artifact.INDEX, artifact.ROWS: folder / artifact.ROWS}
    return Opened(Searcher({**files, **own}, parameters), vectors, np.arange(len(vectors)), spec.metric)


def _shuffled(vectors: Vectors, order: npt.NDArray[np.int64], path: Path) -> Vectors:
    """The vectors in this order, as a memory-mapped file."""
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=vectors.shape)
    reserve(path, made.offset)
    for start in range(0, len(order), ADD_STEP):
        made[start : start + ADD_STEP] = vectors[order[start : start + ADD_STEP]]
    del made  # writes what is still in memory
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
