"""The vector store: unit vectors by chunk hash and encoder fingerprint, written once, shared by all builds.

A part is a sealed pair of objects in the same row order: `hashes.parquet` (chunk_hash) and `vectors.npy`
((n, dimension) float32, C order, memory-mappable). A part is named by the hashes in it, so work that is repeated
after a kill finds itself done. Maintenance merges small parts into compact ones (see slipway.maintenance.compaction);
a hash may be in two parts for a while, and either vector is right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slipway import layout
from slipway.errors import ConflictError, CorruptObject, EncoderError, ObjectMissing
from slipway.manifest import MANIFEST, Draft, Manifest, fetch, find, load
from slipway.parts import read_batches
from slipway.storage.base import ObjectStore

HASHES = "hashes.parquet"
VECTORS = "vectors.npy"
COMPACT = "compact-"  # how the names of merged parts begin
NORM_TOLERANCE = 1e-3
_CLOCKS_DIFFER = timedelta(hours=1)  # at most, between this machine and the store


def part_id(hashes: Iterable[str]) -> str:
    """32 hex digits that name a part by the chunk hashes in it, in order."""
    made, between = hashlib.sha256(), b""
    for one in hashes:
        made.update(between + one.encode())
        between = b"\n"
    return made.hexdigest()[:32]


def find_part(store: ObjectStore, encoder: str, hashes: Sequence[str]) -> Manifest | None:
    """The sealed part that holds exactly these hashes, if it is there."""
    return find(store, layout.vector_part(encoder, part_id(hashes)))


def find_rows(
    store: ObjectStore, encoder: str, hashes: Sequence[str], since: datetime, planned: Collection[str], scratch: Path
) -> set[str]:
    """Those of the hashes that parts made after `since` hold, other than the `planned` ones (names of parts).

    One listing where there is no such part; else the hashes of each, a batch at a time.
    """
    suffix = f"/{MANIFEST}"
    made = [info for info in store.list(f"{layout.vectors(encoder)}/") if info.key.endswith(suffix)]
    wanted, found = pa.array(hashes, pa.string()), set[str]()
    for info in made:
        place = info.key.removesuffix(suffix)
        if info.modified_at >= since - _CLOCKS_DIFFER and place.rpartition("/")[2] not in planned:
            path = fetch_hashes(store, load(store, place), scratch)
            for batch in read_batches([path], ["chunk_hash"]):
                found.update(batch.filter(pc.is_in(batch["chunk_hash"], wanted))["chunk_hash"].to_pylist())
    return found


def write_part(
    store: ObjectStore,
    encoder: str,
    hashes: Sequence[str],
    vectors: npt.NDArray[np.float32],
    scratch: Path,
    facts: Mapping[str, Any] | None = None,
) -> Manifest:
    """Seal vectors under the chunk hashes they belong to. Raises `EncoderError` when they are not sound.

    `facts` are kept beside `encoder` and `dimension`: `tokens`, `seconds` and `device` tell what embedding them took.
    """
    check_vectors(vectors, len(hashes))
    name = part_id(hashes)
    scratch.mkdir(parents=True, exist_ok=True)
    draft = Draft(store, layout.vector_part(encoder, name), "vectors", name)
    hash_file, vector_file = scratch / f"{name}.parquet", scratch / f"{name}.npy"
    pq.write_table(pa.table({"chunk_hash": pa.array(hashes, pa.string())}), hash_file, compression="zstd")
    np.save(vector_file, vectors, allow_pickle=False)
    draft.add_file(HASHES, hash_file)
    draft.add_file(VECTORS, vector_file)
    hash_file.unlink()
    vector_file.unlink()
    space = {"encoder": encoder, "dimension": int(vectors.shape[1])}
    return draft.seal({"vectors": len(hashes)}, {**(facts or {}), **space})


def check_vectors(vectors: npt.NDArray[np.float32], expected: int) -> None:
    """Raise `EncoderError` unless there are `expected` finite float32 rows of unit norm."""
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise EncoderError(f"the encoder returned {vectors.dtype} of shape {vectors.shape}, expected rows of float32")
    if vectors.shape[0] != expected:
        raise EncoderError(f"the encoder returned {vectors.shape[0]} vectors for {expected} chunks")
    norms = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~(np.abs(norms - 1) <= NORM_TOLERANCE))  # also true for NaN
    if bad.size:
        raise EncoderError(
            f"{bad.size} of {expected} vectors are not of unit norm; row {bad[0]} has norm {norms[bad[0]]}"
        )


def parts(store: ObjectStore, encoder: str) -> list[Manifest]:
    """All sealed parts of an encoder, in name order."""
    suffix = f"/{MANIFEST}"
    prefix = f"{layout.vectors(encoder)}/"
    return [load(store, info.key.removesuffix(suffix)) for info in store.list(prefix) if info.key.endswith(suffix)]


def first_probe(store: ObjectStore, encoder: str, key: str, made: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What the encoder's service made of the probe texts that `key` names when it was first used with this store.

    `made` is what it makes now, (n, dimension) float32, and is kept where nothing is: whoever writes first decides.
    Raises `CorruptObject`.
    """
    place, body = layout.vector_probe(encoder, key), BytesIO()
    try:
        found = store.read(place).body
    except ObjectMissing:
        np.save(body, made, allow_pickle=False)
        try:
            store.put_if(place, body.getvalue(), None)
            return made
        except ConflictError:
            found = store.read(place).body
    try:
        kept: npt.NDArray[np.float32] = np.load(BytesIO(found), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CorruptObject(f"{place} is not a NumPy array: {error}; restore it") from error
    if kept.dtype != np.float32 or kept.shape != made.shape or not np.isfinite(kept).all():
        raise CorruptObject(f"{place} holds {kept.dtype} {kept.shape}, not {made.shape} finite float32; restore it")
    return kept


def fetch_hashes(store: ObjectStore, part: Manifest, scratch: Path) -> Path:
    """A local file of the part's hashes, checked."""
    return fetch(store, part.one(HASHES), scratch)


def open_vectors(store: ObjectStore, part: Manifest, scratch: Path) -> npt.NDArray[np.float32]:
    """The part's vectors, memory-mapped read-only, checked. Raises `CorruptObject`."""
    path = fetch(store, part.one(VECTORS), scratch)
    try:
        vectors: npt.NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise CorruptObject(f"{part.place}: {VECTORS} is not a NumPy array: {error}") from error
    shape = (part.counts["vectors"], part.facts.get("dimension"))
    if vectors.dtype != np.float32 or vectors.shape != shape:
        raise CorruptObject(
            f"{part.place}: vectors are {vectors.dtype} {vectors.shape}, the manifest says float32 {shape}"
        )
    return vectors
