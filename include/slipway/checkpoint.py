"""What a run builds on: the beginning it noted, and the newest checkpoint.

A checkpoint names a snapshot that passed the breaker, and for each source how far it was read (`position`), when it was
last read in full, and by which recipe its rows became documents. It is sealed after the snapshot, so a watermark moves
only when the snapshot that holds the rows below it is there. Checkpoints are never changed: the next run takes the
newest. Any of them is a sound base, since each says what its snapshot holds; the newest is the cheapest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from slipway import layout
from slipway.config.encoder import Encoder
from slipway.config.index import Index
from slipway.errors import InputError
from slipway.manifest import MANIFEST, Draft, Manifest, find, fingerprint, load
from slipway.run import Run
from slipway.storage.base import ObjectStore

ALLOWANCES = ("deletes", "changes", "encoder_change", "over_budget", "undecided")


@dataclass(frozen=True, slots=True)
class SourceState:
    """How far a source was read: the `position` to go on from (None: it can only be read in full), UTC time of the
    last full reading (ISO 8601), and the recipe by which its rows became documents.
    """

    position: Mapping[str, Any] | None
    full_at: str
    recipe: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A snapshot to build on. `snapshot` is its place."""

    place: str
    snapshot: str
    sources: Mapping[str, SourceState]


@dataclass(frozen=True, slots=True)
class Start:
    """What a run found when it began, and what it may do. Sealed once: every task and every retry sees the same.

    `base` is the place of the checkpoint that it builds on. `allowed` names what a person allowed (see ALLOWANCES);
    `full` asks for a full reading of every source. `settings` holds what takes the place of the collection file's
    `encoder` and `index` in this run, as a file would have it, and `note` says why: the live release is of another
    encoder than the file, or the run is a reindex campaign. `settings` then also keeps what the file said
    (slipway.agreement), and what was asked of a campaign.
    """

    generation: int
    live_release: str | None
    encoder: str
    base: str | None = None
    full: bool = False
    allowed: tuple[str, ...] = field(default_factory=tuple)
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def states(readings: Iterable[Manifest]) -> dict[str, SourceState]:
    """How far each source was read, from the manifests of a run's readings."""
    return {str(raw.facts["source"]): SourceState(**raw.facts["state"]) for raw in readings}


def newest(store: ObjectStore) -> Checkpoint | None:
    """The newest checkpoint, or None before the first."""
    places = all_places(store)
    return read(store, places[-1]) if places else None


def all_places(store: ObjectStore) -> list[str]:
    """Places of all checkpoints, oldest first."""
    suffix = f"/{MANIFEST}"
    keys = [info.key for info in store.list(layout.CHECKPOINTS)]
    return sorted(key.removesuffix(suffix) for key in keys if key.endswith(suffix))


def read(store: ObjectStore, place: str) -> Checkpoint:
    """The checkpoint at `place`. Raises `ObjectMissing`, `CorruptObject`."""
    facts = load(store, place).facts
    states = {name: SourceState(**state) for name, state in facts["sources"].items()}
    return Checkpoint(place, facts["snapshot"], states)


def write(run: Run, snapshot: Manifest, sources: Mapping[str, SourceState]) -> Checkpoint:
    """Seal a checkpoint, unless the run's base says the same already or this run has sealed one."""
    base = base_of(run)
    if base is not None and base.snapshot == snapshot.place and base.sources == sources:
        return base
    if own := [place for place in all_places(run.store) if place.partition("Z-")[2] == run.run_id]:
        return read(run.store, own[-1])
    place = layout.checkpoint(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", run.run_id)
    states = {name: asdict(state) for name, state in sources.items()}
    draft = Draft(run.store, place, "checkpoint", fingerprint(snapshot.place, states), {"snapshot": snapshot.digest})
    draft.seal({}, {"snapshot": snapshot.place, "sources": states})
    return read(run.store, place)


def begin(run: Run, found: Start) -> Start:
    """Seal what the run found. A retry gets what the first attempt sealed, whatever it would find now."""
    facts = {**asdict(found), "allowed": list(found.allowed), "settings": dict(found.settings)}
    sealed = Draft(run.store, layout.start(run.run_id), "start", run.run_id).seal({}, facts)
    return _start(sealed)


def started(run: Run) -> Start | None:
    """What this run found when it began; None before its preflight."""
    sealed = find(run.store, layout.start(run.run_id))
    return _start(sealed) if sealed else None


def start_of(run: Run) -> Start:
    """What this run found when it began. Raises `InputError` before its preflight."""
    found = started(run)
    if found is None:
        raise InputError(f"run {run.run_id!r} has no beginning in the store; run its preflight first")
    return found


def as_started(run: Run) -> Run:
    """The run with the settings that its beginning gave it. Before its preflight, the run as it is."""
    start = started(run)
    return with_settings(run, start.settings) if start else run


def with_settings(run: Run, settings: Mapping[str, Any]) -> Run:
    """The run with the encoder and the index that `settings` (of a `Start`) have, where they have them."""
    if not settings:
        return run
    collection = run.collection
    encoder = Encoder.model_validate(settings.get("encoder", collection.encoder))
    index = Index.model_validate(settings.get("index", collection.index))
    return replace(run, collection=collection.with_settings(encoder, index))


def base_of(run: Run) -> Checkpoint | None:
    """The checkpoint that this run builds on; None on a first run. Raises `InputError` before its preflight."""
    base = start_of(run).base
    return read(run.store, base) if base else None


def _start(sealed: Manifest) -> Start:
    return Start(**{**sealed.facts, "allowed": tuple(sealed.facts["allowed"])})
