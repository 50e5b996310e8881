"""What keeps a collection's store from growing for ever: removing what nobody needs, and merging vector parts.

It runs while no other run is at work (see slipway.lease), though a reindex campaign may be: see
slipway.maintenance.campaign. Old releases go first (see slipway.maintenance.retention), then what only they needed.
Whatever can be found wrong is found before the first object of that goes, and it could be made again from the sources.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq

from slipway import layout, lease
from slipway.maintenance.campaign import at_work
from slipway.maintenance.compaction import Compacted, Compaction
from slipway.maintenance.places import Check
from slipway.maintenance.reach import needed
from slipway.maintenance.retention import Retained, preview, retain, retain_alone
from slipway.maintenance.survey import survey
from slipway.maintenance.sweep import Removed, Sweep
from slipway.maintenance.wanted import HASH, encoders_in_use, encoders_stored, write_wanted
from slipway.pointer import read_serving
from slipway.run import Run

__all__ = [
    "Compacted",
    "Maintained",
    "Removed",
    "Retained",
    "maintain",
    "maintain_alone",
    "preview",
    "retain",
    "retain_alone",
]


@dataclass(frozen=True, slots=True)
class Maintained:
    """What a maintenance did, or with `dry_run` would do.

    `retained` says what became of the releases, `removed` what else went by kind, `compacted` by encoder what became
    of vectors.
    """

    dry_run: bool
    retained: Retained
    removed: tuple[Removed, ...]
    compacted: tuple[Compacted, ...]

    @property
    def bytes_freed(self) -> int:
        """Bytes of the store that became free, the releases' and the vectors' included."""
        releases, rest = self.retained.removed, self.removed
        gone = sum(one.bytes for one in releases) + sum(one.bytes for one in rest)
        return gone + sum(one.bytes_freed for one in self.compacted)

    def as_json(self) -> dict[str, Any]:
        """All of it, for people and scripts."""
        return {
            "dry_run": self.dry_run,
            "releases": self.retained.as_json(),
            "removed": [asdict(one) for one in self.removed],
            "compacted": [asdict(one) for one in self.compacted],
            "bytes_freed": self.bytes_freed,
        }


def maintain_alone(run: Run, holder: lease.Holder, *, take_over: bool = False) -> Maintained:
    """Take the collection's lease, maintain its store, and give the lease back. Raises `RunInProgress`."""
    with lease.alone(run.store, holder, take_over=take_over) as hold:
        return maintain(replace(run, run_id=holder.run_id), check=hold.check, who=holder.who)


def _unchecked() -> None:
    """Nobody else can be at work."""


def maintain(
    run: Run,
    *,
    dry_run: bool = False,
    check: Check = _unchecked,
    now: datetime | None = None,
    who: str = "maintenance",
) -> Maintained:
    """Remove what nobody needs and merge vector parts; again after a kill ends where one run would have ended.

    Releases go by `release.keep`, in the name of `who`. Of the rest, kept is what `slipway.maintenance.reach` says, by
    the collection's `maintenance` settings; ages are taken from the store's times and `now` (UTC; this machine's
    clock). `check` is called before each change and may raise to stop. Raises `ObjectMissing`, `CorruptObject` and
    `EncoderError` before anything of the rest is removed, when something that is needed for the decision is not there.
    """
    settings, moment = run.collection.maintenance, now or datetime.now(UTC)
    before = moment - timedelta(days=settings.keep_days)
    retained = preview(run) if dry_run else retain(run, who, check)
    campaign = at_work(run.store, run.collection, moment)
    found = survey(run.store).without(layout.release(one.release_id) for one in retained.removed)
    kept = needed(found, read_serving(run.store)[0], before, settings.checkpoints, campaign)
    run.scratch.mkdir(parents=True, exist_ok=True)
    in_use = encoders_in_use(run, found, kept)
    wanted, unused = run.scratch / "wanted.parquet", run.scratch / "unused.parquet"
    write_wanted(run, found, kept, wanted)
    pq.write_table(HASH.empty_table(), unused)

    sweep = Sweep(run.store, moment, settings.keep_days, check, dry_run)
    orphans = sweep.orphans(found, kept)  # first, as it may still find a manifest that cannot be read
    removed = [*sweep.unneeded(found, kept), orphans, sweep.unfinished(), sweep.silent()]
    stored = encoders_stored(found)
    compacted = [
        Compaction(run.store, encoder, wanted if encoder in in_use else unused, before, run.scratch, check).run(
            dry_run=dry_run
        )
        for encoder in sorted(stored - campaign.encoders(found, stored))
    ]
    return Maintained(dry_run, retained, tuple(one for one in removed if one.objects), tuple(compacted))
