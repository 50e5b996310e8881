"""The rule of approval, on every kind of verdict and answer."""

from hypothesis import given
from hypothesis import strategies as st

from slipway.decisions import Approval
from slipway.errors import NotApproved
from slipway.evaluation.approval import not_covered
from slipway.evaluation.gates import GateResult, Verdict
from slipway.reindex import Answer, Judged, approve_or_refuse
from tests.support.campaigns import asked

METRICS = ("recall_at_10", "ndcg_at_10", "p95_ms", "documents")
STATES = {"pass": (True, False), "fail": (False, False), "undecided": (False, True)}


def verdict_of(states: list[str]) -> Verdict:
    gates = zip(METRICS, (STATES[state] for state in states), strict=False)
    return Verdict(
        tuple(GateResult(name, 1.0, passed, f"{name} said", undecided) for name, (passed, undecided) in gates)
    )


verdicts = st.lists(st.sampled_from(sorted(STATES)), min_size=1, max_size=4).map(verdict_of)
answers = st.builds(
    Answer,
    approved=st.booleans(),
    who=st.just("ann"),
    comment=st.sampled_from(["", "  ", "because"]),
    override=st.lists(st.sampled_from(METRICS), unique=True).map(tuple),
)


def decided(verdict: Verdict, answer: Answer | None, approval: bool = True) -> Approval | None:
    try:
        return approve_or_refuse(Judged(verdict), asked(approval=approval), answer)
    except NotApproved:
        return None


def failed(verdict: Verdict) -> set[str]:
    return {gate.metric for gate in verdict.gates if not gate.passed and not gate.undecided}


def seen(first: Verdict, second: Verdict) -> set[str]:
    """Gates that whoever approved the first verdict has seen in the state that they have in the second, or worse."""
    undecided = ({gate.metric for gate in verdict.gates if gate.undecided} for verdict in (first, second))
    return failed(first) | set.intersection(*undecided)


@given(verdicts, answers)
def test_a_person_approves_what_passed_and_else_needs_a_comment_and_every_failed_gate_by_name(
    verdict: Verdict, answer: Answer
) -> None:
    enough = verdict.outcome == "pass" or (answer.comment.strip() and failed(verdict) <= set(answer.override))
    approval = decided(verdict, answer)
    assert (approval is not None) == bool(answer.approved and enough)
    if approval:
        assert approval.approved
        assert (approval.who, approval.outcome) == ("ann", verdict.outcome)
        assert set(approval.overrode) == failed(verdict)


@given(verdicts, st.booleans())
def test_nobody_approves_only_what_passed_and_only_unasked(verdict: Verdict, approval: bool) -> None:
    assert (decided(verdict, None, approval) is not None) == (not approval and verdict.outcome == "pass")


@given(verdicts, answers)
def test_what_was_approved_is_covered_by_its_approval(verdict: Verdict, answer: Answer) -> None:
    approval = decided(verdict, answer)
    if approval:
        assert not_covered(verdict, approval) == []


@given(verdicts, answers, verdicts)
def test_no_approval_covers_a_gate_that_nobody_saw_fail_or_undecided(
    first: Verdict, answer: Answer, second: Verdict
) -> None:
    approval = decided(first, answer)
    left = {gate.metric for gate in not_covered(second, approval)}
    if approval is None:
        assert left == {gate.metric for gate in second.gates if not gate.passed}
    else:
        assert left == {gate.metric for gate in second.gates if not gate.passed} - seen(first, second)
