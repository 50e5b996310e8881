"""Going back: to the standby release or to any retained one, by one swap. Nothing is rebuilt and nothing is loaded."""

from __future__ import annotations

from typing import Any

from slipway import layout
from slipway.errors import CorruptObject, LostRace, ObjectMissing, ReleaseRefused, UntrustedRelease
from slipway.pointer import Change, Serving, read_serving, swap_serving
from slipway.serving.catalogue import manifest_sums
from slipway.serving.loading import Whole, check_whole, read_release_manifest
from slipway.signing import Trusted
from slipway.storage.base import ObjectStore

ACTION = "rollback"
LOOKED_BACK = 10  # changes; a retry comes within minutes, and even a shift makes few
TRIES = 5  # swaps; each is lost only to another change within the same moment


def roll_back(
    store: ObjectStore,
    who: str,
    why: str,
    to: str | None = None,
    run_id: str | None = None,
    trusted: Trusted | None = None,
) -> Serving:
    """Make the standby release, or the retained release `to`, live again, and withdraw what is left.

    What is left is not withdrawn where that is a step forward again (see Serving.rolled_back). While a shift is under
    way, its release is taken back, which is all there is to do unless `to` names another than the live one. Nothing
    happens when `run_id` has done this already, so that a retry is safe: returned is the state that it made then.

    A swap that is lost to a change which leaves every release in its place (a step of a shift, a note of retention) is
    tried again. `trusted` holds the keys that readers ask for. Raises `ReleaseRefused`, `UntrustedRelease`, and
    `CorruptObject` when the release's manifest is not the one that was live once.
    """
    if not why.strip():
        raise ReleaseRefused("a rollback needs a reason, for those who read the audit trail")
    if run_id and (done := _done_by(store, run_id)):
        return done
    begun, _ = read_serving(store)

    def swap(now: Serving) -> Serving:
        _check_same_releases(now, begun)
        live = now.live_release.release_id if now.live_release else None
        if now.shift and to in (None, live):
            return now.taken_back(why)
        target = to or _standby_of(now)
        if live == target:
            raise ReleaseRefused(f"release {target} is live already")
        found = _checked(store, target, now, trusted)
        return now.rolled_back(target, found.manifest_sha256, why, found.manifest.facts.get("candidate"))

    change = Change(ACTION, who, why, run_id)
    for _ in range(TRIES - 1):
        try:
            return swap_serving(store, change, swap)
        except LostRace:
            continue  # whether it may be tried again is for `swap` to say, which sees the change
    return swap_serving(store, change, swap)


def outcome(after: Serving) -> dict[str, Any]:
    """What the rollback to this state did: `live` and `withdrawn` (release ids), and `generation`."""
    live = after.live_release
    return {
        "live": live.release_id if live else None,
        "generation": after.generation,
        "withdrawn": list(after.changed.withdrew) if after.changed else [],
    }


def _check_same_releases(now: Serving, begun: Serving) -> None:
    """Raise unless each release is where it was: a rollback means what its caller saw, and not what came since."""
    if _releases(now) == _releases(begun):
        return
    last = now.changed
    by = f" by {last.who} ({last.action}: {last.why})" if last else ""
    raise ReleaseRefused(
        f"{layout.SERVING} was changed{by} at the same moment, and now names other releases; nothing was changed by "
        f"this rollback. Look at what is live now (slipway releases), then run it again"
    )


def _releases(serving: Serving) -> list[str | None]:
    slots = (serving.live_release, serving.standby_release, serving.trial)
    return [slot.release_id if slot else None for slot in slots]


def _checked(store: ObjectStore, target: str, now: Serving, trusted: Trusted | None) -> Whole:
    """The release, if it is whole, the one that was live once as far as anybody knows, and signed where that counts."""
    slot = now.named.get(target)
    known = slot.manifest_sha256 if slot else manifest_sums(store, [target]).get(target)
    found = check_whole(store, target, known)
    if trusted is None:
        return found
    try:
        read_release_manifest(store, target, found.manifest_sha256, trusted)
    except UntrustedRelease as error:
        raise UntrustedRelease(
            f"{error}. Readers that ask for a signature refuse it, so nothing was changed; name another release with "
            f"--to (slipway releases)"
        ) from error
    return found


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
