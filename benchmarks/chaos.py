"""Nights that are killed anywhere, and end as if nobody had touched them.

    python benchmarks/chaos.py --kills 50 --seed 7

A small history of three nights (the first, and two with new, changed and deleted rows) runs undisturbed first. Then
a night is begun again from a copy of its store and database, in a process that dies by SIGKILL: at a drawn operation
on the store, before or after it is done (every stage is hit in turn, the swap of serving.json among them); between
encoding a group of chunks and sealing its vectors; or at any moment, from outside. Then it is retried, or a new run is
started, which may be killed as well, until one ends. Its documents, chunks, vectors and answers must be those of the
undisturbed night, after every kill a whole release must be live, and no chunk may be encoded that has a sealed
vector.

Prints the seed, a table, and as the last line one JSON object: kills, seed, differences, embedded_twice. The
exit status is 1 when something differs or was embedded twice. How the processes are made: benchmarks/kills/children.py.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.kills.trial import Outcome
    from benchmarks.kills.undisturbed import Night

COLUMNS = ("killed in", "kills", "retried", "run anew", "ended as undisturbed", "differences", "embedded twice")


def disturb(kills: int, seed: int, folder: Path) -> list[Outcome]:
    """Disturb nights until so many kills have hit."""
    from benchmarks.kills.children import Children
    from benchmarks.kills.place import Place
    from benchmarks.kills.trial import Trial
    from benchmarks.kills.undisturbed import run_history
    from benchmarks.static_model import static_model

    children, place = Children(), Place(folder / "place")
    encoder = static_model(folder / "model", 64)
    nights = run_history(children, place, folder / "history", seed, encoder)
    print(f"undisturbed nights: {', '.join(f'{night.seconds:.1f} s' for night in nights)}", flush=True)
    drawn, trial = random.Random(seed), Trial(children, place, folder / "trial", encoder)
    outcomes: list[Outcome] = []
    targets = _targets(nights, drawn)
    while (left := kills - sum(len(outcome.kills) for outcome in outcomes)) > 0:
        target = targets[sum(bool(outcome.kills) for outcome in outcomes) % len(targets)]  # until it is hit
        night = drawn.choice([night for night in nights if target in night.targets])
        outcomes.append(trial.disturb(night, target, drawn, left))
        _tell(outcomes[-1], target)
    return outcomes


def _targets(nights: Sequence[Night], drawn: random.Random) -> list[str]:
    """Every target of any night, in the order in which they are hit: those that matter most first."""
    from benchmarks.kills.undisturbed import CLOCK, GROUP, SWAP

    first = [SWAP, GROUP, CLOCK]
    others = sorted({target for night in nights for target in night.targets} - set(first))
    drawn.shuffle(others)
    return [*first, *others]


def _tell(outcome: Outcome, target: str) -> None:
    ways = ", ".join(f"{kill.stage} → {kill.followed_by}" for kill in outcome.kills) or "ended before the kill"
    print(f"night {outcome.night + 1}, aimed at {target}: {ways}; chunks lost {outcome.lost}", flush=True)
    for difference in outcome.differences:
        print(f"  DIFFERENT: {difference}", flush=True)
    if outcome.embedded_twice:
        print(f"  EMBEDDED TWICE: {outcome.embedded_twice} chunks", flush=True)


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: a line a stage. A night that was killed twice counts in both lines."""
    lines: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        for kill in outcome.kills:
            line = lines.setdefault(kill.stage, Counter())
            retried = kill.followed_by == "retry"
            line.update({"kills": 1, "retried": int(retried), "run anew": int(not retried)})
            line.update({"ended as undisturbed": int(not outcome.differences)})
            line.update({"differences": len(outcome.differences), "embedded twice": outcome.embedded_twice})
    rows = [[stage, *(str(line[name]) for name in COLUMNS[1:])] for stage, line in sorted(lines.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in [COLUMNS, ["---"] * len(COLUMNS), *rows])


def summary(outcomes: Sequence[Outcome], seed: int) -> Mapping[str, int]:
    """The last line."""
    return {
        "kills": sum(len(outcome.kills) for outcome in outcomes),
        "seed": seed,
        "differences": sum(len(outcome.differences) for outcome in outcomes),
        "embedded_twice": sum(outcome.embedded_twice for outcome in outcomes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="processes to kill")
    parser.add_argument("--seed", type=int, help="draws everything; without one, a new one is drawn and printed")
    asked = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="slipway-chaos-") as folder:
        outcomes = disturb(asked.kills, seed, Path(folder))
    made = summary(outcomes, seed)
    print(f"\n{table(outcomes)}\n\n{json.dumps(made)}")
    sys.exit(1 if made["differences"] or made["embedded_twice"] else 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for benchmarks.kills
    main()
