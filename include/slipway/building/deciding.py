"""Whether an index is built in shards, decided without its vectors, so that the decision costs little."""

from __future__ import annotations

from pathlib import Path

from slipway.building.bounded import Budget
from slipway.building.origin import Origin
from slipway.building.updating import other_kind, too_large
from slipway.index import artifact
from slipway.index.drift import Built
from slipway.index.payload import continue_rows
from slipway.index.spec import Spec
from slipway.index.update import first_fired, triggers_before
from slipway.manifest import fetch
from slipway.run import Run


def in_shards(run: Run, rows: int) -> bool:
    """Whether an index of so many rows, built anew, is built in shards."""
    most = run.collection.index.shards.vectors
    return most is not None and rows > most


def why_anew(run: Run, origin: Origin, fresh: Path, spec: Spec, folder: Path) -> str:
    """Why the live index will not do with an update, as far as its rows tell; empty: an update is to be tried.

    `fresh` is a rows.arrow as a new index has it; makes its files in `folder`.
    """
    base = origin.base
    if base is None:
        return origin.reason
    if reason := other_kind(base, spec, run.collection.encoder.dimension):
        return reason
    if reason := too_large(base, Budget.of(run.collection.index)):
        return reason
    before = fetch(run.store, base.one(artifact.ROWS), run.scratch)
    continued = continue_rows(fresh, before, folder / "continued.arrow", run.scratch, revive=spec.is_hnsw)
    settings = run.collection.index.update
    fired = first_fired(triggers_before(continued, Built(**base.facts["built"]), spec, settings))
    return str(fired) if fired else ""
