"""What the page of a reindex campaign shows besides: what was asked, who decided, and the two releases side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway_airflow.ui.formats import NONE, count, is_number, mapping, sequence


def upgrade_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked of a campaign; none for a night."""
    asked = mapping(result.get("asked"))
    rows = [(name, str(asked[name])) for name in ("encoder", "index", "reason", "who") if asked.get(name)]
    rows += [("budget", f"{asked['budget_hours']:g} hours")] if is_number(asked.get("budget_hours")) else []
    return rows + ([("tried first on", _sampled(mapping(result.get("sample"))))] if result.get("sample") else [])


def decision_rows(approval: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Who decided what, when and why."""
    if not approval:
        return []
    rows = [("decision", "approved" if approval.get("approved") is True else "rejected")]
    rows += [(label, str(approval.get(label) or NONE)) for label in ("who", "comment", "at")]
    rows.append(("verdict then", str(approval.get("outcome") or NONE)))
    overrode = [str(name) for name in sequence(approval.get("overrode"))]
    return rows + ([("overrode", ", ".join(overrode))] if overrode else [])


def comparison(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of candidate and live release with the interval of their difference, as rows; and a sentence."""
    metrics = mapping(facts.get("metrics"))
    return {"rows": [_row(str(name), mapping(one)) for name, one in metrics.items()], "told": _told(facts)}


def _row(metric: str, one: Mapping[str, Any]) -> dict[str, str]:
    low, high = _signed(one.get("low")), _signed(one.get("high"))
    return {
        "metric": metric,
        "candidate": _plain(one.get("candidate")),
        "live": _plain(one.get("live")),
        "difference": _signed(one.get("difference")),
        "interval": "too few queries" if NONE in (low, high) else f"{low} to {high}",
    }


def _told(facts: Mapping[str, Any]) -> str:
    near = mapping(facts.get("neighbours"))
    told = [f"{count(facts['queries'])} queries judged on both"] if is_number(facts.get("queries")) else []
    if is_number(near.get("changed_share")) and is_number(near.get("overlap_at_10")):
        told.append(
            f"{near['changed_share']:.0%} of them find other documents in their top ten, which shares "
            f"{near['overlap_at_10']:.0%} of its documents on average"
        )
    return "; ".join(told)


def _sampled(sample: Mapping[str, Any]) -> str:
    said = f"{count(sample.get('documents'))} documents"
    return f"{said}: {sample['says']}" if sample.get("says") else said


def _plain(value: Any) -> str:
    return f"{value:.4f}" if is_number(value) else NONE


def _signed(value: Any) -> str:
    return f"{value:+.4f}" if is_number(value) else NONE
