"""The live release's index, brought up to date where that is enough."""

from __future__ import annotations

from typing import Any

from slipway.building.bounded import Budget
from slipway.building.work import FRESH, Work
from slipway.index import artifact
from slipway.index.drift import Built
from slipway.index.spec import Spec
from slipway.index.update import Attempt, Base, update
from slipway.manifest import Manifest, fetch


def attempt(work: Work, spec: Spec) -> Attempt:
    """Try to update the index of the origin's base; without one, say why the index is built anew.

    Raises `CorruptObject` and `ObjectMissing` when the live release is not whole.
    """
    base, run = work.origin.base, work.run
    if base is None:
        return Attempt(reason=work.origin.reason)
    if reason := other_kind(base, spec, run.collection.encoder.dimension):
        return Attempt(reason=reason)
    found = Base(
        index=fetch(run.store, base.one(artifact.INDEX), run.scratch),
        rows=fetch(run.store, base.one(artifact.ROWS), run.scratch),
        built=Built(**base.facts["built"]),
    )
    settings, rows = run.collection.index.update, work.folder / artifact.ROWS
    vectors = work.vectors()
    told = Budget.of(run.collection.index).watching("updating the index", work.told(len(vectors)))
    return update(found, work.folder / FRESH, vectors, spec, settings, rows, run.scratch, told)


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
