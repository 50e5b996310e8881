"""Whether an index is built in shards, decided without its vectors, so that the decision costs little."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

from slipway.building import sharded
from slipway.building.origin import Origin, origin_of
from slipway.building.updating import other_kind
from slipway.building.work import write_rows
from slipway.index import artifact
from slipway.index.drift import Built
from slipway.index.payload import continue_rows
from slipway.index.spec import Spec, resolve
from slipway.index.update import first_fired, triggers_before
from slipway.manifest import Manifest, fetch
from slipway.run import Run

logger = logging.getLogger("slipway")


def in_shards(run: Run, rows: int) -> bool:
    """Whether an index of so many rows, built anew, is built in shards."""
    most = run.collection.index.shards.vectors
    return most is not None and rows > most


def cut(run: Run, chunks: Manifest) -> Manifest | None:
    """Begin the build of these chunks' index in shards (see slipway.building.sharded.begin).

    None where there is nothing to share out: index.shards.vectors is not set, the candidate is there, its vectors are
    not more than one shard's, or the live index is to be updated. An update that turns out to be of no use only once
    it was tried is followed by a build in shards too, made by the task that tried it.
    """
    if not in_shards(run, chunks.counts["chunks"]):
        return None
    origin = origin_of(run, chunks)
    if origin.made:
        return None
    folder = run.scratch / f"cut-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    fresh = folder / artifact.ROWS
    rows = write_rows(run, chunks, fresh)
    if not in_shards(run, rows):
        return None
    spec = resolve(run.collection.index, rows, run.collection.encoder.dimension)
    reason = _why_anew(run, origin, fresh, spec, folder)
    if not reason:
        return None
    logger.info("index: to be built anew, in shards: %s", reason)
    return sharded.begin(run, origin, fresh, spec)


def _why_anew(run: Run, origin: Origin, fresh: Path, spec: Spec, folder: Path) -> str:
    """Why the live index will not do with an update, as far as its rows tell; empty: an update is to be tried."""
    base = origin.base
    if base is None:
        return origin.reason
    if reason := other_kind(base, spec, run.collection.encoder.dimension):
        return reason
    before = fetch(run.store, base.one(artifact.ROWS), run.scratch)
    continued = continue_rows(fresh, before, folder / "continued.arrow", run.scratch, revive=spec.is_hnsw)
    settings = run.collection.index.update
    fired = first_fired(triggers_before(continued, Built(**base.facts["built"]), spec, settings))
    return str(fired) if fired else ""
