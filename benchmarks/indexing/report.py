"""The table, the page and the plot of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.indexing.measuring import AIMS, Measured
from benchmarks.indexing.sweep import Point, front, speed_at
from benchmarks.indexing.systems import OURS

PAGE, PLOT = "index.md", "index.svg"
INK = {True: "#1b5e9e", False: "#9a9a9a"}


def table(measured: Sequence[Measured]) -> str:
    """Queries per second at each recall by system, with one thread and with all cores."""
    heads = [f"{way}, recall {aim:.2f}" for way in ("one thread", "all cores") for aim in AIMS]
    lines = ["| system | build, s | " + " | ".join(heads) + " | spread |", "|---" * (len(heads) + 3) + "|"]
    for one in measured:
        speeds = [_speed(points, aim) for points in (one.one, one.all_cores) for aim in AIMS]
        lines.append(f"| {one.name} | {one.build_seconds:.1f} | " + " | ".join(speeds) + f" | {spread(one):.0%} |")
    return "\n".join(lines)


def spread(measured: Measured) -> float:
    """The median, over all points, of how far a point's slowest round lies from its fastest, as a share of it."""
    points = [*measured.one, *measured.all_cores]
    return median((max(point.speeds) - min(point.speeds)) / max(point.speeds) for point in points)


def _speed(points: Sequence[Point], aim: float) -> str:
    speed = speed_at(points, aim)
    return "not reached" if speed is None else f"{speed:,.0f}"


def write(folder: Path, measured: Sequence[Measured], paragraphs: Sequence[str]) -> None:
    """Write the page, which has the paragraphs, the table and the plot."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["# Indexes: queries per second at a recall", *paragraphs, table(measured), f"![]({PLOT})"]
    (folder / PAGE).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    draw(folder / PLOT, measured)


def draw(path: Path, measured: Sequence[Measured]) -> None:
    """Recall against queries per second with one thread and with all cores; ours in colour."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "slipway"  # the same figures give the same file
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), sharex=True, layout="constrained")
    for axis, title in zip(axes, ("one thread", "all cores"), strict=True):
        for number, one in enumerate(measured):
            points = front(one.one if title == "one thread" else one.all_cores)
            ours = one.name.startswith(OURS)
            shape = {"marker": "osD^vPX*"[number % 8], "color": INK[ours], "markersize": 4, "linewidth": 1 + ours}
            axis.plot([point.recall for point in points], [point.speed for point in points], label=one.name, **shape)
        axis.set(title=title, xlabel="recall@10", ylabel="queries per second", yscale="log")
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize="x-small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
