"""vectors → shards of an index: what a large index is built of by several workers; the index stage puts it together."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

from slipway import choosing
from slipway.building import sharded
from slipway.building.cutting import begin
from slipway.building.deciding import in_shards, why_anew
from slipway.building.origin import Origin, origin_of
from slipway.building.work import FRESH, write_rows
from slipway.errors import IndexRefused
from slipway.index import payload
from slipway.index.spec import Spec, resolve
from slipway.manifest import Manifest
from slipway.run import Run

logger = logging.getLogger("slipway")


def cut(run: Run, chunks: Manifest) -> Manifest | None:
    """Train the index of these chunks and cut its rows into shards (see slipway.building.cutting.begin).

    None where there is nothing to share out: index.shards.vectors is not set, the candidate is there, its vectors are
    not more than one shard's, or the live index is to be updated. An update that turns out to be of no use only once
    it was tried is followed by a build in shards too, made by the task that tried it. With an index contract the spec
    is chosen here, for which all vectors are gathered in a mapped file; where that spec cannot be built, nothing is
    cut, and the index stage takes the next in order. Raises `IndexRefused` and `MemoryExceeded`.
    """
    if not in_shards(run, chunks.counts["chunks"]):
        return None
    origin = origin_of(run, chunks)
    if origin.made:
        return None
    folder = run.scratch / f"cut-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    fresh = folder / FRESH
    rows = write_rows(run, chunks, fresh)
    if not in_shards(run, rows):
        return None
    spec = _spec(run, chunks, origin, fresh, rows)
    reason = why_anew(run, origin, fresh, spec, folder)
    if not reason:
        return None
    logger.info("index: to be built anew, in shards: %s", reason)
    return _begun(run, origin, fresh, spec)


def _spec(run: Run, chunks: Manifest, origin: Origin, fresh: Path, rows: int) -> Spec:
    if run.collection.index.contract is None:
        return resolve(run.collection.index, rows, run.collection.encoder.dimension)
    vectors = payload.gather(run.store, origin.encoder, fresh, fresh.with_name("vectors.npy"), run.scratch)
    return choosing.choose(choosing.Subject(run, chunks, origin.encoder, vectors, origin.live)).spec


def _begun(run: Run, origin: Origin, fresh: Path, spec: Spec) -> Manifest | None:
    """The trained index and its shards; None where a contract chose what cannot be built: `index` takes the next."""
    try:
        return begin(run, origin, fresh, spec)
    except IndexRefused as refused:
        if run.collection.index.contract is None:
            raise
        logger.warning("index contract: %s cannot be built in shards: %s", spec.factory, refused)
        return None


def add(run: Run, begun: Manifest, shard: int) -> Manifest:
    """Fill one shard of what `cut` sealed; skipped when it was done. Raises `IndexRefused` and `MemoryExceeded`."""
    return sharded.fill(run, begun, shard)
