"""The releases that a reader would not load: told to people, and left alone for some minutes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from slipway.acknowledgement import RefusedRelease, utc_now

RETRY_SECONDS = 300.0  # before a poll tries a refused release again, while serving.json stays as it is


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What is told of it, at which generation of serving.json it was refused, and when (seconds of the clock)."""

    said: RefusedRelease
    generation: int
    tried_at: float


class Refusals:
    """What is refused at present, and `last`, which stays. Changed by one thread at a time, read by any."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._present: dict[str, _Refusal] = {}
        self.last: RefusedRelease | None = None

    @property
    def present(self) -> tuple[RefusedRelease, ...]:
        """The releases that serving.json names and this reader would not load."""
        return tuple(refusal.said for refusal in self._present.values())

    def add(self, release_id: str, generation: int, error: Exception) -> None:
        """Refuse a release at this generation of serving.json."""
        self.last = RefusedRelease(release_id, str(error) or repr(error), utc_now())
        self._present = {**self._present, release_id: _Refusal(self.last, generation, self._clock())}

    def keep_only(self, release_ids: Collection[str]) -> None:
        """Forget the others: they are held, or no longer asked for."""
        self._present = {name: refusal for name, refusal in self._present.items() if name in release_ids}

    def wait(self, release_id: str, generation: int) -> bool:
        """Whether a release was refused at this very generation, and not long ago."""
        refusal = self._present.get(release_id)
        if refusal is None or refusal.generation != generation:
            return False
        return self._clock() - refusal.tried_at < RETRY_SECONDS
