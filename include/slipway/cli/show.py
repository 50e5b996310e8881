"""What commands print for people."""

from __future__ import annotations

from typing import Any

LABEL = 11  # characters


def result(made: dict[str, Any]) -> str:
    """A run's result, as a page."""
    lines = [f"{made['collection']}  run {made['run_id']}", ""]
    lines += _counts(made) + _index(made) + _metrics(made) + _gates(made)
    state = "released" if made["released"] else "not released"
    lines += ["", _line("release", f"{state}: {made.get('release_id') or '-'}  {made.get('reason', '')}".rstrip())]
    seconds = "  ".join(f"{stage} {spent:.1f}" for stage, spent in made["seconds"].items())
    return "\n".join([*lines, _line("seconds", seconds)])


def _line(label: str, text: str) -> str:
    return f"  {label:<{LABEL}} {text}"


def _counts(made: dict[str, Any]) -> list[str]:
    if "documents_in" not in made:
        return []
    rejected = made["rejected"]
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(rejected.items()))
    lines = [
        _line("rows read", f"{made['documents_in']:,}"),
        _line("rejected", f"{sum(rejected.values()):,}" + (f" ({reasons})" if reasons else "")),
        _line("documents", f"{made['documents']:,}"),
    ]
    if "added" in made:
        changes = ", ".join(f"{made[name]:,} {name}" for name in ("added", "changed", "deleted", "unchanged"))
        lines.append(_line("changes", f"{changes} (against the live release)"))
    if "embedded" in made:
        lines.append(_line("chunks", f"{made['chunks']:,}"))
        lines.append(_line("vectors", f"{made['embedded']:,} embedded, {made['reused']:,} reused"))
    return lines


def _index(made: dict[str, Any]) -> list[str]:
    index = made.get("index")
    if not index:
        return []
    shown = (
        f"{index['spec']} over {index['vectors']:,} × {index['dimension']} vectors, {index['bytes'] / 2**20:.1f} MiB"
    )
    lines = [_line("index", f"{shown}; {index['reason']}")]
    if index.get("parameters"):
        parameters = ", ".join(f"{name}={value}" for name, value in index["parameters"].items())
        lines.append(_line("searched", f"{parameters}: {index['parameters_reason']}"))
    return lines


def _metrics(made: dict[str, Any]) -> list[str]:
    metrics = made.get("metrics", {})
    groups = {
        "recall": ("recall_at_1", "recall_at_10", "recall_at_100"),
        "relevance": ("ndcg_at_10", "mrr_at_10", "hit_rate_at_10", "exact_ndcg_at_10"),
        "latency": ("p50_ms", "p95_ms", "p99_ms"),
    }
    shown = {
        label: [f"{name} {metrics[name]:.4g}" for name in names if name in metrics] for label, names in groups.items()
    }
    return [_line(label, "  ".join(values)) for label, values in shown.items() if values]


def _gates(made: dict[str, Any]) -> list[str]:
    marks = {True: "pass", False: "FAIL"}
    return [_line("gate", f"{marks[gate['passed']]}  {gate['reason']}") for gate in made.get("gates", [])]


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
    lines = [f"{found['collection']}: generation {found['generation']}", ""]
    for release in found["releases"]:
        metrics = "  ".join(
            f"{name} {release['metrics'][name]:.3f}"
            for name in ("recall_at_10", "ndcg_at_10")
            if name in release["metrics"]
        )
        state = release["state"] or ""
        lines.append(
            f"  {state:<10} {release['release_id']}  {release['documents']:,} documents  {release['spec']}  {metrics}"
        )
    return "\n".join(lines)


def rolled_back(done: dict[str, Any]) -> str:
    """One line."""
    return f"{done['collection']}: release {done['live']} is live (generation {done['generation']})"
