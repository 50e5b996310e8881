"""One attempt at a night, in a process of its own that may be killed."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kills.deaths import OUTSIDE, Fate, FatefulStore, Moment, observe_encoder
from benchmarks.kills.diary import Diary
from benchmarks.kills.history import GROUP_CHUNKS, collection
from benchmarks.kills.place import Place
from benchmarks.pipeline_stages import around_stages
from slipway import groups
from slipway.pipeline import Options, run_pipeline
from slipway.run import Connection, Run


@dataclass(frozen=True, slots=True)
class Attempt:
    """What to run where, and when to die (None: not by its own hand). `diary` is a file."""

    place: Place
    run_id: str
    encoder: Mapping[str, Any]
    diary: Path
    moment: Moment | None = None


def run_attempt(attempt: Attempt) -> None:
    """Run the night to its end, or to the moment of death. How it ended is the diary's last event."""
    diary = Diary(attempt.diary)
    fate = Fate(diary, attempt.moment)
    groups.GROUP_CHUNKS = GROUP_CHUNKS
    observe_encoder(fate)
    run = Run(
        collection(attempt.encoder),
        FatefulStore(attempt.place.store, fate),
        attempt.run_id,
        attempt.place.scratch(attempt.run_id),
        lambda name: Connection(name, f"sqlite:///{attempt.place.database}"),
    )
    try:
        with around_stages(lambda stage: _told(fate, stage)):
            made = run_pipeline(run, Options("chaos", f"night {attempt.run_id}"))
    except Exception:  # whatever it is, it is a difference, and the parent tells it
        diary.write("failed", error=traceback.format_exc())
    else:
        diary.write("ended", released=made["released"], verdict=made.get("verdict"), reason=made.get("reason"))


@contextmanager
def _told(fate: Fate, stage: str) -> Iterator[None]:
    fate.stage = stage
    try:
        yield
    finally:
        fate.stage = OUTSIDE
