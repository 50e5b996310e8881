"""Which places are needed: marked from what serves, what can be built on, and what was written of late.

In any case stay: every sealed release, the newest checkpoints, runs that wrote of late, and whatever was written of
late; and then what these reach. Nothing is guessed: something that is needed for the decision and is missing or
unreadable is an error, so that nothing is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from slipway import layout
from slipway.errors import CorruptObject, ObjectMissing
from slipway.maintenance.campaign import Campaign
from slipway.maintenance.survey import Survey, is_start, run_of
from slipway.pointer import Serving

# By kind: the facts that name a place that must be there. Evaluations, comparisons and releases name candidates that
# may be gone.
_MUST = {"releases": "snapshot", "checkpoints": "snapshot", "candidates": "snapshot", "chunks": "snapshot"}
_MAY = {"candidates": "choice", "releases": "candidate", "evaluations": "candidate", "comparisons": "candidate"}
_JUDGED = ("evaluations", "comparisons")
DRIFT_RECORDS = 400  # newest records of drift that stay: more than a year of nights, of some kilobytes each
NO_CAMPAIGN = Campaign(None)


def needed(
    found: Survey, serving: Serving, before: datetime, checkpoints: int, campaign: Campaign = NO_CAMPAIGN
) -> set[str]:
    """Paths of the sealed places that must stay, vectors apart. What was written since `before` (UTC) is young.

    `checkpoints` is how many of the newest stay in any case; so does what a `campaign` at work began with. Raises
    `ObjectMissing` and `CorruptObject` when something that is needed is not there.
    """
    _check_serving(found, serving)
    releases = set(found.sealed("releases"))
    newest = sorted(found.sealed("checkpoints"))[-checkpoints:]
    kept = _reached(found, {*releases, *newest, *_young(found, before), *_of_runs(found, before, campaign)})
    built_on = {found.fact(path, "snapshot") for path in kept if path.startswith(layout.CHECKPOINTS)}
    released = {found.fact(path, "snapshot") for path in releases}
    kept = _reached(found, {*kept, *_made_of(found, "chunks", built_on | released)})
    kept = _reached(found, {*kept, *_made_of(found, "candidates", built_on)})
    judged = kept | {found.fact(path, "candidate") for path in releases}
    kept |= set(sorted(found.sealed("drift"))[-DRIFT_RECORDS:])
    kept |= {path for kind in _JUDGED for path in found.sealed(kind) if found.fact(path, "candidate") in judged}
    kept |= {path for path in found.sealed("reports") if layout.release(found.fact(path, "release_id")) in releases}
    return kept | {path for path in found.sealed("differences") if _sides(found, path) <= kept}


def of_same_content(found: Survey, path: str, snapshots: Iterable[str | None]) -> bool:
    """Whether what lies at `path` was made of one of these snapshots, or of one with the same documents."""
    known = set(snapshots)
    contents = {found.fact(snapshot, "content") for snapshot in known} - {None}
    snapshot = found.fact(path, "snapshot")
    content = found.fact(path, "content") or found.fact(snapshot, "content")
    return snapshot in known or content in contents


def _check_serving(found: Survey, serving: Serving) -> None:
    for colour, slot in serving.slots.items():
        if not found.is_sealed(layout.release(slot.release_id)):
            raise ObjectMissing(
                f"{layout.SERVING} has release {slot.release_id} in slot {colour}, and it is not in the store. Nothing "
                "was removed: restore the release, or make another one live, then run the maintenance again"
            )


def _young(found: Survey, before: datetime) -> Iterator[str]:
    for path, place in found.places.items():
        if place.kind != "vectors" and place.manifest is not None and place.written_at >= before:
            yield path


def _of_runs(found: Survey, before: datetime, campaign: Campaign) -> Iterator[str]:
    """Of runs that wrote of late, and of a campaign: it may embed for weeks before it writes below `runs/` again."""
    return (path for path in found.sealed("runs") if found.runs[run_of(path)] >= before or campaign.owns(path))


def _reached(found: Survey, roots: set[str]) -> set[str]:
    """The roots and all that they name, and what that names."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += _named(found, path)
    return reached


def _named(found: Survey, path: str) -> Iterator[str]:
    kind = found.places[path].kind
    if is_start(path) and found.fact(path, "base") is not None:
        yield _that_is_there(found, path, "base")
    if kind in _MUST:
        yield _that_is_there(found, path, _MUST[kind])
    if kind in _MAY and found.is_sealed(found.fact(path, _MAY[kind])):
        yield found.fact(path, _MAY[kind])


def _that_is_there(found: Survey, path: str, fact: str) -> str:
    named = found.fact(path, fact)
    if not isinstance(named, str):
        raise CorruptObject(
            f"the manifest of {path} does not say what its {fact} is, so it cannot be told what it needs. Nothing was "
            "removed: restore it, or remove it if nobody needs it"
        )
    if not found.is_sealed(named):
        raise ObjectMissing(
            f"{path} needs {named}, which is not in the store. Nothing was removed: restore it; or, if nobody needs "
            f"{path}, remove that; then run the maintenance again"
        )
    return named


def _made_of(found: Survey, kind: str, snapshots: set[str | None]) -> Iterator[str]:
    return (path for path in found.sealed(kind) if of_same_content(found, path, snapshots))


def _sides(found: Survey, path: str) -> set[str]:
    sides = (found.fact(path, "snapshot"), found.fact(path, "baseline"))
    return {side for side in sides if side is not None}
