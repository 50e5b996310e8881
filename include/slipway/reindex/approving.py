"""Who may let a candidate go live: the rule of approval, and its record.

A candidate that passed is approved by a person, or by nobody where no approval was asked. An undecided one is approved
by a person who says why. One that failed needs a person who says why and names every gate that failed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from slipway import checkpoint, decisions
from slipway.decisions import Approval
from slipway.errors import InputError, NotApproved
from slipway.evaluation.gates import Verdict
from slipway.reindex.asking import Asked, asked_of
from slipway.reindex.judging import Judged
from slipway.run import Run

NOBODY = "slipway"  # who decides when no person does


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said: approved or not, why, and which failed gates (metrics) are to be let pass."""

    approved: bool
    who: str
    comment: str = ""
    override: tuple[str, ...] = ()


def decide(run: Run, judged: Judged, answer: Answer | None) -> Approval:
    """The approval, recorded; `answer` is None where nobody answered, or nobody was asked.

    Raises `NotApproved`, once that is recorded as well; and `InputError` for an approval that does not say enough,
    which decides nothing.
    """
    run = checkpoint.as_started(run)
    asked = asked_of(run)
    try:
        approval = approve_or_refuse(judged, asked, answer)
    except NotApproved as refused:
        if answer is not None and answer.approved:
            raise InputError(f"{refused}. Nothing is decided, and the candidate is kept: approve it again") from refused
        said = answer or Answer(False, NOBODY)
        comment = f"{said.comment} ({refused})" if said.comment else str(refused)
        _record(run, judged, _approval(False, said.who, comment, judged.verdict))
        raise
    return _record(run, judged, approval)


def _record(run: Run, judged: Judged, approval: Approval) -> Approval:
    report = judged.report
    candidate, place = (report.facts["candidate"], report.place) if report else (None, None)
    return decisions.record(run.store, run.run_id, approval, candidate, place)


def approve_or_refuse(judged: Judged, asked: Asked, answer: Answer | None) -> Approval:
    """The approval that an answer is. Raises `NotApproved` with the reasons why it is none."""
    verdict = judged.verdict
    if answer is None and not asked.approval:
        if not verdict.passed:
            raise NotApproved(
                f"the verdict is {verdict.outcome!r}, and only a person may approve that; this campaign was begun "
                f"without approval: {'; '.join(verdict.reasons)}"
            )
        return _approval(True, NOBODY, "no approval was asked for, and every gate passed", verdict)
    if answer is None:
        raise NotApproved(f"nobody approved the candidate in time; the verdict was {verdict.outcome!r}")
    if not answer.approved:
        raise NotApproved(f"{answer.who} rejected the candidate: {answer.comment.strip() or 'no comment'}")
    if missing := _missing(verdict, answer):
        raise NotApproved(f"the approval of {answer.who} is not enough: {'; '.join(missing)}")
    overrode = tuple(sorted(set(answer.override) & _failed(verdict)))
    return replace(_approval(True, answer.who, answer.comment.strip(), verdict), overrode=overrode)


def _missing(verdict: Verdict, answer: Answer) -> list[str]:
    """What a person has to add before the answer approves this verdict."""
    missing = []
    if verdict.outcome != "pass" and not answer.comment.strip():
        missing.append(f"the verdict is {verdict.outcome!r}, so say why in a comment")
    if left := sorted(_failed(verdict) - set(answer.override)):
        missing.append(f"these gates failed and are not named as overridden: {', '.join(left)}")
    return missing


def _failed(verdict: Verdict) -> set[str]:
    return {gate.metric for gate in verdict.gates if not gate.passed and not gate.undecided}


def _approval(approved: bool, who: str, comment: str, verdict: Verdict) -> Approval:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    undecided = tuple(gate.metric for gate in verdict.gates if gate.undecided)
    return Approval(approved, who, comment, at, verdict.outcome, undecided=undecided)
