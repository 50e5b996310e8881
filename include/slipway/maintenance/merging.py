"""One merged vector part being made: written through a memory map in scratch, then sealed under its hashes' name."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slipway import layout, vectors
from slipway.manifest import Draft, Manifest, find
from slipway.parts import read_batches
from slipway.scratch import reserve
from slipway.storage.base import ObjectStore

Written = Sequence[tuple[datetime, int]]
"""When rows were written (UTC) and how many in a row then, in row order."""

_HASHES = pa.schema([pa.field("chunk_hash", pa.string())])


class MergedPart:
    """A part of `rows` vectors of one dimension, filled in order. Use as a context manager; its files go at the end."""

    def __init__(self, scratch: Path, rows: int, dimension: int) -> None:
        self._folder = scratch / f"merge-{secrets.token_hex(4)}"
        self._folder.mkdir(parents=True)
        self._hash_file, self._vector_file = self._folder / vectors.HASHES, self._folder / vectors.VECTORS
        self._shape = (rows, dimension)
        self._written: list[tuple[str, int]] = []
        self._filled = 0

    def __enter__(self) -> MergedPart:
        self._vectors = np.lib.format.open_memmap(self._vector_file, mode="w+", dtype=np.float32, shape=self._shape)
        reserve(self._vector_file, self._vectors.offset)
        self._hashes = pq.ParquetWriter(self._hash_file, _HASHES, compression="zstd")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._hashes.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # only copies: a leftover harms nothing

    def append(
        self, hashes: pa.Array, block: npt.NDArray[np.float32], offsets: npt.NDArray[np.int64], written: Written
    ) -> None:
        """Add the rows at `offsets` of a part's vectors (n, dimension), with their hashes.

        `written` is of the whole part that they come from.
        """
        end = self._filled + len(offsets)
        self._vectors[self._filled : end] = block[offsets]
        self._hashes.write_batch(pa.record_batch([hashes.cast(pa.string())], _HASHES))
        self._filled = end
        ends = np.cumsum([rows for _, rows in written])
        of_each = np.bincount(np.searchsorted(ends, offsets, side="right"), minlength=len(written))
        for (at, _), rows in zip(written, of_each.tolist(), strict=True):
            self._note(at.isoformat(), rows)

    def _note(self, at: str, rows: int) -> None:
        if rows and self._written and self._written[-1][0] == at:
            rows += self._written.pop()[1]
        if rows:
            self._written.append((at, rows))

    def seal(self, store: ObjectStore, encoder: str, facts: Mapping[str, Any]) -> Manifest:
        """Seal the part in the store, or find what was sealed there before a kill."""
        if self._filled != self._shape[0]:
            raise ValueError(f"{self._filled} of {self._shape[0]} rows were appended")
        self._hashes.close()
        self._vectors.flush()
        hashes = read_batches([self._hash_file])
        name = vectors.COMPACT + vectors.part_id(one for batch in hashes for one in batch["chunk_hash"].to_pylist())
        place = layout.vector_part(encoder, name)
        if sealed := find(store, place):
            return sealed
        draft = Draft(store, place, "vectors", name)
        draft.add_file(vectors.HASHES, self._hash_file)
        draft.add_file(vectors.VECTORS, self._vector_file)
        space = {"encoder": encoder, "dimension": self._shape[1], "written": self._written}
        return draft.seal({"vectors": self._shape[0]}, {**facts, **space})
