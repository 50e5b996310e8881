"""What the person who approves an upgrade is shown: a headline and a short page in Markdown. Pure and light."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

MARKUP = re.compile(r"([\\`*_~|!&\[\]()])")
OUTCOMES = {
    "pass": "passed every gate",
    "undecided": "could not be judged with certainty",
    "fail": "failed its gates",
}
MARKS = {"pass": "pass", "fail": "**FAIL**", "undecided": "undecided"}
HOW = {
    "pass": "**Approve** makes it live. A comment is welcome, and needed for nothing.",
    "undecided": "**Approve** needs a comment that says why you are sure, as the measurements are not.",
    "fail": "**Approve** needs a comment, and in *Override* the name of each gate that failed: {failed}. Both are kept "
    "in the audit trail. Nights are judged by the same gates: change them in the collection file as well, or the next "
    "night is refused.",
}


def failed_gates(judged: Mapping[str, Any]) -> list[str]:
    """The metrics of the gates that failed. `judged` is what the task `judge` returned."""
    return [gate["metric"] for gate in judged["gates"] if _word(gate) == "fail"]


def subject(collection: str, judged: Mapping[str, Any]) -> str:
    """The headline: "pydocs: release the index of encoder minilm? It passed every gate"."""
    encoder = _encoder(judged)
    made = f"the index of encoder {encoder}" if encoder else "the new index"
    return f"{collection}: release {made}? It {OUTCOMES[judged['outcome']]}"


def body(judged: Mapping[str, Any], reason: str, report: str, hours: float) -> str:
    """The page: verdict, reason, gates, intervals, what changed, the report's address, and what an answer needs."""
    parts = [
        _verdict(judged),
        f"Why it was begun: {_cell(reason)}",
        _gates(judged["gates"]),
        _intervals(judged),
        _changed(judged),
        f"[The whole report, with the queries that won and lost]({report})",
        HOW[judged["outcome"]].format(failed=", ".join(f"`{name}`" for name in failed_gates(judged))),
        f"**Reject** leaves the live release as it is; the vectors are kept. Without an answer within {hours:g} hours "
        "it is rejected.",
    ]
    return "\n\n".join(part for part in parts if part)


def _encoder(judged: Mapping[str, Any]) -> str:
    return str(judged["comparison"].get("encoders", {}).get("candidate", {}).get("name", ""))


def _verdict(judged: Mapping[str, Any]) -> str:
    wrong = [gate["metric"] for gate in judged["gates"] if _word(gate) != "pass"]
    sentence = f"The candidate {OUTCOMES[judged['outcome']]}"
    return f"{sentence}: {_cell(', '.join(wrong))}." if wrong else f"{sentence}."


def _gates(gates: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (_cell(gate["metric"]), _cell(gate.get("kind", "")), MARKS[_word(gate)], _cell(gate["reason"]))
        for gate in gates
    ]
    return _table(("gate", "judges", "result", "why"), rows)


def _intervals(judged: Mapping[str, Any]) -> str:
    """Candidate and live side by side on the same golden queries."""
    compared = judged["comparison"]
    rows = [
        (_cell(name), *(_number(one[key]) for key in ("candidate", "live")), _signed(one["difference"]), _between(one))
        for name, one in compared.get("metrics", {}).items()
    ]
    if not rows:
        return ""
    told = f"On the same {compared['queries']:,} golden queries, the candidate and the live release:"
    return f"{told}\n\n" + _table(("metric", "candidate", "live", "difference", "interval"), rows)


def _changed(judged: Mapping[str, Any]) -> str:
    near = judged["comparison"].get("neighbours")
    if not near:
        return ""
    return (
        f"Of the queries, {near['changed_share']:.0%} find other documents in their top ten; the two lists share "
        f"{near['overlap_at_10']:.0%} of their documents on average."
    )


def _word(gate: Mapping[str, Any]) -> str:
    if gate["passed"]:
        return "pass"
    return "undecided" if gate.get("undecided") else "fail"


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def _between(one: Mapping[str, Any]) -> str:
    if one.get("low") is None or one.get("high") is None:
        return "too few queries"
    return f"{one['low']:+.4f} to {one['high']:+.4f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A text as it is read, without any markup, link or image of its own: reasons may quote a golden query."""
    return " ".join(MARKUP.sub(r"\\\1", text).replace("<", "&lt;").splitlines())
