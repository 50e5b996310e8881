"""Going back: to the standby release or to any retained one, by one swap. Nothing is rebuilt and nothing is loaded."""

from __future__ import annotations

from typing import Any

from slipway import layout
from slipway.errors import CorruptObject, ObjectMissing, ReleaseRefused
from slipway.pointer import Change, Serving, read_serving, swap_serving
from slipway.serving.loading import check_whole
from slipway.storage.base import ObjectStore

ACTION = "rollback"
LOOKED_BACK = 10  # changes; a retry comes within minutes, and even a shift makes few


def roll_back(store: ObjectStore, who: str, why: str, to: str | None = None, run_id: str | None = None) -> Serving:
    """Make the standby release, or the retained release `to`, live again, and withdraw what is left.

    While a shift is under way, its release is taken back, which is all there is to do unless `to` names another than
    the live one. Nothing happens when `run_id` has done this already, so that a retry is safe: returned is the state
    that it made then. Raises `ReleaseRefused`.
    """
    if not why.strip():
        raise ReleaseRefused("a rollback needs a reason, for those who read the audit trail")
    if run_id and (done := _done_by(store, run_id)):
        return done

    def swap(now: Serving) -> Serving:
        live = now.live_release.release_id if now.live_release else None
        if now.shift and to in (None, live):
            return now.taken_back(why)
        target = to or _standby_of(now)
        if live == target:
            raise ReleaseRefused(f"release {target} is live already")
        slot = now.named.get(target)
        found = check_whole(store, target, slot.manifest_sha256 if slot else None)
        return now.rolled_back(target, found.manifest_sha256, why, found.manifest.facts.get("candidate"))

    return swap_serving(store, Change(ACTION, who, why, run_id), swap)


def outcome(store: ObjectStore, after: Serving) -> dict[str, Any]:
    """What the rollback to this state did: `live` and `withdrawn` (release ids), and `generation`."""
    before = Serving.from_json(store.read(layout.audit(after.generation - 1)).body)  # which the swap recorded first
    live = after.live_release
    return {
        "live": live.release_id if live else None,
        "generation": after.generation,
        "withdrawn": sorted(set(after.withdrawn) - set(before.withdrawn)),
    }


def _standby_of(now: Serving) -> str:
    slot = now.standby_release
    if slot is None:
        raise ReleaseRefused("there is no standby release to roll back to; name a retained one with --to")
    if slot.release_id in now.withdrawn:
        raise ReleaseRefused(
            f"the standby release {slot.release_id} was withdrawn ({now.withdrawn[slot.release_id].why}), so it does "
            f"not come back by itself; name it with --to if that is meant, or another one of slipway releases"
        )
    return slot.release_id


def _done_by(store: ObjectStore, run_id: str) -> Serving | None:
    """The state that this run made, among the last changes: somebody may have changed it again before the retry."""
    now, _ = read_serving(store)
    for generation in range(now.generation, max(0, now.generation - LOOKED_BACK), -1):
        one = now if generation == now.generation else _recorded(store, generation)
        if one and one.changed and (one.changed.action, one.changed.run_id) == (ACTION, run_id):
            return one
    return None


def _recorded(store: ObjectStore, generation: int) -> Serving | None:
    try:
        return Serving.from_json(store.read(layout.audit(generation)).body)
    except (ObjectMissing, CorruptObject):
        return None  # what is wrong with an old record keeps nobody from rolling back
