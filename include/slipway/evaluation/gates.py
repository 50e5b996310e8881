"""Gates: thresholds on metrics, judged into a verdict with a reason each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from slipway.config.collection import Gate
from slipway.config.metrics import METRICS

DIGITS = 9  # of a loss after the point: 0.5 - 0.48 is a little more than 0.02 in binary


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate: its metric, the value seen (None: not measured), whether it passed, and why in a sentence.

    `undecided`: it did not pass, and did not fail either, as there are too few golden queries to tell. `kind` says what
    it judges: "index" (how much of exact search the index finds), "relevance" (what people find), "cost" (time and
    size), or "content" (documents and vectors).
    """

    metric: str
    value: float | None
    passed: bool
    reason: str
    undecided: bool = False
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All gates' results. A candidate passes when every gate does."""

    gates: tuple[GateResult, ...]

    @property
    def outcome(self) -> str:
        """ "pass", "fail" (some gate failed), or "undecided" (none failed, and some could not be decided)."""
        if self.passed:
            return "pass"
        return "undecided" if all(gate.passed or gate.undecided for gate in self.gates) else "fail"

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)

    @property
    def reasons(self) -> list[str]:
        """Why it failed: one sentence per failed gate."""
        return [gate.reason for gate in self.gates if not gate.passed]

    def as_json(self) -> list[dict[str, Any]]:
        """The results as JSON values."""
        return [asdict(gate) for gate in self.gates]


def judge(gates: Mapping[str, Gate], metrics: Mapping[str, float], live: Mapping[str, float] | None) -> Verdict:
    """The verdict on a candidate's metrics. `live`: the live release's on the same golden queries, if any."""
    return Verdict(
        tuple(_judge_one(name, gate, metrics.get(name), (live or {}).get(name)) for name, gate in gates.items())
    )


def _judge_one(metric: str, gate: Gate, value: float | None, live: float | None) -> GateResult:
    if value is None:
        return GateResult(metric, None, False, f"{metric} was not measured, so it cannot pass")
    failures: list[str] = []
    passes: list[str] = []
    for met, sentence in _clauses(metric, gate, value, live):
        (passes if met else failures).append(sentence)
    return GateResult(metric, value, not failures, f"{metric} {_number(value)}: {'; '.join(failures or passes)}")


def _clauses(metric: str, gate: Gate, value: float, live: float | None) -> list[tuple[bool, str]]:
    clauses = []
    if gate.min is not None:
        met = value >= gate.min
        clauses.append((met, f"{'at least' if met else 'under'} the minimum {_number(gate.min)}"))
    if gate.max is not None:
        met = value <= gate.max
        clauses.append((met, f"{'at most' if met else 'over'} the maximum {_number(gate.max)}"))
    if gate.max_drop is not None and live is None:
        clauses.append((True, "no live release judged on the same golden queries to compare with"))
    elif gate.max_drop is not None and live is not None:
        loss = round(live - value if METRICS[metric].bound == "min" else value - live, DIGITS)
        met = loss <= gate.max_drop
        change = f"{_number(abs(loss))} {'worse' if loss > 0 else 'better'} than" if loss else "the same as"
        clauses.append((met, f"{change} the live {_number(live)}, allowed is a loss of {_number(gate.max_drop)}"))
    return clauses


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 2 else f"{value:.6g}"
