"""The table, the page and the plot of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.encoding.rounds import Measured
from benchmarks.encoding.systems import STOCK, Absent
from benchmarks.machine import ENCODING, libraries, machine

PLOT = "encoders.svg"
PAGE = "encoders.md"


@dataclass(frozen=True, slots=True)
class Section:
    """One device and number format: what was measured there. `ndcg` by system; empty where it was not measured."""

    title: str
    rows: Sequence[Measured]
    absent: Sequence[Absent]
    peaks: Sequence[float]  # of the bare matrix product, round by round, in operations a second
    ndcg: Mapping[str, float]
    notes: Sequence[str]

    @property
    def losses(self) -> dict[str, float | None]:
        """nDCG@10 lost against stock, as a share of stock's; None where it was not measured."""
        before = self.ndcg.get(STOCK)
        return {
            row.name: round((before - self.ndcg[row.name]) / before, 6) if before and row.name in self.ndcg else None
            for row in self.rows
        }


def table(section: Section) -> str:
    """Markdown. Ranges are the smallest and the largest round."""
    peak = statistics.median(section.peaks)
    lines = [
        "| system | numbers | tokens/s | times stock | smallest cosine to stock | share of the matrix product's peak | "
        "nDCG@10 | lost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in section.rows:
        loss = section.losses[row.name]
        found = f"{section.ndcg[row.name]:.4f} | {loss:+.2%}" if loss is not None else "– | –"
        lines.append(
            f"| {row.name} | {row.numbers} | {row.speed:,.0f} ({_range(row.tokens_per_second, ',.0f')}) | "
            f"{row.ratio:.2f} ({_range(row.ratios, '.2f')}) | {row.cosine_min:.7f} | "
            f"{statistics.median(row.flops) / peak:.0%} | {found} |"
        )
    return "\n".join(lines)


def _range(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} – {max(values):{form}}"


def page(sections: Sequence[Section], command: str) -> str:
    """The page under docs/benchmarks."""
    lines = [
        "# Encoders against stock sentence-transformers and fastembed",
        "",
        "Written by `benchmarks/encoders.py`, which says what is measured and how; "
        f"here by `{command}`, in one process run, all systems on the same texts in every round, in turns. "
        "fastembed reads the same weights as an ONNX graph that torch exported from the transformers module as it is, "
        "with dynamic shapes and without the transformer fusions of ONNX Runtime's offline optimiser; what fastembed "
        "itself would download may be optimised. Medians of the rounds; the smallest and the largest in brackets.",
        "",
        f"Machine: {machine()}. {libraries(*ENCODING)}.",
    ]
    for section in sections:
        peaks = _range([one / 1e9 for one in section.peaks], ",.0f")
        lines += ["", f"## {section.title}", "", table(section), ""]
        lines.append(f"The bare matrix product, measured in every round: {peaks} GFLOP/s.")
        lines += [f"- {note}" for note in section.notes]
        lines += [f"- {one.name} did not run: {one.reason}" for one in section.absent]
    return "\n".join([*lines, "", f"![tokens per second by system]({PLOT})", ""])


def write(folder: Path, sections: Sequence[Section], command: str) -> None:
    """Write the page and its plot."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PAGE).write_text(page(sections, command), encoding="utf-8")
    draw(folder / PLOT, sections)


def draw(path: Path, sections: Sequence[Section]) -> None:
    """Bars of tokens per second, one row of bars a section, with the smallest and the largest round."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "slipway"  # the same figures give the same file
    bars = sum(len(section.rows) for section in sections)
    figure, axes = pyplot.subplots(
        len(sections), 1, figsize=(8, 1.2 * len(sections) + 0.45 * bars), squeeze=False, layout="constrained"
    )
    for axis, section in zip(axes[:, 0], sections, strict=True):
        rows = list(reversed(section.rows))
        speeds = [row.speed for row in rows]
        low = [row.speed - min(row.tokens_per_second) for row in rows]
        high = [max(row.tokens_per_second) - row.speed for row in rows]
        colours = ["tab:blue" if row.name.startswith("slipway") else "tab:gray" for row in rows]
        axis.barh([row.name for row in rows], speeds, xerr=[low, high], color=colours, capsize=3)
        for place, row in enumerate(rows):
            axis.annotate(
                f"{row.ratio:.2f} ×", (0, place), xytext=(4, 0), textcoords="offset points", va="center", color="white"
            )
        axis.set_title(section.title, fontsize="medium", loc="left")
        axis.set_xlabel("tokens per second (ratio: to stock)")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
