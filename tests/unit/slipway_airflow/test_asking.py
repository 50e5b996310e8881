"""What the person who approves an upgrade is shown."""

import re
from typing import Any

import pytest

from slipway_airflow import asking

GATES = [
    {"metric": "recall_at_10", "value": 0.99, "passed": True, "reason": "recall_at_10 0.99", "kind": "index"},
    {"metric": "ndcg_at_10", "value": 0.5, "passed": False, "reason": "nDCG | fell", "kind": "relevance"},
    {"metric": "p95_ms", "value": 3.0, "passed": False, "reason": "unsure", "undecided": True, "kind": "cost"},
]


def judged(outcome: str, gates: list[dict[str, Any]] = GATES, **other: Any) -> dict[str, Any]:
    """What the task `judge` returns."""
    encoders = {"candidate": {"name": "minilm"}, "live": {"name": "static"}}
    return {"outcome": outcome, "gates": gates, "comparison": {"encoders": encoders, "queries": 164, **other}}


@pytest.mark.parametrize(
    ("outcome", "words"),
    [("pass", "passed every gate"), ("undecided", "could not be judged with certainty"), ("fail", "failed its gates")],
)
def test_the_headline_says_what_is_asked_and_how_it_was_judged(outcome: str, words: str) -> None:
    said = asking.subject("pydocs", judged(outcome))
    assert said == f"pydocs: release the index of encoder minilm? It {words}"


def test_without_a_comparison_the_headline_names_no_encoder() -> None:
    assert asking.subject("pydocs", {"outcome": "pass", "gates": [], "comparison": {}}).startswith(
        "pydocs: release the new index?"
    )


def test_the_page_has_each_gate_with_its_reason_and_names_what_must_be_overridden() -> None:
    said = asking.body(judged("fail"), "a newer model", "/slipway/report", 72)
    assert r"| ndcg\_at\_10 | relevance | **FAIL** | nDCG \| fell |" in said
    assert r"| p95\_ms | cost | undecided | unsure |" in said
    assert "the name of each gate that failed: `ndcg_at_10`." in said
    assert "(/slipway/report)" in said
    assert "within 72 hours" in said


def test_only_certain_losses_have_to_be_overridden() -> None:
    assert asking.failed_gates(judged("fail")) == ["ndcg_at_10"]


def test_the_page_has_the_intervals_of_the_comparison() -> None:
    metrics = {
        "ndcg_at_10": {"candidate": 0.5, "live": 0.4, "difference": 0.1, "low": 0.05, "high": 0.15},
        "mrr_at_10": {"candidate": 0.5, "live": 0.6, "difference": -0.1, "low": None, "high": None},
        "recall_at_10": {"candidate": 0.99, "live": None, "difference": None, "low": None, "high": None},
    }
    near = {"overlap_at_10": 0.42, "rank_biased_overlap": 0.4, "changed_share": 0.9}
    said = asking.body(judged("undecided", metrics=metrics, neighbours=near), "a newer model", "/r", 1.5)
    assert "the same 164 golden queries" in said
    assert r"| ndcg\_at\_10 | 0.5000 | 0.4000 | +0.1000 | +0.0500 to +0.1500 |" in said
    assert r"| mrr\_at\_10 | 0.5000 | 0.6000 | -0.1000 | too few queries |" in said
    assert r"| recall\_at\_10 | 0.9900 | not measured |" in said
    assert "90% find other documents" in said
    assert "needs a comment" in said


def test_what_is_quoted_is_no_markup() -> None:
    gate = {"metric": "must_find_rate", "value": 0.0, "passed": False, "reason": "<script>x</script>\n| y"}
    said = asking.body(judged("fail", [gate]), "a newer model", "/r", 72)
    assert "<script" not in said
    assert "x&lt;/script>" in said.replace("&lt;script>", "")


@pytest.mark.parametrize(
    "quoted",
    [
        "[all is well](https://example.org)",
        "![seen](https://example.org/pixel.png)",
        "**approve** _now_ ~~never~~ `x`",
        "&lt;b&gt;",
        r"\[all is well\](https://example.org)",
        "a | b",
    ],
)
def test_what_is_quoted_is_shown_as_it_was_written(quoted: str) -> None:
    gate = {"metric": "must_find_rate", "value": 0.0, "passed": False, "reason": quoted}
    said = asking.body(judged("fail", [gate]), "a newer model", "/r", 72)
    assert quoted not in said
    row = next(line for line in said.splitlines() if line.startswith(r"| must\_find"))
    shown = re.split(r"(?<!\\) \| ", row.removesuffix(" |"))[-1]
    assert re.sub(r"\\([^A-Za-z0-9])", r"\1", shown) == quoted
    assert not re.search(r"(?<!\\)(?:\\\\)*[\[\]()!&*_`~|]", shown.removeprefix("| "))
