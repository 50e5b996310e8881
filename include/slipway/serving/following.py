"""Bringing what a reader serves to what serving.json names: load, verify, and only then swap one reference."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from slipway import layout
from slipway.acknowledgement import utc_now
from slipway.errors import ReleaseRefused, SlipwayError, StoreUnreachable
from slipway.pointer import Serving, Slot
from slipway.serving.cache import Cache, is_remote
from slipway.serving.held import Encoders, Held
from slipway.serving.loading import load_release, manifest_key
from slipway.serving.metrics import Troubles
from slipway.serving.pointing import Pointer
from slipway.serving.refusals import Refusals
from slipway.serving.routing import Served
from slipway.signing import Trusted
from slipway.storage.base import ObjectStore


class Following:
    """A reader's releases. `served` is replaced by one assignment; searches take it once and need no lock.

    One thread at a time loads. A release that cannot be loaded leaves what serves as it is.
    """

    def __init__(
        self,
        store: ObjectStore,
        cache: Cache,
        clock: Callable[[], float] = time.monotonic,
        trusted: Trusted | None = None,
    ) -> None:
        self._store, self._cache, self._trusted = store, cache, trusted
        self._stepping, self._swapping = threading.Lock(), threading.Lock()
        self._encoders = Encoders()
        self.refusals = Refusals(clock)
        self.pointer = Pointer(store)
        self.troubles = Troubles()
        self.served: Served | None = None
        self._is_closed = False
        self._settled: tuple[int, str] | None = None  # generation and nonce that the cache was last put in order for
        self.loads = 0
        self.generation = 0  # of serving.json that was acted on, by loading or refusing all that it names
        self.polled_at: str | None = None

    def open(self) -> None:
        """Load the live release, and the one on trial; without the store, the release that was live last.

        Raises what keeps the live release from being loaded. A trial that is refused is told by `refusals`.
        """
        with self._stepping:
            try:
                if self.pointer.look().live_release is None:
                    raise ReleaseRefused(f"nothing is released at {self._store.url} yet; run the collection first")
                failures = self._reach(retry=True)
            except StoreUnreachable as error:
                failures = [error]
            if self.served is None and isinstance(failures[0], StoreUnreachable):
                self._open_kept(failures[0])
            elif self.served is None:
                raise failures[0]
            self._settle()

    def open_pinned(self, release_id: str) -> None:
        """Load one release and stay with it. Raises what keeps it from being loaded."""
        with self._stepping:
            self._serve(Served(self._load(self._store, release_id, None), utc_now()))

    def refresh(self) -> bool:
        """Look and load now. Returns whether another state is served; raises what failed, after what could be done."""
        with self._stepping:
            before = self.served
            try:
                self.pointer.look()
            except Exception as error:
                self.troubles.note("store", error)
                raise
            failures = self._reach(retry=True)
            self._settle()
            self.troubles.note("store", next(filter(_is_unreachable, failures), None))
        if failures:
            raise failures[0]
        return self.served is not before

    def poll(self) -> bool:
        """As `refresh`, but patient: nothing is raised, and what was refused is left alone for some minutes."""
        with self._stepping:
            before = (self.served, self.generation, self.refusals.present)
            trouble: Exception | None = None
            try:
                self.pointer.look()
            except Exception as error:  # whatever it is, what serves goes on serving
                trouble = error
            failures = self._reach(retry=False)
            self.troubles.note("store", trouble or next(filter(_is_unreachable, failures), None))
            self._settle()
            self.polled_at = utc_now()
            return (self.served, self.generation, self.refusals.present) != before

    def close(self) -> None:
        """Serve nothing any more; a load under way is thrown away."""
        with self._swapping:
            self.abandon()

    def abandon(self) -> None:
        """As `close`, in a forked process, where no other thread is and a lock may be held for ever."""
        self._is_closed = True
        self.served = None

    def _reach(self, *, retry: bool) -> list[Exception]:
        """Come as near to the state seen as can be: at once with what is loaded, then release by release."""
        wanted = self.pointer.serving
        if wanted is None:
            return []
        self._get_ready_for_text(wanted)
        self._swap(wanted)
        failures: list[Exception] = []
        self._tidy_refusals(wanted)
        for slot in _slots(wanted):
            if not self._holds(slot) and (retry or not self.refusals.wait(slot.release_id, wanted.generation)):
                self._take(slot, wanted, failures)
        if not any(map(_is_unreachable, failures)):
            self.generation = wanted.generation
        return failures

    def _take(self, slot: Slot, wanted: Serving, failures: list[Exception]) -> None:
        """Load a release and swap it in, or note why not."""
        try:
            held = self._load(self._store, slot.release_id, slot.manifest_sha256)
            self._swap(wanted, held)
        except Exception as error:  # whatever it is, what serves goes on serving
            failures.append(error)
            if not _is_unreachable(error):
                self.refusals.add(slot.release_id, wanted.generation, error)
        self._tidy_refusals(wanted)

    def _get_ready_for_text(self, wanted: Serving) -> None:
        """Where texts are searched, a trial that was loaded before the first text must be able to answer them, too.

        It must before it can become live; one that cannot is dropped.
        """
        served = self.served
        if served is None or served.trial is None or not served.live.is_ready_for_text:
            return
        try:
            served.trial.get_ready_for_text()
        except Exception as error:  # whatever it is, what serves goes on serving
            self._serve(Served(served.live, served.since))
            self.refusals.add(served.trial.release_id, wanted.generation, error)

    def _load(self, store: ObjectStore, release_id: str, manifest_sha256: str | None) -> Held:
        loaded = load_release(store, release_id, self._cache.folder, manifest_sha256, self._trusted)
        self.loads += 1
        if is_remote(store):
            with self.troubles.noted("cache"):
                for key in self._small_objects(release_id):
                    self._cache.keep(key, store.read(key).body)
        return Held(loaded, manifest_sha256, self._encoders)

    def _small_objects(self, release_id: str) -> list[str]:
        """What a start without the store needs beside the files: the manifest, and its signature where one is asked."""
        signature = [layout.signature(release_id)] if self._trusted else []
        return [manifest_key(release_id), *signature]

    def _swap(self, wanted: Serving, fresh: Held | None = None) -> None:
        """Serve what is wanted as far as it is held: what the live release is to be replaced by is never missing.

        Raises `EncoderError` when texts are searched and a fresh release's encoder is not on this machine.
        """
        served = self.served
        if fresh and served:
            fresh.get_ready_as(served.held)
        held = [*(served.held if served else ()), *([fresh] if fresh else ())]
        live = _of(held, wanted.live_release) or (served.live if served else None)
        if live is None:
            return
        trial = _of(held, wanted.trial)
        percent = wanted.shift.percent if wanted.shift else 0
        since = served.since if served and served.live is live else utc_now()
        after = Served(live, since, trial, percent) if trial and trial is not live else Served(live, since)
        self._serve(after)

    def _serve(self, after: Served) -> None:
        """Swap, if that changes anything: searches that begin from now on take the new state."""
        with self._swapping:
            if after != self.served and not self._is_closed:
                self.served = after

    def _holds(self, slot: Slot) -> bool:
        return self.served is not None and _of(list(self.served.held), slot) is not None

    def _tidy_refusals(self, wanted: Serving) -> None:
        """Tell only of releases that are asked for and not held."""
        self.refusals.keep_only({slot.release_id for slot in _slots(wanted) if not self._holds(slot)})

    def _settle(self) -> None:
        """Put the cache in order once what is wanted is served; what fails is tried again at the next step."""
        wanted, served = self.pointer.serving, self.served
        if wanted is None or served is None or not is_remote(self._store):
            return
        holds = {held.release_id for held in served.held}
        with self.troubles.noted("cache"):
            self._cache.touch(holds)
            is_new = self._settled != (wanted.generation, wanted.nonce)
            if is_new and self.pointer.is_confirmed and _of([served.live], wanted.live_release):
                self.pointer.remember(self._cache)
                if self._cache.evict(holds | set(wanted.named)) is not None:
                    self._settled = (wanted.generation, wanted.nonce)

    def _open_kept(self, error: Exception) -> None:
        """Serve the release that was live when the store was last heard. Raises `StoreUnreachable` where that fails."""
        kept = self._cache.as_store()
        if not is_remote(self._store) or not kept.exists(layout.SERVING):
            raise error
        try:
            wanted = self.pointer.recall(self._cache)
            for slot in filter(None, [wanted.live_release]):
                with self._cache.in_use(slot.release_id):
                    self._swap(replace(wanted, shift=None), self._load(kept, slot.release_id, slot.manifest_sha256))
        except SlipwayError as unusable:
            raise StoreUnreachable(
                f"{error}; the copy in {self._cache.folder} cannot be served either: {unusable}"
            ) from unusable
        self.generation = 0 if wanted.shift else wanted.generation
        self.troubles.note("store", error)


def _slots(wanted: Serving) -> list[Slot]:
    """What is to be held: live, and on trial."""
    return [slot for slot in (wanted.live_release, wanted.trial) if slot is not None]


def _of(held: list[Held], slot: Slot | None) -> Held | None:
    """The one of these that the slot names."""
    for one in held:
        if slot and (one.release_id, one.manifest_sha256) == (slot.release_id, slot.manifest_sha256):
            return one
    return None


def _is_unreachable(error: Exception) -> bool:
    return isinstance(error, StoreUnreachable)
