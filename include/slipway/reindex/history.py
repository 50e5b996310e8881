"""What became of serving.json since a campaign began or was approved: its own release, and rollbacks."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.errors import CorruptObject, ReleaseRefused
from slipway.pointer import Serving, read_serving, records
from slipway.rollback import ACTION as ROLLBACK
from slipway.stages.release import RELEASE, Released
from slipway.storage.base import ObjectStore

_AGAIN = "begin another campaign, which is compared with what is live now; what is embedded stays"


def find_release(store: ObjectStore, run_id: str, generation: int) -> Released | None:
    """What this run released after `generation`, if anything: live still, or replaced since.

    Raises `ReleaseRefused` where it was rolled back since, and `CorruptObject` where a record cannot be read.
    """
    live = read_serving(store)[0].live_release
    since: list[Serving] = []  # newest first
    for state in _changes(store, generation):
        if _is(state, RELEASE) and state.changed and state.changed.run_id == run_id and state.live_release:
            released = state.live_release.release_id
            if live and live.release_id == released:
                return Released(True, released, state.generation, f"live in slot {state.live}")
            return _replaced(released, state.generation, since)
        since.append(state)
    return None


def check_none_rolled_back(store: ObjectStore, generation: int) -> None:
    """Raise `ReleaseRefused` where somebody rolled back after `generation`; `CorruptObject` as `find_release`.

    Whoever did so found documents or answers bad that this campaign may hold too, and nobody has looked at that.
    """
    for state in _changes(store, generation):
        if _is(state, ROLLBACK):
            raise ReleaseRefused(
                f"the candidate was approved at generation {generation}, and since then {_told(state)}. What was left "
                f"then may be in the candidate too: {_AGAIN}"
            )


def _replaced(release_id: str, generation: int, since: list[Serving]) -> Released:
    """`since`: the states after the release, newest first."""
    for state in since:
        if state.live_release and state.live_release.release_id == release_id:
            break  # whatever it was before, somebody brought it back
        if state.changed and release_id in state.changed.withdrew:
            raise ReleaseRefused(
                f"this campaign released {release_id} at generation {generation}, and {_told(state)}; it does not come "
                f"back by a retry. To bring it back on purpose: slipway rollback --to {release_id}; otherwise {_AGAIN}"
            )
    return Released(True, release_id, generation, f"released at generation {generation}, and replaced since")


def _told(state: Serving) -> str:
    change = state.changed
    by = f"{change.who} rolled back from {change.from_release} to {change.to_release}" if change else "it was changed"
    return f"{by} (generation {state.generation}, {state.at}: {change.why if change else '?'})"


def _is(state: Serving, action: str) -> bool:
    return state.changed is not None and state.changed.action == action


def _changes(store: ObjectStore, generation: int) -> Iterator[Serving]:
    """The states after `generation`, newest first; the newest too where its record is still owed."""
    now, _ = read_serving(store)
    if now.generation > generation:
        yield now
    for number, state in records(store):
        if number <= generation:
            return
        if isinstance(state, CorruptObject):
            raise state
        if number < now.generation:
            yield state
