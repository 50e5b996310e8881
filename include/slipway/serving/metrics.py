"""What a reader measures and tells: searches by release, what it refused, and what troubles it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from slipway.acknowledgement import Loaded, RefusedRelease, utc_now
from slipway.latencies import Latencies, bucket


class Tally:
    """Counts of one release's searches, from any number of threads; recording takes about a microsecond."""

    __slots__ = ("_counts", "_errors", "_last_error", "_lock", "_queries")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queries, self._errors, self._last_error = 0, 0, ""
        self._counts: dict[int, int] = {}

    def answered(self, queries: int, seconds: float) -> None:
        """One call that answered so many queries and took so long."""
        number = bucket(seconds * 1000)
        with self._lock:
            self._queries += queries
            self._counts[number] = self._counts.get(number, 0) + 1

    def failed(self, queries: int, error: Exception) -> None:
        """One call of so many queries that failed, and not by the caller's fault."""
        with self._lock:
            self._queries += queries
            self._errors += queries
            self._last_error = repr(error)[:500]

    def loaded(self, release_id: str, at: str) -> Loaded:
        """The counts up to now, as an acknowledgement tells them of a release."""
        with self._lock:
            return Loaded(release_id, at, self._queries, self._errors, Latencies(dict(self._counts)))

    @property
    def last_error(self) -> str | None:
        """The last error that was counted."""
        return self._last_error or None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that does not work: what, and since when without a break (UTC)."""

    what: str
    since: str


class Troubles:
    """What does not work at the moment, by what it is needed for: "store", "acknowledgement", "cache"."""

    def __init__(self) -> None:
        self._present: dict[str, Trouble] = {}

    def of(self, need: str) -> Trouble | None:
        """The present trouble with that, if any."""
        return self._present.get(need)

    def note(self, need: str, error: Exception | None) -> None:
        """Say how the last attempt went; None ends the trouble."""
        if error is None:
            self._present.pop(need, None)
        else:
            before = self._present.get(need)
            self._present[need] = Trouble(str(error) or repr(error), before.since if before else utc_now())

    @contextmanager
    def noted(self, need: str) -> Iterator[None]:
        """Note how the block goes. Its errors end here: what it does must not hurt serving."""
        try:
            yield
        except Exception as error:
            self.note(need, error)
        else:
            self.note(need, None)


@dataclass(frozen=True, slots=True)
class ReleaseMetrics:
    """One loaded release's searches since it was loaded (UTC): queries, errors, and the calls' times in milliseconds.

    The times are exact to 19 %; None before the first call.
    """

    release_id: str
    loaded_at: str
    queries: int
    errors: int
    last_error: str | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @classmethod
    def of(cls, loaded: Loaded, last_error: str | None) -> ReleaseMetrics:
        """From the counts."""
        times = (loaded.latencies.quantile_ms(share) for share in (0.5, 0.95, 0.99))
        return cls(loaded.release_id, loaded.at, loaded.queries, loaded.errors, last_error, *times)


@dataclass(frozen=True, slots=True)
class ReaderMetrics:
    """A reader's state. Times are UTC, ISO 8601; None where there is nothing to tell.

    `live` answers, `trial` answers `percent` of the requests. `live_age_seconds` is counted from when the release was
    made. `generation` is that of serving.json which was acted on last; 0 for a reader that is bound to one release.
    `is_confirmed` is False while the live release comes from the cache and the store has not yet been heard. `refused`
    are releases that serving.json names and this reader would not load; `last_refusal` stays. `store_trouble` is why
    serving.json or a release could not be read, `acknowledgement_trouble` why the acknowledgement could not be written,
    `cache_trouble` why the cache could not be kept in order.
    """

    name: str | None
    live: str
    live_since: str
    live_age_seconds: float
    trial: str | None
    percent: int
    generation: int
    is_confirmed: bool
    loads: int
    polled_at: str | None
    releases: tuple[ReleaseMetrics, ...]
    refused: tuple[RefusedRelease, ...]
    last_refusal: RefusedRelease | None
    store_trouble: Trouble | None
    acknowledgement_trouble: Trouble | None
    cache_trouble: Trouble | None

    def as_json(self) -> dict[str, Any]:
        """As JSON values, for a metrics endpoint or a log."""
        return asdict(self)
