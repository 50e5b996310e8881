"""Gates: thresholds on metrics, judged into a verdict with a reason each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from slipway.config.collection import Gate
from slipway.config.metrics import METRICS, PER_QUERY
from slipway.evaluation.losses import Against, Outcome
from slipway.sizes import size

DIGITS = 9  # of a loss after the point: 0.5 - 0.48 is a little more than 0.02 in binary
_OTHER_GOLDEN = (
    "the live release was judged by another golden file, so a loss against it is undecided: the next release has this "
    "file's to compare with; allow it once (a night by --allow-undecided, an upgrade by an approval with a comment)"
)
INDEX, RELEVANCE, COST, CONTENT = "index", "relevance", "cost", "content"


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate: its metric, the value seen (None: not measured), whether it passed, and why in a sentence.

    `undecided`: it did not fail, and cannot pass by itself either, as there are too few golden queries to tell; it has
    passed where whoever started the run allowed that. `kind` says what it judges: "index" (how much of exact
    search the index finds), "relevance" (what people find), "cost" (time and size), or "content" (documents, vectors).
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
        """Why it did not pass: one sentence per gate that did not."""
        return [gate.reason for gate in self.gates if not gate.passed]

    def as_json(self) -> list[dict[str, Any]]:
        """The results as JSON values."""
        return [asdict(gate) for gate in self.gates]

    def allowing_undecided(self) -> Verdict:
        """The verdict where a person allowed that gates stay undecided."""
        return Verdict(tuple(_allowed(gate) if gate.undecided else gate for gate in self.gates))


def judge(
    gates: Mapping[str, Gate],
    metrics: Mapping[str, float],
    live: Mapping[str, float] | None,
    against: Against | None = None,
    *,
    uncompared: str = "",
    other_golden: bool = False,
) -> Verdict:
    """The verdict on a candidate's metrics.

    `live`: the live release's, of those that need golden queries only where they were the same. `against`: the
    comparison with it query by query, which decides on the losses of the metrics that it has. `uncompared`: why there
    is none, where there should be one. `other_golden`: the live release was judged by other golden queries.
    """
    judging = _Judging(metrics, live or {}, against, uncompared, other_golden)
    return Verdict(tuple(judging.judge(name, gate) for name, gate in gates.items()))


def kind_of(metric: str) -> str:
    """What a gate on this metric judges (see GateResult)."""
    if metric.startswith("recall_"):
        return INDEX
    if METRICS[metric].needs_golden:
        return RELEVANCE
    return COST if METRICS[metric].unit in ("ms", "bytes", "minutes") else CONTENT


@dataclass(frozen=True, slots=True)
class _Judging:
    metrics: Mapping[str, float]
    live: Mapping[str, float]
    against: Against | None
    uncompared: str
    other_golden: bool

    def judge(self, metric: str, gate: Gate) -> GateResult:
        value, kind = self.metrics.get(metric), kind_of(metric)
        if value is None:
            undecided = bool(self.uncompared) and gate.min is None and gate.max is None  # only a loss was to be judged
            why = f": {self.uncompared}" if undecided else ", so it cannot pass"
            return GateResult(metric, None, False, f"{metric} was not measured{why}", undecided, kind)
        said: dict[Outcome, list[str]] = {outcome: [] for outcome in Outcome}
        for outcome, sentence in self._clauses(metric, gate, value):
            said[outcome].append(sentence)
        passed = not said[Outcome.FAIL] and not said[Outcome.UNDECIDED]
        told = said[Outcome.PASS] if passed else said[Outcome.FAIL] + said[Outcome.UNDECIDED]
        reason = f"{metric} {_number(value, metric)}: {'; '.join(told)}"
        return GateResult(metric, value, passed, reason, not passed and not said[Outcome.FAIL], kind)

    def _clauses(self, metric: str, gate: Gate, value: float) -> Iterator[tuple[Outcome, str]]:
        if gate.min is not None:
            met = value >= gate.min
            yield _outcome(met), f"{'at least' if met else 'under'} the minimum {_number(gate.min, metric)}"
        if gate.max is not None:
            met = value <= gate.max
            yield _outcome(met), f"{'at most' if met else 'over'} the maximum {_number(gate.max, metric)}"
        if gate.max_drop is not None:
            yield self._loss(metric, gate.max_drop, value)
        if gate.max_drop_in_slice is not None:
            yield self._loss_in_slices(metric, gate.max_drop_in_slice)

    def _loss(self, metric: str, margin: float, value: float) -> tuple[Outcome, str]:
        if self.against and metric in self.against.overall:
            return self.against.judge(metric, margin)
        if self.uncompared and metric in PER_QUERY:
            return Outcome.UNDECIDED, self.uncompared
        live = self.live.get(metric)
        if live is None:
            if self.other_golden and METRICS[metric].needs_golden:
                return Outcome.UNDECIDED, _OTHER_GOLDEN
            return _nothing_to_compare()
        loss = round(live - value if METRICS[metric].bound == "min" else value - live, DIGITS)
        change = f"{_number(abs(loss), metric)} {'worse' if loss > 0 else 'better'} than" if loss else "the same as"
        sentence = f"{change} the live {_number(live, metric)}, allowed is a loss of {_number(margin, metric)}"
        return _outcome(loss <= margin), sentence

    def _loss_in_slices(self, metric: str, margin: float) -> tuple[Outcome, str]:
        if self.against:
            return self.against.judge_slices(metric, margin)
        return (Outcome.UNDECIDED, self.uncompared) if self.uncompared else _nothing_to_compare()


def _nothing_to_compare() -> tuple[Outcome, str]:
    return Outcome.PASS, "no live release judged on the same golden queries to compare with"


def _allowed(gate: GateResult) -> GateResult:
    return replace(gate, passed=True, reason=f"{gate.reason} (undecided gates are allowed in this run)")


def _outcome(met: bool) -> Outcome:
    return Outcome.PASS if met else Outcome.FAIL


def _number(value: float, metric: str) -> str:
    if METRICS[metric].unit == "bytes":
        return size(value) if value < 1024 else f"{size(value)} ({value:,.0f} bytes)"
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 2 else f"{value:.6g}"
