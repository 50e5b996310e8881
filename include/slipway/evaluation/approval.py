"""What an approval lets pass: a rule that the approval itself, and every release under it, is held to."""

from __future__ import annotations

from slipway.decisions import Approval
from slipway.evaluation.gates import GateResult, Verdict


def not_covered(verdict: Verdict, approval: Approval | None) -> list[GateResult]:
    """The gates that keep a candidate back: all that did not pass, but for those that a person has seen.

    Seen are a failed gate that was overridden, whatever it says now, and one that was undecided and is so again. A gate
    that passed when it was approved, or was undecided and fails now, is not covered.
    """
    return [gate for gate in verdict.gates if not _may_pass(gate, approval)]


def _may_pass(gate: GateResult, approval: Approval | None) -> bool:
    if gate.passed:
        return True
    if approval is None or not approval.approved:
        return False
    return gate.metric in approval.overrode or (gate.undecided and gate.metric in approval.undecided)
