"""serving.json: the one object of a collection that changes, and only by compare-and-swap.

It names two slots, blue and green. One is live, the other is standby: the release before, kept for rollback. Every
change carries a generation one higher than the last, a nonce that makes its bytes unique, and who changed what, why,
from which run. The same record is kept, write-once, as audit/<generation>.json.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from slipway import layout
from slipway.errors import ConflictError, CorruptObject, ObjectMissing, OperationError, ReleaseRefused
from slipway.storage.base import ObjectStore

SCHEMA = 1
COLOURS = ("blue", "green")


@dataclass(frozen=True, slots=True)
class Slot:
    """A release in a slot: its id, the SHA-256 of its manifest, and since when it is there (UTC, ISO 8601)."""

    release_id: str
    manifest_sha256: str
    since: str


@dataclass(frozen=True, slots=True)
class Change:
    """Who changed serving.json, why, from which run, and what it did ("release" or "rollback").

    `allowed` names what the run was told to do although a breaker or a budget forbade it, such as "deletes".
    """

    action: str
    who: str
    why: str
    run_id: str | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Serving:
    """The state of a collection's serving. Generation 0 is a collection that has never released.

    `withdrawn` maps releases that were rolled back to the reason: a nightly run does not bring those back by itself.
    """

    generation: int = 0
    live: str = "blue"
    slots: Mapping[str, Slot] = field(default_factory=dict)
    withdrawn: Mapping[str, str] = field(default_factory=dict)
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
        """The standby slot's release, if any."""
        return self.slots.get(self.standby)

    def promoted(self, release_id: str, manifest_sha256: str) -> Serving:
        """This state with a release put into the standby slot and that slot made live."""
        slot = Slot(release_id, manifest_sha256, _now())
        withdrawn = {name: why for name, why in self.withdrawn.items() if name != release_id}
        colour = self.standby if self.live_release else self.live
        return replace(self, live=colour, slots={**self.slots, colour: slot}, withdrawn=withdrawn)

    def rolled_back(self, release_id: str, manifest_sha256: str, why: str) -> Serving:
        """This state with an older release live and the one that was live withdrawn, on standby."""
        leaving = self.live_release
        after = self.promoted(release_id, manifest_sha256)
        return replace(after, withdrawn={**after.withdrawn, leaving.release_id: why}) if leaving else after

    def to_json(self) -> bytes:
        """The state as it is stored."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Serving:
        """Parse a stored state. Raises `CorruptObject`."""
        try:
            raw = json.loads(body)
            if raw["schema"] != SCHEMA:
                raise CorruptObject(f"{layout.SERVING} has schema {raw['schema']}; this version reads schema {SCHEMA}")
            raw["slots"] = {colour: Slot(**slot) for colour, slot in raw["slots"].items()}
            raw["changed"] = _change(raw["changed"]) if raw["changed"] else None
            serving = cls(**raw)
            serving._check()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptObject(f"{layout.SERVING} is not one that this version can read: {error}") from error
        return serving

    def _check(self) -> None:
        """Raise ValueError or TypeError unless this is a state that a swap can have made."""
        if self.generation < 1 or self.live_release is None or not set(self.slots) <= set(COLOURS):
            raise ValueError(
                f"generation {self.generation}, live {self.live}, slots {', '.join(self.slots) or 'none'}; "
                f"restore it from the newest record in audit/"
            )


def _change(raw: dict[str, Any]) -> Change:
    return Change(**{**raw, "allowed": tuple(raw.get("allowed", ()))})


def read_serving(store: ObjectStore) -> tuple[Serving, str | None]:
    """The state and the version to compare with; generation 0 and None before the first release."""
    try:
        found = store.read(layout.SERVING)
    except ObjectMissing:
        return Serving(), None
    return Serving.from_json(found.body), found.version


def swap_serving(store: ObjectStore, change: Change, make: Callable[[Serving], Serving]) -> Serving:
    """Replace serving.json by what `make` makes of it, if nobody else changed it meanwhile.

    `make` may raise to refuse. Raises `ReleaseRefused` when another change was first and `StateUnknown` when the
    store's answers do not tell.
    """
    current, version = read_serving(store)
    made = make(current)
    _record(store, current)  # of a process that died between its swap and its audit record
    after = replace(made, generation=current.generation + 1, changed=change, at=_now(), nonce=secrets.token_hex(8))
    try:
        store.put_if(layout.SERVING, after.to_json(), version)
    except ConflictError as error:
        raise ReleaseRefused(
            f"{layout.SERVING} was changed by somebody else at the same moment; nothing was changed by this "
            f"{change.action}. Look at what is live now (slipway releases), then run it again"
        ) from error
    with suppress(OperationError):  # the swap is done, and the next one records it if this cannot
        _record(store, after)
    return after


def _record(store: ObjectStore, serving: Serving) -> None:
    if serving.generation == 0:
        return
    try:
        store.put_if(layout.audit(serving.generation), serving.to_json(), None)
    except ConflictError:  # recorded already
        return


def audit_trail(store: ObjectStore) -> list[dict[str, Any]]:
    """All changes of serving.json, oldest first."""
    return [json.loads(store.read(info.key).body) for info in store.list("audit/")]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
