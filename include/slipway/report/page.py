"""report.json → report.html: one file that needs nothing else. Everything that it shows is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from slipway.drift.record import line
from slipway.evaluation.tone import floor_of_slice
from slipway.report import formats, fronts, plots, words
from slipway.sizes import size

PAGES = Path(__file__).parent / "pages"
SLICES = 20  # shown of them: those that lose most
OPEN = 2  # losers whose documents are shown at once; half as many winners
JUDGED_BY = "ndcg_at_10"
COMPARED = ("ndcg_at_10", "mrr_at_10", "hit_rate_at_1", "hit_rate_at_10", "recall_at_10")
SIZES = ("documents", "vectors", "rows", "tombstones", "index_bytes")
TIMES = ("p50_ms", "p95_ms", "p99_ms")
MEASURES = {"mmd": "MMD", "overlap_at_10": "Overlap@10", "rank_biased_overlap": "Rank-biased overlap"}
GROUPS = {
    "vectors": "Vectors",
    "neighbours": "Neighbours",
    "texts": "Texts",
    "rejects": "Rejected rows",
}


def render(document: Mapping[str, Any]) -> str:
    """The page of a report (see slipway.report.document)."""
    compared = document["comparison"]
    shown = {
        "groups": _gate_groups(document["verdict"]["gates"]),
        "sides": _sides(document),
        "metrics": _metrics(document) if compared else None,
        "slices": _slices(document) if compared else None,
        "measured": _measured(document["evaluation"]),
        "curve": _curve(document),
        "front": fronts.front(document.get("contract")),
        "is_tried": bool(document.get("contract")) and fronts.was_tried(document["contract"]),
        "clauses": fronts.clauses(document["contract"]) if document.get("contract") else (),
        "bars": plots.histogram(document["changed"]["overlaps"]) if document["changed"] else (),
        "moved": _moved(document["moved"]),
        "drift": _drift(document["drift"]),
        "sizes": _sizes(document),
        "method": words.method(dict(document)),
    }
    return _environment().get_template("report.html").render(report=document, **shown)


def _gate_groups(gates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Gates by what they judge, those that do not hold first."""
    groups = []
    for kind, (title, meaning) in words.KINDS.items():
        members = [gate for gate in gates if (gate["kind"] if gate["kind"] in words.KINDS else "") == kind]
        rows = [
            {"title": words.title(gate["metric"]), "state": _state(gate), "reason": gate["reason"]} for gate in members
        ]
        rows.sort(key=lambda row: ("fail", "undecided", "pass").index(row["state"]))
        groups.append({"title": title, "meaning": meaning, "gates": rows})
    return [group for group in groups if group["gates"]]


def _state(gate: Mapping[str, Any]) -> str:
    return "pass" if gate["passed"] else "undecided" if gate["undecided"] else "fail"


def _sides(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Candidate and live release in words."""
    sides = [("Candidate", document["candidate"]), ("Live release", document["live"])]
    return [
        {
            "title": title,
            "name": one.get("release_id") or one["place"].rpartition("/")[2],
            "encoder": one["encoder"].get("name", one["encoder"]["fingerprint"]),
            "dimension": one["dimension"],
            "index": one["spec"]["factory"],
            "documents": one["counts"]["documents"],
        }
        for title, one in sides
        if one
    ]


def _metrics(document: Mapping[str, Any]) -> dict[str, Any]:
    compared, margins = document["comparison"], document["margins"]
    names = [name for name in COMPARED if name in compared["metrics"]]
    rows = [(words.title(name), compared["metrics"][name]) for name in names]
    floors = [(compared["noise"] or {}).get(name) for name in names]
    allowed = [margins.get(name) for name in names]
    return {
        "plot": plots.forest(rows, allowed, floors),
        "rows": [
            {"name": name, **one, "margin": margin, "noise": floor}
            for (name, one), margin, floor in zip(rows, allowed, floors, strict=True)
        ],
    }


def _slices(document: Mapping[str, Any]) -> dict[str, Any] | None:
    slices = document["comparison"]["by_slice"].items()
    worst = sorted(slices, key=lambda one: (one[1]["metrics"][JUDGED_BY]["difference"], one[0]))
    shown = worst[:SLICES]
    if not shown:
        return None
    rows = [(name, one["metrics"][JUDGED_BY]) for name, one in shown]
    margin, floor, queries = document["margins"].get(JUDGED_BY), _floor(document), document["comparison"]["queries"]
    floors = [None if floor is None else floor_of_slice(floor, queries, one["queries"]) for _, one in shown]
    return {
        "plot": plots.forest(rows, [margin] * len(rows), floors),
        "rows": [{"name": name, "queries": one["queries"], **one["metrics"]} for name, one in shown],
        "rest": len(worst) - len(shown),
        "least": worst[len(shown)][1]["metrics"][JUDGED_BY]["difference"] if len(worst) > len(shown) else None,
    }


def _floor(document: Mapping[str, Any]) -> float | None:
    """The noise floor of nDCG@10 over all queries."""
    noise: Mapping[str, float] = document["comparison"]["noise"] or {}
    return noise.get(JUDGED_BY)


def _measured(evaluation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was measured on the candidate alone."""
    return [(words.title(name), formats.metric(value, name)) for name, value in evaluation["metrics"].items()]


def _curve(document: Mapping[str, Any]) -> plots.Curve | None:
    live = document["live_evaluation"]
    return plots.curve(document["sweep"], document["evaluation"]["parameters"], live["metrics"] if live else None)


def _moved(moved: Mapping[str, Any]) -> list[dict[str, Any]]:
    sides = (
        ("Lost most", "losers", OPEN, "Queries whose nDCG@10 falls most."),
        ("Won most", "winners", OPEN // 2, "Queries whose nDCG@10 rises most."),
    )
    return [
        {"title": title, "meaning": meaning, "queries": moved[name], "open": shown}
        for title, name, shown, meaning in sides
    ]


def _drift(records: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The measures of the newest record, each with what the runs before saw of it: alarms first, then by group."""
    if not records:
        return None
    newest = records[-1]
    measures = [_trend(one, records) for one in newest["measures"]]
    return {
        "runs": len(records),
        "since": records[0]["at"],
        "against": newest["against"],
        "alarms": newest["alarms"],
        "measures": sorted(measures, key=lambda one: (not one["alarm"], list(GROUPS).index(one["group"]))),
    }


def _trend(measure: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    of_name = [one for one in line(records, measure["name"]) if one]
    return {
        **measure,
        "title": MEASURES.get(measure["name"]) or measure["name"].replace("_", " ").replace(":", ": ").capitalize(),
        "title_of_group": GROUPS[measure["group"]],
        "plot": plots.trend(of_name),
        "seen": len(of_name),
        "alarms": sum(one["alarm"] for one in of_name),
    }


def _sizes(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what, of the candidate, of the live release)."""
    candidate, live = document["candidate"], document["live"]
    mine, other = document["evaluation"]["metrics"], (document["live_evaluation"] or {"metrics": {}})["metrics"]
    counts = live["counts"] if live else {}
    rows = [
        (words.title(name), formats.metric(candidate["counts"][name], name), _of(counts.get(name), name))
        for name in SIZES
        if name in candidate["counts"]
    ]
    sizes = document["sizes"]
    rows.append(("All files", size(sizes["candidate"]["all"]), _of((sizes["live"] or {}).get("all"), "index_bytes")))
    rows += [(words.title(name), _of(mine[name], name), _of(other.get(name), name)) for name in TIMES if name in mine]
    return rows


def _of(value: float | None, name: str) -> str:
    if name in ("rows", "tombstones"):
        return "–" if value is None else formats.count(value)
    return formats.metric(value, name)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.globals["style"] = Markup((PAGES / "style.css").read_text(encoding="utf-8"))  # noqa: S704 - of this package
    made.globals["outcomes"] = words.TITLES
    shown = ("share", "signed", "interval", "percent", "count", "short", "size", "seconds", "moment")
    made.filters |= {name: getattr(formats, name) for name in shown}
    made.filters["setting"] = plots.setting
    return made
