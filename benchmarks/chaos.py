"""Nights that are killed anywhere, and end as if nobody had touched them.

    python benchmarks/chaos.py --kills 50 --seed 7

A small history of three nights (the first, and two with new, changed and deleted rows) runs undisturbed first: once
with a graph, once with an inverted file, both updated in the later nights. Then a night is begun again from a copy of
its store and database, in a process that dies by SIGKILL: at a drawn operation on the store, before or after it is done
(every stage is hit in turn, the swap of serving.json among them, and the maintenance that comes before a night);
between encoding a group of chunks and sealing its vectors; or at any moment, from outside. Then it is retried, or a
new run is started, which may be killed as well, until one ends; and at times a killed run is retried when a new one has
ended. Documents, chunks, vectors and answers must be those of the undisturbed night, after every kill a whole release
must be live, and no chunk may be encoded that has a sealed vector.

Prints the seed, a table, and as the last line one JSON object: kills, seed, differences, embedded_twice, not_hit. The
exit status is 1 when something differs or was embedded twice, or when a stage was not hit although there were three
kills for each. How the processes are made: benchmarks/kills/children.py.
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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.kills.trial import Outcome
    from benchmarks.kills.undisturbed import Night

KILLS_A_STAGE = 3  # with so many, on average, every stage must have been hit


def disturb(kills: int, seed: int, folder: Path) -> tuple[list[Outcome], list[str]]:
    """Disturb nights until so many kills have hit; what became of them, and the stages that were to be hit."""
    from benchmarks.kills.children import Children
    from benchmarks.kills.history import SPECS
    from benchmarks.kills.place import Place
    from benchmarks.kills.trial import Trial
    from benchmarks.kills.undisturbed import History
    from slipway_demo.static import static_model

    children, place = Children(), Place(folder / "place")
    encoder = static_model(folder / "model", 64)
    nights: list[Night] = []
    for spec in SPECS:
        nights += History(children, place, folder / spec, seed, encoder, spec).run()
    for night in nights:
        print(
            f"{night.spec}, night {night.number + 1}: {night.seconds:.1f} s, {night.after['live']['index']}", flush=True
        )
    drawn, trial = random.Random(seed), Trial(children, place, folder / "trial", encoder)
    outcomes: list[Outcome] = []
    targets = _targets(nights, drawn)
    while (left := kills - sum(len(outcome.kills) for outcome in outcomes)) > 0:
        done, turn = divmod(sum(bool(outcome.kills) for outcome in outcomes), len(targets))  # a target until it is hit
        night = _night(nights, targets[turn], done + turn, drawn)
        outcomes.append(trial.disturb(night, targets[turn], drawn, left))
        _tell(outcomes[-1], night, targets[turn])
    return outcomes, sorted({stage for night in nights for stage in night.stages})


def _targets(nights: Sequence[Night], drawn: random.Random) -> list[str]:
    """Every target of any night, in the order in which they are hit: those that matter most first."""
    from benchmarks.kills.attempt import MAINTENANCE
    from benchmarks.kills.undisturbed import CLOCK, GROUP, SWAP

    updates = sorted({night.named("index") for night in nights if night.is_updated})
    first = [SWAP, GROUP, *updates, MAINTENANCE, CLOCK]
    others = sorted({target for night in nights for target in night.targets} - set(first))
    drawn.shuffle(others)
    return [*first, *others]


def _night(nights: Sequence[Night], target: str, turn: int, drawn: random.Random) -> Night:
    """A night that can be hit there: one index after the other, if it can be with each."""
    hit = [night for night in nights if target in night.targets]
    specs = sorted({night.spec for night in hit})
    return drawn.choice([night for night in hit if night.spec == specs[turn % len(specs)]])


def _tell(outcome: Outcome, night: Night, target: str) -> None:
    ways = ", ".join(f"{kill.stage} → {kill.followed_by}" for kill in outcome.kills) or "ended before the kill"
    print(f"{night.spec}, night {night.number + 1}, aimed at {target}: {ways}; chunks lost {outcome.lost}", flush=True)
    for difference in outcome.differences:
        print(f"  DIFFERENT: {difference}", flush=True)
    if outcome.embedded_twice:
        print(f"  EMBEDDED TWICE: {outcome.embedded_twice} chunks", flush=True)


def table(outcomes: Sequence[Outcome], stages: Sequence[str]) -> str:
    """Markdown: a line a stage, hit or not. A night that was killed twice counts in both lines."""
    from benchmarks.kills.trial import WAYS

    columns = ("killed in", "kills", *WAYS, "ended as undisturbed", "differences", "embedded twice")
    lines: dict[str, Counter[str]] = {stage: Counter() for stage in stages}
    for outcome in outcomes:
        for kill in outcome.kills:
            line = lines.setdefault(kill.stage, Counter())
            line.update({"kills": 1, kill.followed_by: 1, "ended as undisturbed": int(not outcome.differences)})
            line.update({"differences": len(outcome.differences), "embedded twice": outcome.embedded_twice})
    rows = [[stage, *(str(line[name]) for name in columns[1:])] for stage, line in sorted(lines.items())]
    made = "\n".join(f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows])
    return f"{made}\n\nnot hit: {', '.join(not_hit(outcomes, stages)) or 'none'}"


def not_hit(outcomes: Sequence[Outcome], stages: Sequence[str]) -> list[str]:
    """The stages in which no process was killed."""
    hit = {kill.stage for outcome in outcomes for kill in outcome.kills}
    return [stage for stage in stages if stage not in hit]


def summary(outcomes: Sequence[Outcome], seed: int, stages: Sequence[str]) -> Mapping[str, Any]:
    """The last line."""
    return {
        "kills": sum(len(outcome.kills) for outcome in outcomes),
        "seed": seed,
        "differences": sum(len(outcome.differences) for outcome in outcomes),
        "embedded_twice": sum(outcome.embedded_twice for outcome in outcomes),
        "not_hit": not_hit(outcomes, stages),
    }


def is_failed(made: Mapping[str, Any], stages: Sequence[str]) -> bool:
    """Whether something was otherwise than undisturbed, or so many kills left a stage out."""
    left_out = made["not_hit"] and made["kills"] >= KILLS_A_STAGE * len(stages)
    return bool(made["differences"] or made["embedded_twice"] or left_out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="processes to kill")
    parser.add_argument("--seed", type=int, help="draws everything; without one, a new one is drawn and printed")
    asked = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="slipway-chaos-") as folder:
        outcomes, stages = disturb(asked.kills, seed, Path(folder))
    made = summary(outcomes, seed, stages)
    print(f"\n{table(outcomes, stages)}\n\n{json.dumps(made)}")
    sys.exit(is_failed(made, stages))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for benchmarks.kills
    main()
