"""The reader: opens a collection's live release, follows what is released after it, and searches by text or vector."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.acknowledgement import Acknowledgement
from slipway.errors import InputError
from slipway.serving.acknowledging import LEAST_SECONDS, Acknowledging, unique_name
from slipway.serving.cache import Cache, default_cache, folder_of
from slipway.serving.following import Following
from slipway.serving.forks import abandon_in_children
from slipway.serving.held import Queries
from slipway.serving.loading import LoadedRelease
from slipway.serving.metrics import ReaderMetrics
from slipway.serving.repeating import Repeating
from slipway.serving.routing import Served
from slipway.serving.searcher import Hit
from slipway.serving.telling import acknowledgement_of, metrics_of
from slipway.signing import Trusted, trusted_here
from slipway.storage import ObjectStore, open_store

_STOP_SECONDS = 5.0  # that closing waits for a download under way


class Reader:
    """Serves one collection from its store. Use `slipway.serving.open`, or as a context manager.

    A release is swapped in whole, after its checksums and smoke queries; a search uses one release from start to end.
    Searching, `metrics` and `close` are safe from any thread; `refresh` and `poll` wait for each other. A reader that
    follows is of no use in a process that is forked from its own: open one there.
    """

    def __init__(
        self,
        store: ObjectStore,
        cache: Path,
        release_id: str | None = None,
        *,
        follow: float | None = None,
        name: str | None = None,
        acknowledge: bool = True,
        trusted: Trusted | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_follow(follow, release_id)
        self._following = Following(store, Cache(cache), clock, trusted)
        self._acknowledging: Acknowledging | None = None
        self._pinned = release_id
        self._repeating: list[Repeating] = []
        self._closed = ""  # or why
        acknowledged_as = unique_name(name) if follow is not None and acknowledge else None
        if release_id is not None:
            self._following.open_pinned(release_id)
        else:
            self._following.open()
        if follow is not None:
            self._start(store, follow, acknowledged_as, clock)

    def _start(self, store: ObjectStore, follow: float, name: str | None, clock: Callable[[], float]) -> None:
        if name is not None:
            every = max(follow, LEAST_SECONDS)
            troubles = self._following.troubles
            self._acknowledging = Acknowledging(store, name, every, self._told, troubles, clock)
            self._acknowledging.say()
            # apart from the polls, as one may load for minutes
            self._repeating.append(Repeating("slipway-acknowledge", every / 4, self._acknowledging.renew))
        self._repeating.append(Repeating("slipway-follow", follow, self.poll))
        abandon_in_children(self)

    @property
    def release(self) -> LoadedRelease:
        """The live release being served. Raises `InputError` when the reader is closed."""
        return self._served().live.loaded

    @property
    def trial(self) -> LoadedRelease | None:
        """The release on trial, while a shift is under way."""
        trial = self._served().trial
        return trial.loaded if trial else None

    def refresh(self) -> bool:
        """Look now, and load what serving.json names. Returns whether another state is served.

        On an error the old release stays, and the error is raised: `CorruptObject`, `ObjectMissing`, `ReleaseRefused`,
        `EncoderError`, `StoreUnreachable`, `StaleRead` and others of `SlipwayError`. A reader that is bound to one
        release does nothing.
        """
        self._served()
        if self._pinned is not None:
            return False
        changed = self._following.refresh()
        if self._acknowledging:
            self._acknowledging.say()
        return changed

    def poll(self) -> bool:
        """One step of following, as it is made every `follow` seconds: as `refresh`, but it raises nothing.

        What fails is told by `metrics` and by the acknowledgement. A refused release is left alone until serving.json
        changes, or some minutes have passed.
        """
        if self._closed or self._pinned is not None:
            return False
        changed = self._following.poll()
        if self._acknowledging:
            served = self._following.served
            if changed or (served and served.trial):
                self._acknowledging.say()
            else:
                self._acknowledging.renew()
        return changed

    def search(
        self,
        query: str | npt.NDArray[np.float32],
        k: int = 10,
        *,
        where: Mapping[str, Any] | None = None,
        key: str | bytes | None = None,
    ) -> list[Hit]:
        """The k nearest documents of a text or of one vector ((dimension,) float32), nearest first.

        A text needs the release's encoder on this machine; a vector must be of the live release's encoder. While a
        release is shifted in, `key` (a user's or a session's id, say) decides which of the two answers: the same key
        always gets the same one. Without a key the query itself decides. `where` leaves only documents whose metadata
        matches, such as {"package": "numpy", "year": {"gte": 2020}} (see slipway.serving.filters).
        Raises `InputError`, and `EncoderError` when the model here is not the one that built the index.
        """
        if isinstance(query, str):
            return self.search_batch([query], k, where=where, key=key)[0]
        vector = _as_vectors(query)
        if vector.ndim != 1:
            raise InputError(f"expected one vector of shape ({self.release.searcher.dimension},), got {vector.shape}")
        return self._served().search(vector[None, :], k, key, where)[0]

    def search_batch(
        self,
        queries: Sequence[str] | npt.NDArray[np.float32],
        k: int = 10,
        *,
        where: Mapping[str, Any] | None = None,
        key: str | bytes | None = None,
    ) -> list[list[Hit]]:
        """As `search`, for many texts or an (n, dimension) array of vectors at once.

        One release answers all of them: that of the key, or of the first query.
        """
        return self._served().search(self._checked(queries), k, key, where)

    def _checked(self, queries: Any) -> Queries:
        if isinstance(queries, str):
            raise InputError("search_batch takes a list of texts; give one text to search")
        if not isinstance(queries, np.ndarray):
            texts = list(queries)
            if all(isinstance(text, str) for text in texts):
                if not all(text.strip() for text in texts):
                    raise InputError("an empty query finds nothing; give some words")
                return texts
        vectors = _as_vectors(queries)
        if vectors.ndim != 2:
            dimension = self.release.searcher.dimension
            raise InputError(f"expected query vectors of shape (n, {dimension}), got {vectors.shape}")
        return vectors

    def metrics(self) -> ReaderMetrics:
        """What is served, refused and troubling, and how searches go. Raises `InputError` when the reader is closed."""
        name = self._acknowledging.name if self._acknowledging else None
        return metrics_of(self._following, self._served(), name, self._pinned is not None)

    def _told(self) -> Acknowledgement:
        assert self._acknowledging is not None
        generation = self._following.generation  # read first: what is told beside it is then at least as new
        name, every = self._acknowledging.name, self._acknowledging.every_seconds
        return acknowledgement_of(self._following, generation, self._served(), name, every)

    def _served(self) -> Served:
        served = self._following.served
        if served is None:
            raise InputError(f"this reader {self._closed}; open another one with slipway.serving.open")
        return served

    def close(self) -> None:
        """Stop following, withdraw the acknowledgement, and let the releases go when their last searches end."""
        if self._closed:
            return
        self._closed = "is closed"
        for repeating in self._repeating:
            repeating.stop(_STOP_SECONDS)
        if self._acknowledging:
            self._acknowledging.withdraw()
        self._following.close()

    def abandon(self) -> None:
        """Be closed, in a forked process: nothing is stopped or withdrawn there, as all that is the parent's."""
        self._closed = "was opened before this process was forked"
        self._following.abandon()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def open_reader(
    url: str | Path,
    release_id: str | None = None,
    cache: Path | None = None,
    *,
    follow: float | None = None,
    name: str | None = None,
    acknowledge: bool = True,
    public_key: str | None = None,
    encryption: Mapping[str, str] | None = None,
) -> Reader:
    """A reader of the collection at `url` (`<store root>/<collection>`), on its live release or on a given one.

    `follow`: look every so many seconds for what is released, on a thread of its own, and load it there. A reader that
    follows publishes acknowledgements under its `name`, with eight hex digits added to make it unique, unless
    `acknowledge` is False: see slipway.acknowledgement.
    Without `follow` it stays with what it opened until `refresh`. `cache` (default: SLIPWAY_CACHE) keeps releases of
    remote stores; where the store does not answer, the release that was live last is opened from there. `public_key`
    (else SLIPWAY_PUBLIC_KEY) is base64, or several with commas between: only releases that one of them signed are
    served then. `encryption` goes with the acknowledgements that are written to S3, as `release.encryption` of the
    collection file does with what runs write there.

    Raises `ReleaseRefused` when nothing is released, `UntrustedRelease`, `CorruptObject`, `ObjectMissing`,
    `StoreUnreachable`, and `InputError`.
    """
    trusted = trusted_here(public_key)
    store = open_store(url, encryption=encryption)
    folder = folder_of(Path(cache or default_cache()), store)
    return Reader(store, folder, release_id, follow=follow, name=name, acknowledge=acknowledge, trusted=trusted)


def _check_follow(follow: float | None, release_id: str | None) -> None:
    if follow is None:
        return
    if release_id is not None:
        raise InputError(f"a reader either follows or stays with release {release_id}; leave one of the two out")
    if not (math.isfinite(follow) and follow > 0):
        raise InputError(f"follow is the number of seconds between two looks, got {follow}; try 10")


def _as_vectors(value: Any) -> npt.NDArray[np.float32]:
    try:
        return np.asarray(value, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise InputError(f"expected texts or vectors of numbers: {error}") from error
