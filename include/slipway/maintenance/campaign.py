"""The reindex campaign that is at work beside the nights, or waits for an approval.

It does not hold the collection's lease, so maintenance may run beside it. What it has begun with and planned stays
then, and the vectors of its encoder are neither removed nor merged. A campaign that was not heard of for `keep_days`,
and for a day longer than an approval is waited for, is dead: what it embedded is kept only as long as other vectors
that nobody needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from slipway import layout
from slipway.config import Collection as Settings
from slipway.lease import read_lease
from slipway.maintenance.survey import Survey, run_of
from slipway.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign at work, or None of them: `run_id` is None."""

    run_id: str | None

    def owns(self, path: str) -> bool:
        """Whether a place below `runs/` is of it, or of a part of it."""
        run = run_of(path)
        return self.run_id is not None and (run == self.run_id or run.startswith(f"{self.run_id}-"))

    def encoders(self, found: Survey, stored: set[str]) -> set[str]:
        """Of the encoders with vectors in the store, those that are to be left alone: all, until it says which."""
        if self.run_id is None:
            return set()
        encoder = found.fact(layout.start(self.run_id), "encoder")
        return stored if encoder is None else {encoder}


def at_work(store: ObjectStore, settings: Settings, moment: datetime) -> Campaign:
    """The campaign that holds its lease, unless it is dead at `moment` (UTC) by the collection's settings."""
    lease, _ = read_lease(store, layout.REINDEX_LEASE)
    waited = timedelta(hours=settings.reindex.approval_hours) + timedelta(days=1)
    before = moment - max(timedelta(days=settings.maintenance.keep_days), waited)
    alive = lease is not None and lease.state == "held" and lease.renewed >= before
    return Campaign(lease.holder.run_id if lease is not None and alive else None)
