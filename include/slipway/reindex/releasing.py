"""What was approved goes live: caught up with the nights since, judged again, then released as every candidate is."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from slipway import agreement, checkpoint, lease
from slipway.decisions import Approval
from slipway.errors import GateRefused, ReleaseRefused
from slipway.evaluation.approval import not_covered
from slipway.evaluation.gates import Verdict
from slipway.lease import Holder
from slipway.pointer import read_serving
from slipway.reindex import history
from slipway.reindex.asking import Asked, Campaign, campaign_of
from slipway.reindex.building import build
from slipway.reindex.judging import judge
from slipway.rollout import Pace, end_interrupted
from slipway.run import Run
from slipway.stages import release as releasing
from slipway.stages.release import Released

WHAT = "reindex campaign"
logger = logging.getLogger("slipway.reindex")


def release(
    run: Run,
    asked: Asked,
    approval: Approval,
    generation: int,
    *,
    take_over: bool = False,
    pace: Pace | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Released:
    """Take the collection's lease, catch up, judge again, and make the candidate live.

    Gates that passed must pass again: an approval covers those that were undecided then, or overridden. `generation` is
    serving.json's when that was approved; what nights released since is replaced. A retry gets what an earlier attempt
    released, also where nights went on from it. `seconds` (wall time by part, so far) is for the report. Raises
    `RunInProgress` while a night is at work (call again later), `BreakerTripped`, `GateRefused`, and `ReleaseRefused`:
    also where somebody rolled back since the approval, or moved the collection to another vector space than the
    campaign was compared with.
    """
    run = checkpoint.as_started(run)
    campaign = campaign_of(run)
    holder = Holder(run.run_id, asked.who, WHAT, lease.this_process())
    with lease.alone(run.store, holder, take_over=take_over) as hold:
        if (done := history.find_release(run.store, run.run_id, checkpoint.start_of(run).generation)) is not None:
            return done
        end_interrupted(run.store, run.run_id)
        history.check_none_rolled_back(run.store, generation)
        _check_live(run, campaign)
        built = build(run, hold.confirm)
        verdict = judge(run, built, seconds).verdict
        _check(verdict, approval)
        hold.confirm()
        now, _ = read_serving(run.store)
        if now.generation != generation:
            logger.info("release: serving.json moved from generation %d to %d since", generation, now.generation)
        return releasing.release(
            run,
            built.candidate,
            built.evaluation,
            verdict,
            now.generation,
            asked.who,
            asked.reason,
            pace,
            approval,
            built.comparison,
        )


def _check_live(run: Run, campaign: Campaign) -> None:
    live = agreement.live_of(run)
    if live is not None and live.fingerprint != campaign.live_encoder:
        raise ReleaseRefused(
            f"the campaign was begun while releases of encoder {campaign.live_encoder} were live; the live release "
            f"{live.manifest.fingerprint} is of {live.fingerprint}: somebody released or rolled back to another vector "
            "space meanwhile (see slipway audit). Begin another campaign, which is compared with what is live now; "
            "what is embedded stays"
        )


def _check(verdict: Verdict, approval: Approval) -> None:
    if refused := not_covered(verdict, approval):
        reasons = "; ".join(gate.reason for gate in refused)
        raise GateRefused(
            f"judged again with what the nights changed since, the candidate was refused by gates that its approval "
            f"does not cover: {reasons}"
        )
