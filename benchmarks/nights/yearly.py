"""Three editions as three nights, and a fourth on which nothing changed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.nights import table, witness
from benchmarks.nights.editions import STEPS, Changes, compare
from benchmarks.nights.project import Project
from benchmarks.nights.report import Report
from slipway.errors import BreakerTripped
from slipway.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd

MOMENTS = {"2023": "2023-10-31 21:00:00", "2024": "2024-10-31 21:00:00", "2025": "2025-10-31 21:00:00"}


@dataclass(slots=True)
class Yearly:
    """What is reported of the four nights."""

    embedded_beyond_new_texts: int = 0
    deleted_still_found: int = 0
    breaker_refused: bool = False
    unchanged_embedded: int | None = None
    unchanged_released: bool | None = None


class YearlyNights:
    """Runs the nights one after the other in one process, in a fresh project."""

    def __init__(self, project: Project, editions: Mapping[str, pd.DataFrame], report: Report) -> None:
        self._project, self._editions, self._report = project, editions, report
        self._scratch = project.folder / "witness"
        self._seen: set[bytes] = set()
        self._last: Manifest | None = None
        self._gone: dict[str, Manifest] = {}  # deleted entries, each with chunks in which it still was
        self._rows: list[list[object]] = []
        self._seconds: dict[str, Mapping[str, float]] = {}
        self._wall: dict[str, float] = {}
        self.made = Yearly()

    def run(self) -> Yearly:
        """All four nights, told in the report."""
        first, second, third = self._editions
        table.fill(self._project.database, self._editions[first], MOMENTS[first])
        self._night(first, Changes(len(self._editions[first]), frozenset(), 0, 0, 0, 0))
        self._become(first, second)
        self._become(second, third)
        self._unchanged()
        columns = ("night", "added", "changed", "deleted", "unchanged", "embedded", "new texts", "reused")
        self._report.table(columns, self._rows)
        self._report.say(
            "\nSeconds by stage, in one process: the first night loads the encoder, and the last edition's finds what "
            "the refused run had read and compared.\n"
        )
        self._report.seconds(self._seconds, self._wall)
        return self.made

    def _become(self, old: str, new: str) -> None:
        table.become(self._project.database, self._editions[new], MOMENTS[new])
        expected = compare(self._editions[old], self._editions[new])
        if self._last is not None:
            self._gone |= dict.fromkeys(expected.deleted, self._last)
        if (old, new) == STEPS[-1]:
            self.made.breaker_refused = self._refused(new)
        self._night(new, expected)
        self._look_for_deleted(new)

    def _refused(self, year: str) -> bool:
        """Whether the breaker stops a night that would remove a ninth of the entries."""
        try:
            self._project.run(f"night-{year}-refused")
        except BreakerTripped as error:
            self._report.say(f"Refused as it should be: {error}\n")
            return True
        self._report.equal("the breaker refuses", False, True)
        return False

    def _night(self, year: str, expected: Changes) -> None:
        run_id = f"night-{year}"
        result = self._timed(year, run_id)
        counts = {name: result[name] for name in ("added", "changed", "deleted")}
        wanted = {"added": expected.added, "changed": expected.changed, "deleted": len(expected.deleted)}
        self._report.equal(f"what changed in {year}", counts, wanted)
        if expected.unseen:
            self._report.say(f"{year}: {expected.unseen} entries differ in blanks and characters of no width only\n")
        self._report.equal(f"documents in {year}", result["documents"], len(self._editions[year]))
        self._report.equal(f"released in {year}", result["released"], True)
        self._last = witness.chunks_of(self._project, run_id)
        texts = witness.texts_of(self._project, self._last, self._scratch)
        new = len(texts - self._seen)
        self._seen |= texts
        self.made.embedded_beyond_new_texts += result["embedded"] - new
        self._report.equal(f"embedded in {year}", result["embedded"], new)
        self._row(year, result, new)

    def _unchanged(self) -> None:
        result = self._timed("unchanged", "night-unchanged")
        self.made.unchanged_embedded, self.made.unchanged_released = result["embedded"], result["released"]
        self._report.equal("embedded on a night without a change", result["embedded"], 0)
        self._report.equal("released on a night without a change", result["released"], False)
        self._row("unchanged", result, 0)

    def _timed(self, night: str, run_id: str) -> Mapping[str, Any]:
        started = time.monotonic()
        result = self._project.run(run_id, allowed={"deletes"} if night == STEPS[-1][1] else ())
        self._wall[night] = time.monotonic() - started
        self._seconds[night] = result["seconds"]
        return result

    def _row(self, night: str, result: Mapping[str, Any], new: int) -> None:
        counts = [result[name] for name in ("added", "changed", "deleted", "unchanged", "embedded")]
        self._rows.append([night, *counts, new, result["reused"]])

    def _look_for_deleted(self, year: str) -> None:
        """Every entry that was deleted so far and did not come back."""
        gone = {one: chunks for one, chunks in self._gone.items() if one not in self._editions[year].index}
        found = 0
        for chunks in {chunks.place: chunks for chunks in gone.values()}.values():
            ids = [one for one, last in gone.items() if last.place == chunks.place]
            found += witness.still_found(self._project, chunks, ids, self._scratch)
        self.made.deleted_still_found += found
        self._report.say(f"{year}: {len(gone):,} deleted entries searched for by their own text, {found} found\n")
        self._report.equal(f"deleted entries found in {year}", found, 0)
