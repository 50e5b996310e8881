"""The task `approve` of a campaign: it waits for a person, or decides by the gates where nobody is to be asked."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.configuration import conf

from slipway_airflow import asking
from slipway_airflow.campaign import judged_of, open_campaign
from slipway_airflow.question import check_question
from slipway_airflow.runs import collection_of
from slipway_airflow.steps import RETRIES, told_failures

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipway.reindex import Answer

APPROVE, REJECT = "Approve", "Reject"
STEP_HOURS = 0.5  # of putting the question, and of taking the answer; waiting in between is `reindex.approval_hours`


class Approve(HITLOperator):
    """### Ask a person whether the candidate may go live

    Waits under *Required Actions* without a worker slot, for `reindex.approval_hours` of the collection file; then it
    is a rejection. Whoever may edit the DAG's runs in Airflow may answer. Who answered, when, their comment and what
    they let pass are kept in the store's `decisions/` and, of an approval, in the audit record of the release.

    What passed every gate needs nothing but **Approve**. What is **undecided** needs a comment. What **failed** needs a
    comment and, in *Override*, the name of each gate that failed: no hard gate is passed by a click.

    **Not asked** when the run was started without *Ask for approval*: it passes with its gates, or is refused by them.

    **Red?** `NotApproved`: a person rejected it, nobody answered in time, or its gates did and nobody was to be asked;
    the log says which, with the intervals. Nothing was released, and the candidate is cleared up: to ask again, start a
    new run, which embeds nothing again. `InputError`: an approval that may not be taken as it is; the candidate is
    still there: clear this task to be asked again. Or the run has asked before about another verdict, which Airflow
    would show again: start a new run.
    """

    template_fields = ("judged",)

    def __init__(self, *, judged: Any, hours: float, **settings: Any) -> None:
        settings.pop("params", None)  # those of the DAG's form, which this form does not ask again
        super().__init__(
            subject="",
            options=[APPROVE, REJECT],
            defaults=[REJECT],
            params=_form(),
            response_timeout=timedelta(hours=hours),
            execution_timeout=timedelta(hours=STEP_HOURS),
            retries=RETRIES,
            doc_md=inspect.getdoc(type(self)),
            **settings,
        )
        self.judged = judged
        self.hours = hours

    def execute(self, context: Context) -> dict[str, Any]:
        """Put the question and wait, or decide at once where nobody is to be asked."""
        ti = context["ti"]
        with told_failures(ti):
            if not context["params"]["approval"]:
                return self._decided(None)
            with open_campaign(lease=False) as run:
                check_question(run, self.judged)
            self.subject = asking.subject(collection_of(ti.dag_id), self.judged)
            self.body = asking.body(
                self.judged, str(context["params"]["reason"]), report_address(ti.dag_id, ti.run_id), self.hours
            )
        return super().execute(context)  # type: ignore[no-any-return]  # raises what parks the task

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Take the answer. Raises `NotApproved` on a rejection, and `InputError` on an approval that lacks words."""
        with told_failures(context["ti"]):
            given = super().execute_complete(context, event)
            user = given["responded_by_user"]
            return self._decided(self._answer(given, str(user["name"] or user["id"])) if user else None)

    def validate_params_input(self, params_input: Mapping[str, Any]) -> None:
        """Refuse fields that the form does not have. One that is not given is empty."""
        from slipway.errors import InputError

        unknown = sorted(set(params_input) - set(self.params))
        if unknown:
            raise InputError(
                f"the answer has fields that are not asked for: {', '.join(unknown)}; it takes "
                f"{', '.join(sorted(self.params))}. Clear this task to be asked again"
            )

    def _answer(self, given: Mapping[str, Any], who: str) -> Answer:
        from slipway.reindex import Answer

        fields = {name: str(value or "").strip() for name, value in given["params_input"].items()}
        overrode = tuple(name for name in re.split(r"[,;\s]+", fields.get("override", "")) if name)
        return Answer(given["chosen_options"] == [APPROVE], who, fields.get("comment", ""), overrode)

    def _decided(self, answer: Answer | None) -> dict[str, Any]:
        """The recorded decision; `answer` is None where nobody answered, or was to be asked."""
        from slipway import reindex
        from slipway.errors import InputError, NotApproved

        with open_campaign(lease=False) as run:
            if answer is not None:
                check_question(run, self.judged)  # `judge` may have been cleared alone while this waited
            judged = judged_of(run, self.judged)
            if answer is not None and answer.approved:
                try:
                    reindex.approve_or_refuse(judged, reindex.asked_of(run), answer)
                except NotApproved as error:  # nothing is decided yet
                    raise InputError(f"{error}. The candidate is kept: clear this task to be asked again") from error
            return reindex.decide(run, judged, answer).as_json()


def _form() -> dict[str, Param]:
    return {
        "comment": Param(  # without null Airflow's page takes no answer, not even a rejection, before it is filled in
            None,
            type=["null", "string"],
            maxLength=2_000,
            format="multiline",
            source="task",
            title="Comment",
            description="Why. Kept with the decision. Needed to approve what did not pass every gate.",
        ),
        "override": Param(
            None,
            type=["null", "string"],
            maxLength=500,
            source="task",
            title="Override",
            description="Only where gates failed: the name of each failed gate that you let pass all the same, with "
            "commas between them.",
        ),
    }


def report_address(dag_id: str, run_id: str) -> str:
    """Where Airflow's web server shows the report of a run."""
    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"{base}/slipway/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}/report"
