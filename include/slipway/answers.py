"""What readers answered with each release, added up over their processes, one that was restarted included."""

from __future__ import annotations

from collections.abc import Iterable

from slipway.acknowledgement import Heard, Loaded

_Process = tuple[str, str, int, str, str]  # reader, host, pid, release, since when it holds that


class Answers:
    """The counts of all reader processes heard of since a moment, the first call.

    Counts of one process only grow. A reader that comes back under its old name is another process: what the former one
    answered stays counted, and the new one begins at nothing.
    """

    def __init__(self, said: Iterable[Heard]) -> None:
        self._first = _by_process(said)
        self._last = dict(self._first)

    def note(self, said: Iterable[Heard]) -> None:
        """Take in what readers say now."""
        self._last |= _by_process(said)

    def total(self, release_id: str) -> Loaded:
        """What was answered with a release by every process heard of, for as long as it had it."""
        return _sum(release_id, self._last.values())

    def since_the_first(self, release_id: str) -> Loaded:
        """What was answered with a release since the first call."""
        grown = (
            Loaded(
                one.release_id,
                one.at,
                one.queries - self._first[process].queries,
                one.errors - self._first[process].errors,
                one.latencies.since(self._first[process].latencies),
            )
            if process in self._first
            else one
            for process, one in self._last.items()
        )
        return _sum(release_id, grown)


def _by_process(said: Iterable[Heard]) -> dict[_Process, Loaded]:
    return {
        (one.said.reader, one.said.host, one.said.pid, loaded.release_id, loaded.at): loaded
        for one in said
        for loaded in one.said.loaded
    }


def _sum(release_id: str, counts: Iterable[Loaded]) -> Loaded:
    total = Loaded(release_id, "")
    for one in counts:
        if one.release_id == release_id:
            latencies = total.latencies.plus(one.latencies)
            total = Loaded(release_id, "", total.queries + one.queries, total.errors + one.errors, latencies)
    return total
