import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.config.collection import Gate
from slipway.config.metrics import METRICS
from slipway.evaluation.gates import judge


def one(metric: str, gate: Gate, value: float | None, live: float | None = None) -> tuple[bool, str]:
    metrics = {} if value is None else {metric: value}
    result = judge({metric: gate}, metrics, None if live is None else {metric: live}).gates[0]
    assert (result.metric, result.value) == (metric, value)
    return result.passed, result.reason


@pytest.mark.parametrize(
    ("metric", "gate", "value", "passed", "reason"),
    [
        ("recall_at_10", Gate(min=0.95), 0.95, True, "recall_at_10 0.95: at least the minimum 0.95"),
        ("recall_at_10", Gate(min=0.95), 0.94996, False, "recall_at_10 0.94996: under the minimum 0.95"),
        ("p95_ms", Gate(max=20), 20.0, True, "p95_ms 20: at most the maximum 20"),
        ("p95_ms", Gate(max=20), 20.0001, False, "p95_ms 20.0001: over the maximum 20"),
        (
            "memory_bytes",
            Gate(max=2**20),
            2**20 + 9.0,
            False,
            "memory_bytes 1.0 MiB (1,048,585 bytes): over the maximum 1.0 MiB (1,048,576 bytes)",
        ),
        ("documents", Gate(min=5000), 4999.0, False, "documents 4,999: under the minimum 5,000"),
        (
            "documents",
            Gate(min=10, max=20),
            15.0,
            True,
            "documents 15: at least the minimum 10; at most the maximum 20",
        ),
        ("documents", Gate(min=10, max=20), 25.0, False, "documents 25: over the maximum 20"),
        ("p95_ms", Gate(min=1), 0.5, False, "p95_ms 0.5: under the minimum 1"),
    ],
)
def test_bounds(metric: str, gate: Gate, value: float, passed: bool, reason: str) -> None:
    assert one(metric, gate, value) == (passed, reason)


@pytest.mark.parametrize("gate", [Gate(min=0), Gate(max=1e9), Gate(max_drop=1)])
def test_what_was_not_measured_cannot_pass(gate: Gate) -> None:
    assert one("ndcg_at_10", gate, None, live=0.1) == (False, "ndcg_at_10 was not measured, so it cannot pass")


@pytest.mark.parametrize("gate", [Gate(min=0), Gate(max=1e9), Gate(max_drop=1)])
def test_what_is_not_a_number_cannot_pass(gate: Gate) -> None:
    assert not judge({"ndcg_at_10": gate}, {"ndcg_at_10": math.nan}, {"ndcg_at_10": 0.5}).passed


@pytest.mark.parametrize(
    ("metric", "value", "live", "passed", "reason"),
    [
        ("ndcg_at_10", 0.48, 0.5, True, "0.02 worse than the live 0.5"),  # 0.5 - 0.48 > 0.02 in binary
        ("ndcg_at_10", 0.7, 0.72, True, "0.02 worse than the live 0.72"),
        ("ndcg_at_10", 0.479999, 0.5, False, "0.020001 worse than the live 0.5, allowed is a loss of 0.02"),
        ("ndcg_at_10", 0.5, 0.5, True, "the same as the live 0.5"),
        ("ndcg_at_10", 0.9, 0.5, True, "0.4 better than the live 0.5"),
        ("p95_ms", 1.52, 1.5, True, "0.02 worse than the live 1.5"),
        ("p95_ms", 1.6, 1.5, False, "0.1 worse than the live 1.5"),
        ("p95_ms", 0.4, 1.5, True, "1.1 better than the live 1.5"),  # less time is better
    ],
)
def test_a_loss_is_measured_in_the_metrics_own_direction(
    metric: str, value: float, live: float, passed: bool, reason: str
) -> None:
    found = one(metric, Gate(max_drop=0.02), value, live)
    assert found[0] is passed
    assert reason in found[1]


def test_without_a_live_release_a_loss_cannot_be_measured_and_passes_with_the_reason() -> None:
    reason = "no live release judged on the same golden queries to compare with"
    assert one("ndcg_at_10", Gate(max_drop=0.02), 0.1) == (True, f"ndcg_at_10 0.1: {reason}")
    both = judge({"ndcg_at_10": Gate(min=0.3, max_drop=0.02)}, {"ndcg_at_10": 0.1}, None)
    assert both.reasons == ["ndcg_at_10 0.1: under the minimum 0.3"]


def test_a_live_release_that_never_measured_it_passes_too() -> None:
    verdict = judge({"ndcg_at_10": Gate(max_drop=0.02)}, {"ndcg_at_10": 0.1}, {"p95_ms": 3.0})
    assert verdict.passed


def test_no_gates_refuse_nothing() -> None:
    assert judge({}, {"ndcg_at_10": 0.1}, None).passed


def test_a_verdict_lists_every_gate_and_the_reasons_of_those_that_failed() -> None:
    gates = {"recall_at_10": Gate(min=0.9), "ndcg_at_10": Gate(min=0.3), "p95_ms": Gate(max=5)}
    verdict = judge(gates, {"recall_at_10": 1.0, "ndcg_at_10": 0.1, "p95_ms": 9.0}, None)
    assert not verdict.passed
    assert verdict.reasons == ["ndcg_at_10 0.1: under the minimum 0.3", "p95_ms 9: over the maximum 5"]
    assert verdict.as_json()[0] == {
        "metric": "recall_at_10",
        "value": 1.0,
        "passed": True,
        "reason": "recall_at_10 1: at least the minimum 0.9",
        "undecided": False,
        "kind": "index",
    }


bound = st.none() | st.floats(-2, 2)
gates = st.dictionaries(
    st.sampled_from(sorted(METRICS)),
    st.tuples(bound, bound, st.none() | st.floats(0, 2))
    .filter(lambda values: values != (None, None, None))
    .map(lambda values: Gate(min=values[0], max=values[1], max_drop=values[2])),
)
metrics = st.dictionaries(st.sampled_from(sorted(METRICS)), st.floats(-2, 2))


@given(gates, metrics, st.none() | metrics)
def test_a_candidate_passes_when_and_only_when_every_gate_does(
    gates: dict[str, Gate], metrics: dict[str, float], live: dict[str, float] | None
) -> None:
    verdict = judge(gates, metrics, live)
    assert [result.metric for result in verdict.gates] == list(gates)
    assert verdict.passed == all(result.passed for result in verdict.gates) == (not verdict.reasons)
    for result in verdict.gates:
        gate, value = gates[result.metric], metrics.get(result.metric)
        assert result.reason
        low, high = (-3.0 if gate.min is None else gate.min), (3.0 if gate.max is None else gate.max)
        if value is None or not low <= value <= high:
            assert not result.passed
        elif gate.max_drop is None or live is None or result.metric not in live:
            assert result.passed
