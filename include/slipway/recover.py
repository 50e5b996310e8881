"""A serving.json that was lost, damaged or set back: what is known of it, and how it comes back.

This is the only way past `swap_serving`, which refuses to touch what it cannot read. It compares and swaps all the
same: with the damaged object's version, or with its absence.
"""

from __future__ import annotations

import json
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from slipway import layout, pointer
from slipway.acknowledgement import heard
from slipway.errors import CorruptObject, ObjectMissing, ReleaseRefused
from slipway.pointer import Change, Serving, is_recorded, read_serving, recorded, records
from slipway.serving.loading import check_whole
from slipway.storage.base import ObjectStore

ACTION = "restore"
BEYOND = 10_000  # generations that a reader may be ahead of all records; years of nights
_log = logging.getLogger("slipway.recover")


@dataclass(frozen=True, slots=True)
class Lost:
    """A serving.json that cannot be used: its version to compare with (None: it is not there), and why.

    `unrecorded` is the state in it that no audit record tells of, made from one that was set back.
    """

    version: str | None
    why: str
    unrecorded: Serving | None = None


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was put back: the live release, the generation now, the record's, and what was found or left out (notes)."""

    live: str
    generation: int
    record: int
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it, for people and scripts."""
        return {"live": self.live, "generation": self.generation, "record": self.record, "notes": list(self.notes)}


def recover(store: ObjectStore, who: str, why: str) -> Recovered:
    """Put the newest audit record back whose live release is whole, in the place of a lost or damaged serving.json.

    Older records follow where a newer one cannot be read or its live release is not whole; a release that was withdrawn
    or is being removed is never brought back. A trial that was under way ends, and a standby release that is not whole
    is left out; the notes say so. A change that was made from a state that was set back, and that has no record, is
    told in the notes and in the new record's reason; where anything tells of a newer change than the one put back, so
    do the notes, with what the readers that saw it serve. Raises `ReleaseRefused` when serving.json is sound, or
    nothing can be put back.
    """
    if not why.strip():
        raise ReleaseRefused("a recovery needs a reason, for those who read the audit trail")
    lost = sound_or_lost(store)
    if isinstance(lost, Serving):
        said = "nothing was ever released" if lost.generation == 0 else f"sound, at generation {lost.generation}"
        raise ReleaseRefused(f"{layout.SERVING} in {store.url} is {said}: there is nothing to recover")
    notes = [lost.why]
    if lost.unrecorded:
        notes.append(_said_of(lost.unrecorded))
        why = f"{why} ({notes[-1]})"
    state = _newest_whole(store, notes)
    newest = newest_generation(store)
    if newest > state.generation:
        notes.append(_said_of_newer(store, newest, state.generation))
    after = put_back(store, state, Change(ACTION, who, why), lost.version, newest)
    assert after.live_release is not None
    return Recovered(after.live_release.release_id, after.generation, state.generation, tuple(notes))


def sound_or_lost(store: ObjectStore) -> Serving | Lost:
    """The state as it is (generation 0: nothing was ever released), or what is wrong with it.

    A state that is older than the audit trail is lost too: somebody put an old one back. Raises `ReleaseRefused` when
    a newer version of Slipway wrote it.
    """
    newest = max(recorded(store), default=0)  # before the state, which may be swapped between the two
    try:
        serving, version = read_serving(store)
    except CorruptObject as error:
        return _damaged(store, str(error))
    if serving.generation < newest:
        return Lost(
            version,
            f"{layout.SERVING} is at generation {serving.generation}, the audit trail at {newest}, which is newer",
            _unrecorded(store, serving),
        )
    if serving.generation == newest > 0 and not is_recorded(store, serving):
        return Lost(
            version,
            f"{layout.SERVING} is not what {layout.audit(newest)} records of generation {newest}: it was set back, "
            f"and changed since",
            serving,
        )
    return serving


def _unrecorded(store: ObjectStore, serving: Serving) -> Serving | None:
    try:
        return None if is_recorded(store, serving) else serving
    except ObjectMissing:
        return serving


def _said_of(state: Serving) -> str:
    made, live = state.changed or Change("change", "somebody", ""), state.live_release
    return (
        f"a {made.action} by {made.who} at {state.at}, to generation {state.generation} with "
        f"{live.release_id if live else 'nothing'} live, has no record and is left out"
    )


def _said_of_newer(store: ObjectStore, newest: int, taken: int) -> str:
    """That what is put back is older than what is known of, and what the readers that saw something newer serve."""
    seen = [one.said for one in heard(store)[0] if one.said.generation > taken]
    readers = "; ".join(f"reader {one.reader} saw {one.generation} and serves {one.live}" for one in seen)
    return (
        f"generation {newest} is known of, and {taken} is put back: a change after it may have been a rollback, so see "
        f"whether what is live now is meant to be ({readers or 'no reader tells what it saw'})"
    )


def _damaged(store: ObjectStore, why: str) -> Lost:
    try:
        found = store.read(layout.SERVING)
    except ObjectMissing:
        return Lost(None, why)
    schema = _field(found.body, "schema")
    if schema is not None and schema > pointer.SCHEMA:
        raise ReleaseRefused(
            f"{why}: a newer version of Slipway wrote it. Upgrade this one; nothing is to be recovered"
        )
    return Lost(found.version, why)


def _field(body: bytes, name: str) -> int | None:
    """A whole number of a damaged state, where it can still be read."""
    try:
        value = json.loads(body)[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return value if type(value) is int else None


def newest_generation(*stores: ObjectStore) -> int:
    """The highest generation of serving.json that anything in these stores tells of: it, its records, or a reader.

    A reader that is `BEYOND` above all records is not believed, and a warning says so.
    """
    newest = max((number for store in stores for number in recorded(store)), default=0)
    told = [newest]
    for store in stores:
        for one in heard(store)[0]:
            if type(one.said.generation) is int and one.said.generation <= newest + BEYOND:
                told.append(one.said.generation)
            else:
                _log.warning(
                    "the generation %s of reader %s is not counted: the newest record of %s is of %d",
                    *(one.said.generation, one.said.reader, layout.AUDIT, newest),
                )
        with suppress(ObjectMissing):
            told.append(_field(store.read(layout.SERVING).body, "generation") or 0)
    return max(told)


def last_record(*stores: ObjectStore) -> Serving:
    """The newest state that an audit trail of these tells of; generation 0 where there is none."""
    newest = (next((one for _, one in records(store) if isinstance(one, Serving)), Serving()) for store in stores)
    return max(newest, key=lambda one: one.generation)


def _newest_whole(store: ObjectStore, notes: list[str]) -> Serving:
    """The newest recorded state that can serve, with what the newest readable record says of withdrawn releases."""
    last = last_record(store)
    for _, one in records(store):
        if isinstance(one, CorruptObject):
            notes.append(f"{one}; the record before it is taken")
            continue
        why = _why_not(store, one, last)
        if why is None:
            return _reduced(store, replace(one, withdrawn=last.withdrawn, retired=last.retired), notes)
        notes.append(f"generation {one.generation} is not put back: {why}")
    raise ReleaseRefused(
        f"{layout.SERVING} cannot be put back: {'; '.join(notes)}. Restore a release from a backup: slipway restore"
    )


def _why_not(store: ObjectStore, state: Serving, last: Serving) -> str | None:
    """Why a recorded state cannot come back; None when it can. `last` is the newest one that is known."""
    live = state.live_release
    if live is None:
        return "it names no live release"
    if live.release_id in last.retired:
        return f"its release {live.release_id} is being removed by retention"
    if live.release_id in last.withdrawn:
        return f"its release {live.release_id} was withdrawn ({last.withdrawn[live.release_id].why})"
    try:
        check_whole(store, live.release_id, live.manifest_sha256)
    except (ReleaseRefused, CorruptObject, ObjectMissing) as error:
        return str(error)
    return None


def _reduced(store: ObjectStore, state: Serving, notes: list[str]) -> Serving:
    """The state without its trial, and without a standby release that cannot serve."""
    if state.trial:
        notes.append(f"the trial of release {state.trial.release_id} is ended; a nightly run makes it anew")
        state = state.without_trial()
    standby = state.standby_release
    if standby is None:
        return state
    try:
        if standby.release_id in state.retired:
            raise ReleaseRefused("it is being removed by retention")
        check_whole(store, standby.release_id, standby.manifest_sha256)
    except (ReleaseRefused, CorruptObject, ObjectMissing) as error:
        notes.append(f"the standby release {standby.release_id} is left out: {error}")
        return replace(state, slots={state.live: state.slots[state.live]})
    return state


def put_back(store: ObjectStore, state: Serving, change: Change, version: str | None, above: int) -> Serving:
    """Write serving.json where it was lost, with a generation higher than `above`, and its audit record.

    `version` is that of the damaged object (None: there is none). Raises `ReleaseRefused` when somebody else wrote it
    meanwhile, and `StateUnknown` when the store's answers do not tell.
    """
    live = state.live_release
    after = replace(
        state,
        generation=above + 1,
        changed=replace(change, to_release=live.release_id if live else None),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        nonce=secrets.token_hex(8),
    )
    pointer.write_state(store, after, version, change.action)
    return after
