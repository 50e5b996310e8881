"""What commands print for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.cli import drifts, fronts, shifts
from slipway.evaluation.signs import signed
from slipway.sizes import size

LABEL = 11  # characters


def result(made: dict[str, Any]) -> str:
    """A run's result, as a page."""
    lines = [_title(made), ""]
    if made.get("nothing_changed"):
        lines += [
            "  Nothing changed: nothing was embedded, and the live release is what this run would have built.",
            "",
        ]
    lines += _told(made) + _sources(made) + planned(made) + _counts(made) + _index(made)
    lines += metrics(made) + compared(made)
    lines += [line("drift", said) for said in drifts.sentences(made.get("drift"))] + gates(made)
    state = "released" if made["released"] else "not released"
    lines += ["", line("release", f"{state}: {made.get('release_id') or '-'}  {made.get('reason', '')}".rstrip())]
    lines += [*report(made), *_failed(made)]
    return "\n".join([*lines, seconds(made), *shifts.steps(made.get("shift", []))])


def report(made: Mapping[str, Any]) -> list[str]:
    """Where the report on the candidate is, and how it is read."""
    if not made.get("report"):
        return []
    return [line("report", f"{made['report']}: slipway report {made['collection']} {made['run_id']} --open")]


def _failed(made: Mapping[str, Any]) -> list[str]:
    """What went wrong beside the way to the release."""
    return [line("FAILED", f"{one['task']}: {one['error']}") for one in made.get("failed", [])]


def plan(made: dict[str, Any]) -> str:
    """What a run would do, as a page."""
    lines = [f"{_title(made)}: the plan, nothing embedded", ""]
    numbers = made.get("plan", {})
    if numbers and not any(numbers[name] for name in ("added", "changed", "deleted", "to_embed")):
        lines += ["  Nothing would change against the live release, and nothing would be embedded.", ""]
    lines += _told(made) + _sources(made) + _documents(made) + _changes(made) + planned(made)
    return "\n".join([*lines, "", seconds(made)])


def _title(made: dict[str, Any]) -> str:
    return f"{made['collection']}  run {made['run_id']}"


def seconds(made: Mapping[str, Any]) -> str:
    """The wall time by stage."""
    return line("seconds", "  ".join(f"{stage} {spent:.1f}" for stage, spent in made["seconds"].items()))


def _told(made: dict[str, Any]) -> list[str]:
    """What the person who started the run told it."""
    allowed = ", ".join(name.replace("_", " ") for name in made.get("allowed", []))
    lines = [line("note", made["note"])] if made.get("note") else []
    lines += [line("allowed", allowed)] if allowed else []
    return [*lines, line("full", "all rows of every source were asked for")] if made.get("full") else lines


def _sources(made: dict[str, Any]) -> list[str]:
    return [
        line(
            "source",
            f"{one['source']}: {_mode(one)}; {one['reason']}",
        )
        for one in made.get("sources", [])
    ]


def _mode(source: dict[str, Any]) -> str:
    read = "all" if source["mode"] == "full" else "changes only"
    said = f"{read}, {source['rows']:,} rows"
    if source["mode"] == "changes":
        said += f", {source['deleted']:,} deleted"
    return said if source["cleaned"] is None else f"{said}, {source['cleaned']:,} cleaned anew"


def planned(made: Mapping[str, Any]) -> list[str]:
    """What is to be embedded, and how long that takes."""
    numbers = made.get("plan")
    if not numbers:
        return []
    embedded = f"{numbers['to_embed']:,} of {numbers['chunks']:,} chunks, {numbers['tokens']:,} tokens"
    if not numbers["to_embed"]:
        return [line("plan", f"nothing to embed: all {numbers['chunks']:,} chunks have their vectors")]
    took = f"{minutes(numbers['minutes'])} at {numbers['tokens_per_second']:,.0f} tokens/s"
    if "workers" in numbers:
        took += f", {minutes(numbers['hours'] * 60)} on {numbers['workers']} workers"
    return [
        line("plan", f"embed {embedded}; write {size(numbers['bytes'])} of vectors"),
        line("estimate", f"{took} ({numbers['measured']})"),
    ]


def minutes(value: float) -> str:
    """A time for people: under a minute, about 12 min, about 3 h 20 min."""
    if value < 1:
        return "under a minute"
    hours, rest = divmod(round(value), 60)
    return f"about {hours} h {rest} min" if hours else f"about {rest} min"


def line(label: str, text: str) -> str:
    """A labelled line of a page."""
    return f"  {label:<{LABEL}} {text}"


def _counts(made: dict[str, Any]) -> list[str]:
    lines = _documents(made) + _changes(made)
    if lines and "embedded" in made:
        lines.append(line("chunks", f"{made['chunks']:,}"))
        lines.append(line("vectors", f"{made['embedded']:,} embedded, {made['reused']:,} reused"))
    if speed := made.get("embedding", {}).get("tokens_per_second"):
        lines.append(line("speed", f"{speed:,.0f} tokens/s by {made['embedding']['backend']}"))
    return lines


def _documents(made: dict[str, Any]) -> list[str]:
    if "documents_in" not in made:
        return []
    rejected = made["rejected"]
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(rejected.items()))
    return [
        line("rows", f"{made['documents_in']:,}"),
        line("rejected", f"{sum(rejected.values()):,}" + (f" ({reasons})" if reasons else "")),
        line("documents", f"{made['documents']:,}"),
    ]


def _changes(made: dict[str, Any]) -> list[str]:
    if "added" not in made:
        return []
    changes = ", ".join(f"{made[name]:,} {name}" for name in ("added", "changed", "deleted", "unchanged"))
    return [line("changes", f"{changes} (against the live release)")]


def _index(made: dict[str, Any]) -> list[str]:
    index = made.get("index")
    if not index:
        return []
    shown = f"{index['spec']} over {index['vectors']:,} × {index['dimension']} vectors, {size(index['bytes'])}"
    lines = [line("index", f"{shown}; {index['reason']}")]
    if index.get("parameters"):
        parameters = ", ".join(f"{name}={value}" for name, value in index["parameters"].items())
        lines.append(line("searched", f"{parameters}: {index['parameters_reason']}"))
    if shards := index.get("shards"):
        how = f"searched side by side: {shards['apart']}" if shards["apart"] else "merged"
        lines.append(line("built in", f"{shards['built_in']:,} shards, {how}"))
    unchanged = bool(made.get("nothing_changed"))
    lines += fronts.lines(index.get("contract"), nothing_changed=unchanged)
    update = None if unchanged else index.get("update")  # it would tell of an earlier night
    return lines + _update(update) + _reconciled(made.get("reconciled"))


def _update(update: dict[str, Any] | None) -> list[str]:
    """How the index came about, and the triggers that decided between an update and a build."""
    if not update:
        return []
    how = f"updated from {update['base']}" if update["kind"] == "updated" else "built anew"
    if update["kind"] == "updated":
        how += f", {update['added']:,} added and {update['removed']:,} removed"
    lines = [line("came about", f"{how}: {update['reason']}")]
    for trigger in update["triggers"]:
        state = "FIRED" if trigger["fired"] else "quiet"
        compared = f"{number(trigger['value'])}, limit {number(trigger['limit'])}"
        lines.append(line("trigger", f"{state}  {trigger['name']} {compared}"))
    return lines


def number(value: float | None) -> str:
    """A measured number with four digits; a dash where nothing was measured."""
    return "-" if value is None else f"{value:.4g}"


def _reconciled(counts: dict[str, int] | None) -> list[str]:
    if not counts:
        return []
    return [line("reconciled", ", ".join(f"{value:,} {name}" for name, value in counts.items()))]


def metrics(made: Mapping[str, Any]) -> list[str]:
    """What was measured, by group."""
    measured = made.get("metrics", {})
    groups = {
        "recall": ("recall_at_1", "recall_at_10", "recall_at_100"),
        "relevance": ("ndcg_at_10", "mrr_at_10", "hit_rate_at_10", "exact_ndcg_at_10"),
        "latency": ("p50_ms", "p95_ms", "p99_ms"),
    }
    shown = {
        label: [f"{name} {measured[name]:.4g}" for name in names if name in measured] for label, names in groups.items()
    }
    return [line(label, "  ".join(values)) for label, values in shown.items() if values] + _missing(made)


def _missing(made: Mapping[str, Any]) -> list[str]:
    """Judged documents that are not there: they count against relevance."""
    missing = made.get("judged_missing", [])
    if not missing:
        return []
    first = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
    return [line("missing", f"{len(missing):,} judged documents are not in the collection: {first}")]


def compared(made: Mapping[str, Any]) -> list[str]:
    """Differences to the live release on the same golden queries, each with its interval."""
    found = made.get("comparison")
    if not found:
        return []
    sure = f"{100 * (1 - 2 * found['alpha']):.4g} %"
    lines = []
    for name, one in found["metrics"].items():
        shown = f"{name} {signed(one['difference'])}"
        if one["low"] is not None:
            shown += f" ({sure}: {signed(one['low'])} to {signed(one['high'])})"
        lines.append(line("compared", shown))
    neighbours = found["neighbours"]
    of_both = f"{found['queries']:,} queries asked of {found['live']} too"
    changed = f"{neighbours['changed_share']:.1%} changed their top ten, overlap@10 {neighbours['overlap_at_10']:.3f}"
    return [*lines, line("compared", f"{of_both}; {changed}")]


def gates(made: Mapping[str, Any]) -> list[str]:
    """A line a gate."""
    return [line("gate", f"{mark(gate)}  {gate['reason']}") for gate in made.get("gates", [])]


def mark(gate: Mapping[str, Any]) -> str:
    """What became of a gate, in a word."""
    if gate["passed"]:
        return "pass"
    return "UNDECIDED" if gate.get("undecided") else "FAIL"


def validation(found: dict[str, Any]) -> str:
    """One line a collection file, and what is wrong below it."""
    if not found["collections"]:
        return "no collection files here"
    return "\n".join(
        f"{'ok   ' if entry['valid'] else 'WRONG'} {entry['collection']}"
        + ("" if entry["valid"] else f"\n{entry['error']}")
        for entry in found["collections"]
    )


def hits(found: dict[str, Any]) -> str:
    """A numbered list of documents."""
    lines = [f"{found['collection']} release {found['release_id']}: {found['query']!r}"]
    for rank, hit in enumerate(found["hits"], 1):
        lines += [
            f"{rank:>3}. {hit['score']:.3f}  {hit['document_id']}",
            f"     {hit['title']}",
            f"     {hit['snippet']}",
        ]
    return "\n".join(lines)


def releases(found: dict[str, Any]) -> str:
    """A table of releases."""
    if not found["releases"]:
        return f"{found['collection']}: nothing released yet"
    lines = [f"{found['collection']}: generation {found['generation']}", "", *shifts.under_way(found["shift"])]
    for release in found["releases"]:
        lines += [_release(release), *_pin(found["pins"].get(release["release_id"]))]
    return "\n".join([*lines, *shifts.readers(found)])


def _release(release: dict[str, Any]) -> str:
    state = release["state"] or ""
    if release["damaged"]:
        return f"  {state:<10} {release['release_id']}  DAMAGED: {release['damaged']}"
    metrics = "  ".join(
        f"{name} {release['metrics'][name]:.3f}"
        for name in ("recall_at_10", "ndcg_at_10")
        if name in release["metrics"]
    )
    encoder = release.get("encoder_name") or release["encoder"]  # a release of an older version has no name
    told = f"{release['documents']:,} documents  {encoder}  {release['spec']}  {metrics}"
    return f"  {state:<10} {release['release_id']}  {told}"


def _pin(pin: dict[str, Any] | None) -> list[str]:
    return [f"{'':<13}pinned by {pin['who']} at {pin['at']}: {pin['why']}"] if pin else []


def rolled_back(done: dict[str, Any]) -> str:
    """One line."""
    withdrawn = f"; withdrawn: {', '.join(done['withdrawn'])}" if done["withdrawn"] else ""
    return f"{done['collection']}: release {done['live']} is live (generation {done['generation']}){withdrawn}"
