"""What is printed: Markdown tables, and what was promised and is not so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class Report:
    """Prints tables as they come, and remembers every broken promise."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def section(self, title: str) -> None:
        """Begin a section."""
        print(f"\n## {title}\n", flush=True)

    def say(self, sentence: str) -> None:
        """Print a line."""
        print(sentence, flush=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a Markdown table."""
        lines = [columns, ["---"] * len(columns), *rows]
        print("\n".join(f"| {' | '.join(_shown(value) for value in line)} |" for line in lines), flush=True)

    def equal(self, what: str, found: object, expected: object) -> None:
        """A promise: when it is broken it is told, here and at the end."""
        if found != expected:
            self.broken.append(f"{what}: {found}, expected {expected}")
            print(f"\nBROKEN: {self.broken[-1]}\n", flush=True)

    def seconds(self, nights: Mapping[str, Mapping[str, float]], wall: Mapping[str, float]) -> None:
        """Print the seconds of each stage of some nights, and its share of the night's wall time."""
        stages = list(dict.fromkeys(stage for seconds in nights.values() for stage in seconds))
        lines = {stage: [seconds.get(stage, 0.0) for seconds in nights.values()] for stage in stages}
        lines["imports and all else"] = [wall[night] - sum(seconds.values()) for night, seconds in nights.items()]
        lines["**all**"] = [wall[night] for night in nights]
        columns = ["stage", *(f"{night}, {unit}" for night in nights for unit in ("s", "share"))]
        self.table(columns, [[line, *_shares(taken, list(wall.values()))] for line, taken in lines.items()])


def _shares(taken: Sequence[float], wall: Sequence[float]) -> list[str]:
    pairs = zip(taken, wall, strict=True)
    return [cell for seconds, whole in pairs for cell in (f"{seconds:.2f}", f"{seconds / whole:.0%}")]


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
