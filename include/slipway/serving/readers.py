"""The readers of a collection, for people: what each serves, how that goes, and who has fallen silent."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from slipway.acknowledgement import Heard, Loaded, heard
from slipway.pointer import Serving
from slipway.storage.base import ObjectStore


def list_readers(store: ObjectStore, serving: Serving, now: datetime | None = None) -> dict[str, Any]:
    """`readers`: a row a reader, by name; `unreadable`: the keys of acknowledgements that cannot be read.

    `now` (UTC) is this machine's time unless it is given; who is silent is told by it, so that nothing is written.
    """
    found, unreadable = heard(store)
    # The store's clock may be ahead of this machine's: nothing was heard after now.
    latest = max([now or datetime.now(UTC), *(one.heard_at for one in found)])
    return {"readers": [_row(one, serving, latest) for one in found], "unreadable": unreadable}


def _row(one: Heard, serving: Serving, now: datetime) -> dict[str, Any]:
    """A reader. `refuses`: it refused what it should serve now.

    `errors` and `queries` are counts, and `p95_ms` a latency, of the release that it serves; `trial_answers` holds the
    same three of the release on trial, None without one.
    """
    said = one.said
    return {
        "name": said.reader,
        "host": said.host,
        "serves": said.live,
        "trial": said.trial,
        "percent": said.percent,
        "generation": said.generation,
        "behind": said.generation < serving.generation,
        **_answered(said.of(said.live) if said.live else None),
        "trial_answers": _answered(said.of(said.trial)) if said.trial else None,
        "heard_at": one.heard_at.astimezone(UTC).isoformat(timespec="seconds"),
        "silent": one.is_silent(now),
        "refuses": any(refused.release_id in serving.named for refused in said.refused),
        "refused": [asdict(refused) for refused in said.refused],
    }


def _answered(loaded: Loaded | None) -> dict[str, Any]:
    if loaded is None:
        return {"queries": 0, "errors": 0, "p95_ms": None}
    return {"queries": loaded.queries, "errors": loaded.errors, "p95_ms": loaded.latencies.quantile_ms(0.95)}


def shift_under_way(serving: Serving) -> dict[str, Any] | None:
    """The release on trial with its share of the requests in percent, and when the shift began; None without one."""
    if serving.shift is None or serving.trial is None:
        return None
    return {"release_id": serving.trial.release_id, "percent": serving.shift.percent, "began": serving.shift.began}
