"""The plot: stage by stage, the bare run's seconds beside the DAG's."""

from __future__ import annotations

from pathlib import Path

from benchmarks.overheads.rounds import Round


def draw(shown: Round, file: Path) -> None:
    """Write an SVG with two bars a stage: `slipway run`, and the DAG's work, what is around it, and the waiting."""
    from matplotlib.figure import Figure

    bare = shown.bare.result["seconds"]
    lines = shown.dag.timeline.lines(shown.dag.result["seconds"])
    figure = Figure(figsize=(9, 0.42 * len(lines) + 1.6), layout="constrained")
    axes = figure.subplots()
    places = range(len(lines))
    axes.barh([p - 0.2 for p in places], [bare.get(line.stage, 0.0) for line in lines], 0.38, label="slipway run")
    left = [0.0] * len(lines)
    for label, widths in (
        ("DAG: the stage", [line.work or 0.0 for line in lines]),
        ("DAG: around the tasks", [line.around for line in lines]),
        ("DAG: waiting", [line.waited for line in lines]),
    ):
        axes.barh([p + 0.2 for p in places], widths, 0.38, left=left, label=label)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(list(places), [line.stage for line in lines])
    axes.invert_yaxis()
    axes.set_xscale("symlog", linthresh=5)
    axes.set_xlabel("seconds (linear up to 5, then logarithmic)")
    axes.set_title(f"slipway run {shown.bare_seconds:.0f} s, DAG {shown.dag_seconds:.0f} s: {shown.ratio:.2f} times")
    axes.legend(loc="lower right")
    figure.savefig(file)
