"""What the releases page shows: releases, the shift under way, readers, and who changed what. Pure and patient."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from slipway_airflow.ui.formats import NONE, count, is_number, mapping, mappings, milliseconds, moment, share, size
from slipway_airflow.ui.view import allowed


def release_row(release: Mapping[str, Any], withdrawn: Mapping[str, Any]) -> dict[str, Any]:
    """One release of a collection's table."""
    metrics = mapping(release.get("metrics"))
    state, damaged = release.get("state"), release.get("damaged")
    return {
        **release,
        "state": {None: "retained", "trial": "on trial"}.get(state, state),
        "note": withdrawn.get(str(release.get("release_id")), "") if state == "withdrawn" else "",
        "damaged": str(damaged) if damaged else "",
        "encoder": str(release.get("encoder_name") or release.get("encoder") or NONE),
        "documents": count(release.get("documents")),
        "vectors": count(release.get("vectors")),
        "size": size(release.get("bytes")),
        "recall": share(metrics.get("recall_at_10")),
        "ndcg": share(metrics.get("ndcg_at_10")),
        "hit_rate": share(metrics.get("hit_rate_at_10")),
        "p95": milliseconds(metrics.get("p95_ms")),
    }


def change_row(change: Mapping[str, Any]) -> dict[str, Any]:
    """One change of serving.json. A run that its reason names already, in Airflow's spelling, is not named twice."""
    run_id, why = str(change.get("run_id") or ""), str(change.get("why") or "")
    named = run_id and run_id in re.sub(r"[^A-Za-z0-9_-]", "-", why)
    return {
        **change,
        "at": moment(change.get("at")),
        "why": why,
        "run_id": "" if named else run_id,
        "allowed": allowed(change.get("allowed")),
        "action": _action(change),
        "moved": _moved(change),
    }


def _action(change: Mapping[str, Any]) -> str:
    action, percent = str(change.get("action") or ""), change.get("percent")
    return f"{action} at {count(percent)} %" if is_number(percent) else action


def _moved(change: Mapping[str, Any]) -> list[str]:
    """From which release to which, one where they are the same; older records tell only what was live after it."""
    moved = (change.get("from_release"), change.get("to_release") or change.get("live"))
    return list(dict.fromkeys(str(release_id) for release_id in moved if release_id))


def shift_line(shift: Any) -> dict[str, str] | None:
    """The shift under way: the release on trial, its share, and since when; None without one."""
    if not isinstance(shift, Mapping):
        return None
    return {
        "release_id": str(shift.get("release_id", NONE)),
        "percent": count(shift.get("percent")),
        "began": moment(shift.get("began")),
    }


def reader_row(reader: Mapping[str, Any]) -> dict[str, Any]:
    """One reader of a collection's table."""
    trial = reader.get("trial")
    rows = [_answered(str(reader.get("serves") or NONE), "", reader)]
    if trial:
        share = f"on trial, {count(reader.get('percent'))} %"
        rows.append(_answered(str(trial), share, mapping(reader.get("trial_answers"))))
    return {
        "name": str(reader.get("name", NONE)),
        "host": str(reader.get("host", "")),
        "state": next((state for state in ("silent", "refuses", "behind") if reader.get(state)), "follows"),
        "heard_at": moment(reader.get("heard_at")),
        "answers": rows,
        "refused": [
            {name: str(one.get(name, "")) for name in ("release_id", "why")} | {"at": moment(one.get("at"))}
            for one in mappings(reader.get("refused"))
        ],
    }


def _answered(release_id: str, note: str, numbers: Mapping[str, Any]) -> dict[str, str]:
    return {
        "release_id": release_id,
        "note": note,
        "queries": count(numbers.get("queries")),
        "errors": count(numbers.get("errors")),
        "p95": milliseconds(numbers.get("p95_ms")),
    }
