"""What a reader has seen of serving.json: read again only when it has changed, and never followed backwards."""

from __future__ import annotations

from slipway import layout
from slipway.errors import CorruptObject, ObjectMissing, ReleaseRefused, StaleRead
from slipway.pointer import Serving, read_serving
from slipway.serving.cache import Cache, is_remote
from slipway.storage.base import ObjectStore


class Pointer:
    """serving.json as one reader has seen it last: `serving`, None before the first look."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._version: str | None = None
        self.serving: Serving | None = None
        self.is_confirmed = False

    def look(self) -> Serving:
        """The present state; one small conditional request where nothing has changed.

        Raises `CorruptObject` when serving.json is damaged or gone, `StaleRead` when it is older than what was seen
        (a lower generation that is not newer in time, as a stale replica or a bucket set back shows it), and what the
        store may say. Nothing is followed then. A restored store goes on with higher generations; one that was set up
        anew has lower ones with later times.
        """
        if self.serving is not None and self._version is not None:
            changed = self._read_if_changed(self._version)
            if changed is None:
                return self.serving
        found, version = read_serving(self._store)
        if self.serving is not None:
            _check_not_older(found, self.serving)
        self.serving, self._version, self.is_confirmed = found, version, True
        return found

    def _read_if_changed(self, version: str) -> object | None:
        try:
            return self._store.read_if_changed(layout.SERVING, version)
        except ObjectMissing as error:
            return error  # which read_serving explains

    def remember(self, cache: Cache) -> None:
        """Keep the state for a start without the store. Raises `DiskFull`, `StoreDenied`."""
        if self.serving is not None and is_remote(self._store):
            cache.keep(layout.SERVING, self.serving.to_json())

    def recall(self, cache: Cache) -> Serving:
        """The state that was kept last, for use while the store does not answer.

        What the store itself has said meanwhile stays what was seen. Raises `ObjectMissing`, and `ReleaseRefused` when
        that withdrew the release which was live in the kept state.
        """
        kept = Serving.from_json(cache.as_store().read(layout.SERVING).body)
        if self.serving is not None and self.is_confirmed:
            _check_not_withdrawn(kept, self.serving)
        else:
            self.serving, self._version = kept, None
        return kept


def _check_not_withdrawn(kept: Serving, seen: Serving) -> None:
    live = kept.live_release
    withdrawn = seen.withdrawn.get(live.release_id) if live else None
    if live and withdrawn:
        raise ReleaseRefused(f"release {live.release_id} was withdrawn meanwhile: {withdrawn.why}")


def _check_not_older(found: Serving, seen: Serving) -> None:
    if found.generation == 0:
        raise CorruptObject(f"{layout.SERVING} is gone, generation {seen.generation} of it was seen; put it back")
    is_same = (found.generation, found.nonce) == (seen.generation, seen.nonce)
    if not is_same and found.generation <= seen.generation and found.at <= seen.at:
        raise StaleRead(
            f"{layout.SERVING} shows generation {found.generation} of {found.at}, older than generation "
            f"{seen.generation} of {seen.at} that this reader has seen; it is not followed. If the store was set back "
            f"on purpose, any change made to it now is followed (slipway rollback, slipway recover)"
        )
