"""What grows how: the table, the fit, what it predicts, and the plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

PAGE, PLOT = "growth.md", "growth.svg"
MEASURES = {
    "build_seconds": ("build, s", 1.0),
    "file_bytes": ("file, MB", 1e-6),
    "peak_bytes": ("peak while building, MB", 1e-6),
    "p50_ms": ("p50, ms", 1.0),
    "p95_ms": ("p95, ms", 1.0),
}
FAR = 100_000_000
INK = ("#1b5e9e", "#c05a1c", "#3d8b40", "#8a4fa0")


def fit(counts: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """(factor, exponent) of value = factor · count^exponent: least squares on the logarithms of both."""
    exponent, constant = np.polyfit(np.log(counts), np.log(values), 1)
    return float(np.exp(constant)), float(exponent)


def predictions(rows: Sequence[dict[str, Any]], far: int = FAR) -> dict[str, dict[str, dict[str, float]]]:
    """By spec and measure: the exponent, and the value at `far` vectors. Specs with fewer than 3 sizes are left out.

    Of real vectors alone: made ones have no clusters, and are searched at another cost.
    """
    told: dict[str, dict[str, dict[str, float]]] = {}
    for family in dict.fromkeys(row["family"] for row in rows):
        mine = [row for row in rows if row["family"] == family and row["real"]]
        if len(mine) < 3:
            continue
        told[family] = {}
        for measure in MEASURES:
            factor, exponent = fit([row["vectors"] for row in mine], [row[measure] for row in mine])
            told[family][measure] = {"exponent": round(exponent, 3), "at_100m": factor * far**exponent}
    return told


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line an index that was built."""
    heads = ["vectors", "index", *(name for name, _ in MEASURES.values()), "recall@10"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        numbers = [_number(row[measure] * scale) for measure, (_, scale) in MEASURES.items()]
        source = "" if row["real"] else " (made)"
        cells = [f"{row['vectors']:,}{source}", row["spec"], *numbers, f"{row['recall']:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def arithmetic(rows: Sequence[dict[str, Any]]) -> str:
    """What the fits say of 100 million vectors, with the sums written out."""
    lines = []
    for family, measures in predictions(rows).items():
        for measure, (name, scale) in MEASURES.items():
            told = measures[measure]
            mine = [row for row in rows if row["family"] == family and row["real"]]
            last = max(mine, key=lambda row: row["vectors"])
            ratio = FAR / last["vectors"]
            lines.append(
                f"- {family}, {name}: grows with n^{told['exponent']:.2f}; {_number(last[measure] * scale)} at "
                f"{last['vectors']:,} vectors, so with {ratio:,.0f} times as many about {ratio:,.0f}^"
                f"{told['exponent']:.2f} = {_number(ratio ** told['exponent'])} times that; the fitted line gives "
                f"**{_number(told['at_100m'] * scale)}** at {FAR:,}."
            )
    return "\n".join(lines)


def _number(value: float) -> str:
    """Three digits, and all of what is larger."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def write(folder: Path, rows: Sequence[dict[str, Any]], paragraphs: Sequence[str]) -> None:
    """Write the page and its plot."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["# How cost grows with the number of vectors", *paragraphs, table(rows), f"![]({PLOT})"]
    parts += [f"## What it predicts for {FAR:,}", _ASSUMED, arithmetic(rows)]
    (folder / PAGE).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    draw(folder / PLOT, rows)


_ASSUMED = (
    "A line through the logarithms of what the real vectors took, drawn on beyond what was measured; the made vectors "
    "are in no line. It assumes that the number of lists goes on "
    "growing with √n, that everything stays in memory, and that the machine is the same: "
    "cache misses and page faults beyond its memory are in no line, so latency is a lower bound."
)


def draw(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Each measure by the number of vectors, both on logarithmic scales."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "slipway"  # the same figures give the same file
    shown = ("build_seconds", "peak_bytes", "p95_ms")
    figure, axes = pyplot.subplots(1, len(shown), figsize=(12, 4), layout="constrained")
    for axis, measure in zip(axes, shown, strict=True):
        name, scale = MEASURES[measure]
        for number, family in enumerate(dict.fromkeys(row["family"] for row in rows)):
            ink = INK[number % len(INK)]
            for real, look in ((True, {"marker": "o"}), (False, {"marker": "x", "linestyle": "none"})):
                mine = [row for row in rows if row["family"] == family and row["real"] is real]
                counts, values = [row["vectors"] for row in mine], [row[measure] * scale for row in mine]
                if mine:
                    axis.plot(counts, values, color=ink, label=family if real else f"{family}, made vectors", **look)
        axis.set(xlabel="vectors", title=name, xscale="log", yscale="log")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
