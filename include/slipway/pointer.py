"""serving.json: the one object of a collection that changes, and only by compare-and-swap.

It names two slots, blue and green. One is live, the other is standby: the release before, kept for rollback, or, while
a shift is under way, the release on trial with the share of requests that it answers. Every change carries a generation
one higher than the last, a nonce that makes its bytes unique, and who changed what, why, from which run, from which
release to which. The same record is kept, write-once, as audit/<generation>.json.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from slipway import layout
from slipway.errors import (
    ConflictError,
    CorruptObject,
    LostRace,
    ObjectMissing,
    OperationError,
    ReleaseRefused,
    StateUnknown,
)
from slipway.storage.base import ObjectStore, Versioned

SCHEMA = 2
_FIRST_SCHEMA = 1  # without shift, retired and the candidates of what was withdrawn: read, and written anew
COLOURS = ("blue", "green")
_BUILT = re.compile(r"\d{8}T\d{6}-")
ACTIONS = ("release", "shift", "take back", "rollback", "retire", "restore")
APPROVAL = "approval"  # among what a change was allowed: its candidate was approved, as decisions/ tells of its run
_log = logging.getLogger("slipway.pointer")


@dataclass(frozen=True, slots=True)
class Slot:
    """A release in a slot: its id, the SHA-256 of its manifest, and since when it is there (UTC, ISO 8601).

    `candidate` is the place of the candidate that it was made of, where that is known.
    """

    release_id: str
    manifest_sha256: str
    since: str
    candidate: str | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift under way: the release in the standby slot is on trial and answers `percent` (1 to 100) of the requests.

    `before` stood in that slot until then, and comes back to it when the trial is taken back. `began` is UTC, `run_id`
    the run that shifts.
    """

    percent: int
    before: Slot | None
    began: str
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Why a release was rolled back or taken back, when (UTC), and the candidate it was made of, where known."""

    why: str
    at: str = ""
    candidate: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Who changed serving.json, why, from which run, and what it did: one of `ACTIONS`.

    `allowed` names what the run was told to do although a breaker, a budget or a gate forbade it, such as "deletes".
    `from_release` was live before; `to_release` is live after or, in a shift, on trial; `withdrew` names the releases
    that it withdrew. The swap fills these three in.
    """

    action: str
    who: str
    why: str
    run_id: str | None = None
    allowed: tuple[str, ...] = ()
    from_release: str | None = None
    to_release: str | None = None
    withdrew: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Serving:
    """The state of a collection's serving. Generation 0 is a collection that has never released.

    `withdrawn` holds releases that were rolled back or taken back, by id: a nightly run does not bring those back by
    itself. `retired` maps releases that retention is removing to when it began: no change puts one into a slot.
    """

    generation: int = 0
    live: str = "blue"
    slots: Mapping[str, Slot] = field(default_factory=dict)
    shift: Shift | None = None
    withdrawn: Mapping[str, Withdrawn] = field(default_factory=dict)
    retired: Mapping[str, str] = field(default_factory=dict)
    changed: Change | None = None
    at: str = ""
    nonce: str = ""
    schema: int = SCHEMA

    @property
    def live_release(self) -> Slot | None:
        """The live slot's release, if any."""
        return self.slots.get(self.live)

    @property
    def standby(self) -> str:
        """The colour of the slot that is not live."""
        return "green" if self.live == "blue" else "blue"

    @property
    def standby_release(self) -> Slot | None:
        """The release that is kept for rollback, if any; while a shift is under way, the one that was before it."""
        return self.shift.before if self.shift else self.slots.get(self.standby)

    @property
    def trial(self) -> Slot | None:
        """The release on trial, if a shift is under way."""
        return self.slots.get(self.standby) if self.shift else None

    @property
    def named(self) -> dict[str, Slot]:
        """Every release that this state may serve or go back to, by id: live, standby, and the one on trial."""
        slots = (self.live_release, self.standby_release, self.trial)
        return {slot.release_id: slot for slot in slots if slot is not None}

    def promoted(self, release_id: str, manifest_sha256: str, candidate: str | None = None) -> Serving:
        """This state with a release live and the one that was live on standby. A shift under way ends with it."""
        slot = Slot(release_id, manifest_sha256, _now(), candidate)
        colour = self.standby if self.live_release else self.live
        return replace(
            self._without_withdrawal(release_id), live=colour, slots={**self.slots, colour: slot}, shift=None
        )

    def offered(
        self,
        release_id: str,
        manifest_sha256: str,
        percent: int,
        candidate: str | None = None,
        run_id: str | None = None,
    ) -> Serving:
        """This state with a release on trial at `percent` of the requests; another trial under way ends with it.

        Raises `ReleaseRefused` where nothing is live that could answer the other requests.
        """
        if self.live_release is None:
            raise ReleaseRefused("nothing is live yet, so there is nothing to shift from; release it at once")
        on_trial = self.trial
        if on_trial is None or on_trial.release_id != release_id:
            on_trial = Slot(release_id, manifest_sha256, _now(), candidate)
        shift = Shift(percent, self.standby_release, self.shift.began if self.shift else _now(), run_id)
        slots = {**self.slots, self.standby: on_trial}
        return replace(self._without_withdrawal(release_id), slots=slots, shift=shift)

    def without_trial(self) -> Serving:
        """This state with the shift ended and what was on standby before it there again.

        Raises `ReleaseRefused` when no shift is under way.
        """
        if self.shift is None:
            raise ReleaseRefused("no release is on trial, so there is nothing to take back; see slipway releases")
        slots = {self.live: self.slots[self.live]}
        if self.shift.before:
            slots[self.standby] = self.shift.before
        return replace(self, slots=slots, shift=None)

    def taken_back(self, why: str) -> Serving:
        """This state with the shift ended and the release on trial withdrawn. Raises as `without_trial`."""
        after, leaving = self.without_trial(), self.trial
        return after._with_withdrawal(leaving, why) if leaving else after

    def rolled_back(self, release_id: str, manifest_sha256: str, why: str, candidate: str | None = None) -> Serving:
        """This state with another release live and the one that was live on standby.

        The one that is left is withdrawn, as it was found bad. A step forward again says nothing against it: to a
        release that is withdrawn itself, or that is newer; then it stays to go back to. A release on trial is taken
        back with either.
        """
        steady = self.taken_back(why) if self.shift else self
        leaving = steady.live_release
        after = steady.promoted(release_id, manifest_sha256, candidate)
        if leaving is None or release_id in steady.withdrawn or _is_newer(release_id, leaving.release_id):
            return after
        return after._with_withdrawal(leaving, why)

    def _with_withdrawal(self, slot: Slot, why: str) -> Serving:
        return replace(self, withdrawn={**self.withdrawn, slot.release_id: Withdrawn(why, _now(), slot.candidate)})

    def _without_withdrawal(self, release_id: str) -> Serving:
        return replace(self, withdrawn={name: one for name, one in self.withdrawn.items() if name != release_id})

    def to_json(self) -> bytes:
        """The state as it is stored."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Serving:
        """Parse a stored state. Raises `CorruptObject`."""
        try:
            serving = cls(**_upgraded(json.loads(body)))
            serving._check()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptObject(f"{layout.SERVING} is not one that this version can read: {error}") from error
        return serving

    def _check(self) -> None:
        """Raise ValueError or TypeError unless this is a state that a swap can have made."""
        texts = [text for slot in self.named.values() for text in (slot.release_id, slot.manifest_sha256)]
        if not all(isinstance(text, str) for text in (*texts, self.at)) or type(self.generation) is not int:
            raise TypeError("a release's id, its manifest's sum, the time or the generation is of the wrong type")
        sound = self.generation >= 1 and self.live_release is not None and set(self.slots) <= set(COLOURS)
        if sound and self.shift:
            sound = 1 <= self.shift.percent <= 100 and self.standby in self.slots
        if not sound:
            raise ValueError(
                f"generation {self.generation}, live {self.live}, slots {', '.join(self.slots) or 'none'}, "
                f"{self.shift}; put the newest record of audit/ back with slipway recover"
            )


def _is_newer(release_id: str, other: str) -> bool:
    """Whether a release's candidate was built later: an id begins with that time (UTC). False where one does not."""
    times = [_BUILT.match(one) for one in (release_id, other)]
    return all(times) and release_id[:15] > other[:15]


def _upgraded(raw: dict[str, Any]) -> dict[str, Any]:
    """The fields of `Serving` from a stored state of any schema that this version reads."""
    if raw["schema"] not in (_FIRST_SCHEMA, SCHEMA):
        raise CorruptObject(f"{layout.SERVING} has schema {raw['schema']}; this version reads schema {SCHEMA}")
    if raw["schema"] == _FIRST_SCHEMA:
        raw["withdrawn"] = {name: {"why": why} for name, why in raw["withdrawn"].items()}
    return {
        **raw,
        "schema": SCHEMA,
        "slots": {colour: Slot(**slot) for colour, slot in raw["slots"].items()},
        "shift": _shift(raw["shift"]) if raw.get("shift") else None,
        "withdrawn": {name: Withdrawn(**one) for name, one in raw["withdrawn"].items()},
        "changed": _change(raw["changed"]) if raw["changed"] else None,
    }


def _shift(raw: dict[str, Any]) -> Shift:
    return Shift(**{**raw, "before": Slot(**raw["before"]) if raw["before"] else None})


def _change(raw: dict[str, Any]) -> Change:
    return Change(**{**raw, **{name: tuple(raw.get(name, ())) for name in ("allowed", "withdrew")}})


def read_serving(store: ObjectStore) -> tuple[Serving, str | None]:
    """The state and the version to compare with; generation 0 and None before the first release.

    Raises `CorruptObject` when it cannot be read, and when it is gone although the audit trail says that it was there.
    """
    found = _read(store)
    if found is None and recorded(store):
        found = _read(store)  # the first release of all may have come in between
        if found is None:
            raise CorruptObject(
                f"{layout.SERVING} is not in {store.url}, although {layout.AUDIT} records changes of it: somebody "
                f"deleted it; put the newest record back with slipway recover"
            )
    if found is None:
        return Serving(), None
    return Serving.from_json(found.body), found.version


def _read(store: ObjectStore) -> Versioned | None:
    try:
        return store.read(layout.SERVING)
    except ObjectMissing:
        return None


def swap_serving(store: ObjectStore, change: Change, make: Callable[[Serving], Serving]) -> Serving:
    """Replace serving.json by what `make` makes of it, if nobody else changed it meanwhile.

    `make` may raise to refuse. Raises `LostRace` when another change was first, `ReleaseRefused` when the change would
    name a release that retention removes, `StateUnknown` when the store's answers do not tell, and `CorruptObject` when
    the audit trail goes on from what is there: somebody set it back.
    """
    current, version = read_serving(store)
    if store.exists(layout.audit(current.generation + 1)):  # a record is only written when its swap has landed
        raise _behind(store, current, change.action)
    made = make(current)
    _check_none_retired(made)
    _record(store, current)  # of a process that died between its swap and its audit record
    after = replace(
        made,
        generation=current.generation + 1,
        changed=_with_releases(change, current, made),
        at=_now(),
        nonce=secrets.token_hex(8),
    )
    write_state(store, after, version, change.action)
    return after


def write_state(store: ObjectStore, after: Serving, version: str | None, action: str) -> None:
    """Write a state in the place of the one at `version` (None: there is none), and its audit record.

    Changes go through `swap_serving`; this is for what cannot be read and has to be put back. Raises as that does.
    """
    body = after.to_json()
    _check_readable(body, action)
    try:
        store.put_if(layout.SERVING, body, version)
    except ConflictError as error:
        if not _has_landed(store, after):
            raise _overtaken(action) from error
        return  # and somebody has changed it since
    try:
        _record(store, after)
    except CorruptObject as error:  # the swap is done all the same; verify says so too, and the next swap refuses
        _log.error("this %s is done, and has no record: %s", action, error)
    except OperationError:  # the next swap records it
        return


def _overtaken(action: str) -> LostRace:
    return LostRace(
        f"{layout.SERVING} was changed by somebody else at the same moment; nothing was changed by this {action}. Look "
        f"at what is live now (slipway releases), then run it again"
    )


def _behind(store: ObjectStore, current: Serving, action: str) -> LostRace | CorruptObject:
    """Why a state is older than its audit trail: somebody changed it since it was read, or it was set back."""
    if read_serving(store)[0] != current:
        return _overtaken(action)
    return CorruptObject(
        f"{layout.SERVING} is at generation {current.generation}, and {layout.audit(current.generation + 1)} records "
        f"the one after it: somebody set it back. Nothing was changed by this {action}; put the newest record back "
        f"with slipway recover"
    )


def _check_none_retired(made: Serving) -> None:
    for release_id in made.named:
        if release_id in made.retired:
            raise ReleaseRefused(
                f"release {release_id} is being removed by retention since {made.retired[release_id]}; let slipway "
                f"retention finish that, then release it anew, or restore it from a backup"
            )


def _check_readable(body: bytes, action: str) -> None:
    """Refuse a change whose result could not be read again, whoever made it."""
    try:
        Serving.from_json(body)
    except CorruptObject as error:
        raise ReleaseRefused(
            f"this {action} makes no sound state, so nothing was changed: {error}; is anything released yet "
            f"(slipway releases)?"
        ) from error


def _with_releases(change: Change, before: Serving, after: Serving) -> Change:
    left, reached = before.live_release, after.trial or after.live_release
    return replace(
        change,
        from_release=left.release_id if left else None,
        to_release=reached.release_id if reached else None,
        withdrew=tuple(sorted(set(after.withdrawn) - set(before.withdrawn))),
    )


def _has_landed(store: ObjectStore, after: Serving) -> bool:
    """Whether a swap is done although it was told to have lost: its reply was lost, and somebody went on from it.

    Whoever goes on from a state records it first, so then there is a record of this one. Raises `StateUnknown`.
    """
    try:
        return Serving.from_json(store.read(layout.audit(after.generation)).body) == after
    except ObjectMissing:
        return False
    except OperationError as error:
        raise StateUnknown(
            f"generation {after.generation} of {layout.SERVING} may or may not be this change, and {layout.AUDIT} "
            f"cannot be read ({error}); see slipway audit when the store answers, and delete nothing before"
        ) from error


def _record(store: ObjectStore, serving: Serving) -> None:
    """Write a state's audit record, once. Raises `CorruptObject` when its generation is recorded as another state."""
    if serving.generation == 0:
        return
    try:
        store.put_if(layout.audit(serving.generation), serving.to_json(), None)
    except ConflictError:
        if not is_recorded(store, serving):
            raise CorruptObject(
                f"generation {serving.generation} of {layout.SERVING} is not the one that "
                f"{layout.audit(serving.generation)} records: somebody set it back, and it was changed since; put the "
                f"newest record back with slipway recover"
            ) from None


def is_recorded(store: ObjectStore, serving: Serving) -> bool:
    """Whether the record of its generation is of this state. One that cannot be read contradicts nothing.

    Raises `ObjectMissing` where there is none.
    """
    try:
        return read_record(store, serving.generation) == serving
    except CorruptObject:
        return True  # slipway audit and slipway doctor tell of it; it keeps nobody from a rollback


def recorded(store: ObjectStore) -> list[int]:
    """The generations that have an audit record, oldest first, by their names: a damaged one counts too.

    What else lies below audit/ is passed over.
    """
    names = ((info.key, info.key.removeprefix(layout.AUDIT).removesuffix(".json")) for info in store.list(layout.AUDIT))
    return sorted(int(name) for key, name in names if name.isdecimal() and key == layout.audit(int(name)))


def read_record(store: ObjectStore, generation: int) -> Serving:
    """The state that was recorded. Raises `ObjectMissing`, and `CorruptObject` when it cannot be read."""
    key = layout.audit(generation)
    try:
        state = Serving.from_json(store.read(key).body)
    except CorruptObject as error:
        raise CorruptObject(f"{key} cannot be read: {error}") from error
    if state.generation != generation:
        raise CorruptObject(f"{key} cannot be read: it holds generation {state.generation}")
    return state


def records(store: ObjectStore, last: int | None = None) -> Iterator[tuple[int, Serving | CorruptObject]]:
    """The audit trail, newest first, or its `last` so many records: each generation with its state.

    Each is read when it is asked for; the error stands in the place of one that cannot be read.
    """
    for generation in reversed(recorded(store)[-(last or 0) :]):
        try:
            yield generation, read_record(store, generation)
        except (CorruptObject, ObjectMissing) as error:
            yield generation, CorruptObject(str(error))


def audit_trail(store: ObjectStore, last: int | None = None) -> list[dict[str, Any]]:
    """All changes of serving.json, or the `last` so many, oldest first; the newest too where its record is still owed.

    One that cannot be read has its `generation` and, as `unreadable`, why. A serving.json that is lost or damaged
    hides no record.
    """
    changes = [_told(*one) for one in records(store, last)][::-1]
    try:
        now, _ = read_serving(store)
    except CorruptObject:
        return changes
    if now.generation > (changes[-1]["generation"] if changes else 0):
        changes.append(_told(now.generation, now))
    return changes[-(last or 0) :]


def _told(generation: int, state: Serving | CorruptObject) -> dict[str, Any]:
    if isinstance(state, CorruptObject):
        return {"generation": generation, "unreadable": str(state)}
    told: dict[str, Any] = json.loads(state.to_json())
    return told


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
