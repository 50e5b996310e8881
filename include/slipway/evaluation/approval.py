"""What an approval lets pass: a rule that the approval itself, and every release under it, is held to."""

from __future__ import annotations

from slipway.decisions import Approval
from slipway.evaluation.gates import GateResult, Verdict


def not_covered(verdict: Verdict, approval: Approval | None) -> list[GateResult]:
    """The gates that keep a candidate back: failed ones that were not overridden, undecided ones without an approval.

    A gate that was undecided when it was approved and fails now is not covered, as nobody has seen that.
    """
    return [gate for gate in verdict.gates if not _may_pass(gate, approval)]


def _may_pass(gate: GateResult, approval: Approval | None) -> bool:
    if gate.passed:
        return True
    if approval is None or not approval.approved:
        return False
    return gate.metric in approval.overrode or (gate.undecided and approval.outcome != "pass")
