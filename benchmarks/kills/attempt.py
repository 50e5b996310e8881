"""One attempt at a night or at its maintenance, in a process of its own that may be killed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.kills.deaths import OUTSIDE, Fate, FatefulStore, Moment, observe_encoder
from benchmarks.kills.diary import Diary
from benchmarks.kills.history import GROUP_CHUNKS, SMALL_BYTES, TARGET_BYTES, collection
from benchmarks.kills.place import Place
from benchmarks.pipeline_stages import around_stages
from slipway import groups, lease
from slipway.maintenance import compaction, maintain
from slipway.pipeline import Options, run_pipeline
from slipway.run import Connection, Run

MAINTENANCE = "maintenance"
LATER = timedelta(days=60)  # more than any collection's keep_days: whatever nobody needs is old enough to go


@dataclass(frozen=True, slots=True)
class Attempt:
    """What to run where, and when to die (None: not by its own hand). `diary` is a file.

    `spec` is the collection's index. The run `MAINTENANCE` maintains the store, any other is a night.
    """

    place: Place
    run_id: str
    encoder: Mapping[str, Any]
    spec: str
    diary: Path
    moment: Moment | None = None


def run_attempt(attempt: Attempt) -> None:
    """Run it to its end, or to the moment of death. How it ended is the diary's last event."""
    diary = Diary(attempt.diary)
    fate = Fate(diary, attempt.moment)
    groups.GROUP_CHUNKS = GROUP_CHUNKS
    compaction.SMALL_BYTES, compaction.TARGET_BYTES = SMALL_BYTES, TARGET_BYTES
    observe_encoder(fate)
    run = Run(
        collection(attempt.encoder, attempt.spec),
        FatefulStore(attempt.place.store, fate),
        attempt.run_id,
        attempt.place.scratch(attempt.run_id),
        lambda name: Connection(name, f"sqlite:///{attempt.place.database}"),
    )
    try:
        ended = _maintain(run, fate) if attempt.run_id == MAINTENANCE else _night(run, fate)
    except Exception as error:  # whatever it is, the parent tells it, and whether it may be
        diary.write("failed", kind=type(error).__name__, error=traceback.format_exc())
    else:
        diary.write("ended", **ended)


def _night(run: Run, fate: Fate) -> dict[str, Any]:
    with around_stages(lambda stage: _told(fate, stage)):
        made = run_pipeline(run, Options("chaos", run.run_id))
    return {name: made.get(name) for name in ("released", "verdict", "reason")}


def _maintain(run: Run, fate: Fate) -> dict[str, Any]:
    """As `slipway.maintenance.maintain_alone` does it, `LATER`."""
    holder = lease.Holder(run.run_id, "chaos", MAINTENANCE, lease.this_process())
    with _told(fate, MAINTENANCE), lease.alone(run.store, holder) as hold:
        return maintain(run, check=hold.check, now=datetime.now(UTC) + LATER).as_json()


@contextmanager
def _told(fate: Fate, stage: str) -> Iterator[None]:
    fate.stage = stage
    try:
        yield
    finally:
        fate.stage = OUTSIDE
