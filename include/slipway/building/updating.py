"""The live release's index, brought up to date where that is enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.building.work import Work
from slipway.index import artifact
from slipway.index.drift import Built
from slipway.index.spec import Spec
from slipway.index.update import Attempt, Base, update
from slipway.manifest import Manifest, fetch


def attempt(work: Work, fresh: Path, vectors: npt.NDArray[np.float32], spec: Spec) -> Attempt:
    """Try to update the index of the origin's base; without one, say why the index is built anew.

    Raises `CorruptObject` and `ObjectMissing` when the live release is not whole.
    """
    base, run = work.origin.base, work.run
    if base is None:
        return Attempt(reason=work.origin.reason)
    if reason := other_kind(base, spec, vectors.shape[1]):
        return Attempt(reason=reason)
    found = Base(
        index=fetch(run.store, base.one(artifact.INDEX), run.scratch),
        rows=fetch(run.store, base.one(artifact.ROWS), run.scratch),
        built=Built(**base.facts["built"]),
    )
    settings, rows = run.collection.index.update, work.folder / artifact.ROWS
    return update(found, fresh, vectors, spec, settings, rows, run.scratch, work.told(len(vectors)))


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
