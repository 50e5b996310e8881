"""The live release's index, brought up to date where that is enough."""

from __future__ import annotations

import logging
from typing import Any

from slipway.building.bounded import Budget
from slipway.building.work import FRESH, Work
from slipway.errors import MemoryExceeded
from slipway.index import artifact
from slipway.index.drift import Built
from slipway.index.spec import Spec
from slipway.index.update import Attempt, Base, update
from slipway.manifest import Manifest, fetch
from slipway.sizes import size

logger = logging.getLogger("slipway")


def attempt(work: Work, spec: Spec) -> Attempt:
    """Try to update the index of the origin's base; without one, say why the index is built anew.

    An update that takes more memory than building may is given up: a new index may be built in shards. Raises
    `CorruptObject` and `ObjectMissing` when the live release is not whole.
    """
    base, run = work.origin.base, work.run
    budget = Budget.of(run.collection.index)
    if base is None:
        return Attempt(reason=work.origin.reason)
    if reason := other_kind(base, spec, run.collection.encoder.dimension):
        return Attempt(reason=reason)
    if reason := too_large(base, budget):
        return Attempt(reason=reason)
    found = Base(
        index=fetch(run.store, base.one(artifact.INDEX), run.scratch),
        rows=fetch(run.store, base.one(artifact.ROWS), run.scratch),
        built=Built(**base.facts["built"]),
    )
    settings, rows = run.collection.index.update, work.folder / artifact.ROWS
    vectors = work.vectors()
    told, step = budget.watching("updating the index", work.told(len(vectors))), budget.step(vectors.shape[1])
    try:
        return update(found, work.folder / FRESH, vectors, spec, settings, rows, run.scratch, told, step)
    except MemoryExceeded as error:
        logger.warning("index update: given up: %s", error)
        return Attempt(reason=str(error))


def too_large(base: Manifest, budget: Budget) -> str:
    """Why the release's index cannot be updated within the budget; empty where it can, as far as its file tells.

    To be changed, the index is in memory, all of it.
    """
    needed = base.one(artifact.INDEX).size_bytes
    if needed <= budget.bytes:
        return ""
    return (
        f"the live index would take {size(needed)} of memory and more to be updated, and there are "
        f"{size(budget.bytes)} ({budget.says})"
    )


def other_kind(base: Manifest, spec: Spec, dimension: int) -> str:
    """Why an index of this spec and dimension cannot be an update of the release's; empty where it can."""
    before = base.facts["spec"]["factory"], base.facts["dimension"]
    if before == (spec.factory, dimension):
        return ""
    now = f"{spec.factory} of dimension {dimension}"
    return f"the index is to be {now}, the live one is {before[0]} of dimension {before[1]}"


def facts_of(made: Attempt, base: Manifest | None) -> dict[str, Any]:
    """What a candidate's manifest says of the attempt."""
    return {
        "kind": "built" if made.index is None else "updated",
        "reason": made.reason,
        "base": base.fingerprint if base else None,
        "added": made.added,
        "removed": made.removed,
        "triggers": [trigger.as_json() for trigger in made.triggers],
    }
