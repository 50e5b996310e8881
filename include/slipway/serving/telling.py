"""A reader's state for others: as metrics for the service it is part of, as an acknowledgement for the collection."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime

from slipway.acknowledgement import Acknowledgement, utc_now
from slipway.serving.acknowledging import versions
from slipway.serving.following import Following
from slipway.serving.metrics import ReaderMetrics
from slipway.serving.routing import Served


def metrics_of(following: Following, served: Served, name: str | None, is_pinned: bool) -> ReaderMetrics:
    """What is served, refused and troubling, and how searches go."""
    troubles = following.troubles
    return ReaderMetrics(
        name=name,
        live=served.live.release_id,
        live_since=served.since,
        live_age_seconds=(datetime.now(UTC) - served.live.loaded.created_at).total_seconds(),
        trial=served.trial.release_id if served.trial else None,
        percent=served.percent,
        generation=following.generation,
        is_confirmed=is_pinned or following.pointer.is_confirmed,
        loads=following.loads,
        polled_at=following.polled_at,
        releases=tuple(held.metrics() for held in served.held),
        refused=following.refusals.present,
        last_refusal=following.refusals.last,
        store_trouble=troubles.of("store"),
        acknowledgement_trouble=troubles.of("acknowledgement"),
        cache_trouble=troubles.of("cache"),
    )


def acknowledgement_of(
    following: Following, generation: int, served: Served, name: str, every: float
) -> Acknowledgement:
    """What a reader called `name`, which says so every so many seconds, has made of `generation` of serving.json."""
    return Acknowledgement(
        reader=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        at=utc_now(),
        every_seconds=every,
        generation=generation,
        live=served.live.release_id,
        trial=served.trial.release_id if served.trial else None,
        percent=served.percent,
        loaded=tuple(held.told() for held in served.held),
        refused=following.refusals.present,
        versions=versions(),
    )
