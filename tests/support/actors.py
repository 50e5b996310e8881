"""Actors of the release protocol on one faulty store, and what must hold whatever they do and whatever befalls them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

from slipway import layout
from slipway.errors import SlipwayError
from slipway.maintenance import retain
from slipway.manifest import MANIFEST, Manifest
from slipway.pointer import Serving, read_serving
from slipway.rollback import roll_back
from slipway.rollout import end_interrupted
from slipway.run import Run
from slipway.serving.reader import Reader
from slipway.stages.release import RELEASE, release
from slipway.storage.base import ObjectStore
from tests.support.crashing_store import Killed
from tests.support.faulty_store import World
from tests.support.fleet import NOON, Fleet, Player
from tests.support.memory_store import MemoryStore
from tests.support.releases import PASSED, a_candidate, a_run, an_evaluation

CANDIDATES = 4
KEEP = 2
SHARES = [10, 100]


@dataclass
class Night:
    """A run that has begun: what it will release, and serving.json's generation when it began."""

    run_id: str
    candidate: int
    generation: int
    shares: list[int] = field(default_factory=list)


class Collection:
    """One collection, whose objects lie in `world`: what its actors do. Each method is one actor's whole action."""

    def __init__(self, scratch: Path) -> None:
        self.store = _with_candidates(scratch)
        self.world = World(self.store)
        self.scratch = scratch
        self.nights: list[Night] = []
        self.refused: list[str] = []
        self.fleet = Fleet(self.store, Player("web-1"))
        self.reader: Reader | None = None

    def begin(self, store: ObjectStore, candidate: int, shares: list[int]) -> None:
        """A run begins: it ends a shift that another left behind, and notes the generation."""
        run_id = f"run-{len(self.nights)}"
        self.fleet.now += timedelta(seconds=1)  # what is sealed later is newer
        end_interrupted(store, run_id)
        self.nights.append(Night(run_id, candidate, read_serving(store)[0].generation, shares))

    def release(self, store: ObjectStore, number: int) -> None:
        """A run that has begun, perhaps long ago, releases its candidate; it may have tried before."""
        if not self.nights:
            return
        night = self.nights[number % len(self.nights)]
        shifting = {"shift": night.shares, "step_minutes": 0.05, "wait_minutes": 0.1}
        run = a_run(store, self.scratch, night.run_id, release=shifting)
        candidate, evaluation = _made(self.scratch)[night.candidate]
        self.fleet.speak(0.0)
        release(run, candidate, evaluation, PASSED, night.generation, "a night", "a test", self.fleet.pace)

    def roll_back(self, store: ObjectStore, to: int | None) -> None:
        """Somebody goes back: to the standby, or to any release that the store lists."""
        names = sorted({info.key.split("/")[1] for info in store.list(layout.RELEASES)})
        target = names[to % len(names)] if to is not None and names else None
        roll_back(store, "ada", "a test", target)

    def retain(self, store: ObjectStore) -> None:
        """Retention, which holds the collection's lease: no two at once."""
        self.fleet.let_go()
        retain(a_run(store, self.scratch, "retention", release={"keep": KEEP}), "retention", lambda: None)

    def lose(self, number: int) -> None:
        """Somebody deletes an object of a retained release that nothing names or is about to name."""
        if self.world.held:
            return  # a swap that was proved before the loss may land after it; nobody can see that
        named = read_serving(self.store)[0].named
        sealed = {info.key.split("/")[1] for info in self.store.list(layout.RELEASES) if info.key.endswith(MANIFEST)}
        names = sorted(sealed - set(named))
        if names:
            key = f"{layout.release(names[number % len(names)])}/{MANIFEST}"
            self.store.delete(Manifest.from_json(self.store.read(key).body, key).objects[0].key)

    def refresh(self, store: ObjectStore) -> None:
        """The reader follows."""
        if self.reader is None:
            self.reader = Reader(store, self.scratch / f"cache-{secrets.token_hex(4)}")
            return
        self.reader._store = store
        self.reader.refresh()

    def act(self, action: Callable[[], None]) -> str | None:
        """Let an actor act, whatever becomes of it; what it was told when it did not come to its end.

        Any exception but Slipway's own and a kill is a finding.
        """
        try:
            action()
        except (SlipwayError, Killed) as error:
            self.refused.append(f"{type(error).__name__}: {error}")
            return self.refused[-1]
        return None


@lru_cache(maxsize=1)
def _template(scratch: Path) -> tuple[MemoryStore, list[tuple[Manifest, Manifest]]]:
    store = MemoryStore()
    run: Run = a_run(store, scratch)
    made = []
    for seed in range(CANDIDATES):
        candidate = a_candidate(run, seed, count=12)
        made.append((candidate, an_evaluation(run, candidate)))
    return store, made


def _made(scratch: Path) -> list[tuple[Manifest, Manifest]]:
    return _template(scratch)[1]


def _with_candidates(scratch: Path) -> MemoryStore:
    """A store of the same candidates and evaluations each time."""
    template, _ = _template(scratch)
    store = MemoryStore()
    store._shared.bodies.update(template._shared.bodies)
    store._shared.modified_at.update(dict.fromkeys(template._shared.bodies, NOON))
    return store


# --- what must hold ---------------------------------------------------------------------------------------------------


def assert_sound(collection: Collection) -> None:
    """serving.json names whole releases only, and its history is one without gaps, forgeries or stale writers."""
    history = [Serving.from_json(body) for body in collection.world.pointers]
    assert [one.generation for one in history] == list(range(1, len(history) + 1))
    now, _ = read_serving(collection.store)
    assert now == (history[-1] if history else Serving())
    for release_id, slot in now.named.items():
        assert_whole(collection.store, release_id, slot.manifest_sha256)
        assert release_id not in now.retired
    assert_recorded(collection.store, history)
    assert_never_stale(history, {night.run_id: night.generation for night in collection.nights})
    if collection.reader is not None:
        served = collection.reader.release.release_id
        assert served in {name for one in history for name in one.named}, f"{served} was never released"


def assert_whole(store: ObjectStore, release_id: str, manifest_sha256: str) -> None:
    """Every byte of the release is there, by its sums."""
    key = f"{layout.release(release_id)}/{MANIFEST}"
    body = store.read(key).body
    assert hashlib.sha256(body).hexdigest() == manifest_sha256, key
    for sealed in Manifest.from_json(body, key).objects:
        assert hashlib.sha256(store.read(sealed.key).body).hexdigest() == sealed.sha256, sealed.key


def assert_recorded(store: ObjectStore, history: list[Serving]) -> None:
    """Every generation but the newest has its audit record, and no record says anything else than what was stored."""
    recorded = {info.key: Serving.from_json(store.read(info.key).body) for info in store.list(layout.AUDIT)}
    for serving in history[:-1]:
        assert recorded.get(layout.audit(serving.generation)) == serving
    assert len(recorded) - len(history[:-1]) in (0, 1)
    assert all(history[record.generation - 1] == record for record in recorded.values())


def assert_never_stale(history: list[Serving], began: dict[str, int]) -> None:
    """Between a run's beginning and its swap nobody else has changed anything."""
    for place, serving in enumerate(history):
        changed = serving.changed
        if changed and changed.run_id in began and changed.action in (RELEASE, "shift"):
            between = history[began[changed.run_id] : place]
            others = [one.changed for one in between if one.changed and one.changed.run_id != changed.run_id]
            assert not others, f"{changed} won, though {others} came between"
