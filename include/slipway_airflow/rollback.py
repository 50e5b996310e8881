"""Going back in Airflow: the DAG without its task, its form, the task, and their pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, get_current_context

from slipway_airflow.nightly import SINCE
from slipway_airflow.runs import check_parameters, dag_id, open_run, who
from slipway_airflow.steps import step

if TYPE_CHECKING:
    from slipway.config import Collection
    from slipway.run import Run
    from slipway.signing import Trusted

ROLLBACK = "rollback"
BEFORE_ALL = 1_000_000  # a priority that no task of a nightly run comes near

PAGE = """
### {collection}: back to a former release

Makes a release that is still there live again: one swap of `serving.json`, nothing is rebuilt. Readers follow by
themselves as soon as they have loaded it. Trigger it with a reason; leave `to` empty for the standby release.

| task | does |
|---|---|
| `roll_back` | the swap; waits for no other run |

**A nightly run at work** goes on, but does not release: `serving.json` has moved on, so it is stale.
**A shift under way:** the release on trial is taken back, which ends the shift.

**Red?** Nothing was changed; the log says why, and what to do instead.

**Without Airflow:** `slipway rollback {collection} --reason "…"`.
"""


def rollback_dag(collection: Collection) -> DAG:
    """The DAG `<collection>__rollback`, to be filled with its task in a `with` block.

    It has no schedule and is not paused when it is new: nobody on call has to look for a switch.
    """
    return DAG(
        dag_id(collection.name, ROLLBACK),
        description=f"Makes a former release of {collection.name} live again",
        schedule=None,
        start_date=SINCE,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        params=_params(),
        tags=["slipway", collection.name, ROLLBACK],
        doc_md=PAGE.format(collection=collection.name),
    )


def _params() -> dict[str, Param]:
    return {
        "reason": Param(  # without a default the form does not start without it
            type="string",
            minLength=3,
            maxLength=500,
            title="Reason",
            description="What is wrong with what serves now. Kept in the audit trail, and shown with the release that "
            "is left.",
        ),
        "to": Param(
            None,
            type=["null", "string"],
            maxLength=200,
            title="To release",
            description="The id of a release that is still there: see Releases in the navigation, or slipway releases. "
            "Empty: the standby release; while a shift is under way, the live one, so that the trial ends.",
        ),
    }


@step(hours=0.25, priority_weight=BEFORE_ALL, weight_rule="absolute")
def roll_back() -> dict[str, Any]:
    """### Make a former release live again

    Looks whether every object of that release is in the store, and swaps `serving.json`, in a second or two. It takes
    no lease and waits for no other run. Readers load the release, verify it, and only then answer with it.

    The release that is left stays on standby, **withdrawn**: no nightly run brings it back unchanged, and no rollback
    unless it is named. When `to` names a withdrawn release or a newer one, nothing is said against the one that is
    left: it stays to go back to. While a shift is under way, the release on trial is taken back and withdrawn; the
    live one serves on, unless `to` names another.

    **Red?** Nothing was changed. `InputError`: the reason is empty, or a parameter is unknown. `ReleaseRefused`: there
    is no such release, it is not whole, it is live already, or the standby release was withdrawn itself: start a run
    that names in `to` the release you mean. `UntrustedRelease`: the collection signs its releases, or
    `SLIPWAY_PUBLIC_KEY` is set here, and that one is not signed so; readers refuse it. `CorruptObject`,
    `ObjectMissing`: take another release. Tries that follow a kill or a lost answer of the store find the swap if it
    was done; it is never done twice.
    """
    from slipway import rollback
    from slipway.cli import show
    from slipway_airflow.assets import release_asset, release_facts

    context = get_current_context()
    check_parameters(context)
    reason, to = _asked(context["params"])
    with open_run(lease=False) as run:
        # A nightly run may have the same DAG run id: it must not take this for its own change.
        rollback_id = f"{ROLLBACK}-{run.run_id}"
        after = rollback.roll_back(run.store, who(context["dag_run"]), reason, to, rollback_id, _trusted(run))
        done = rollback.outcome(after)
        asset = release_asset(run.collection.name)
        print(show.rolled_back({"collection": run.collection.name, **done}))  # noqa: T201
    context["outlet_events"][asset].extra = release_facts(done["live"], done["generation"], {})
    return done


def _trusted(run: Run) -> Trusted | None:
    """The keys that readers are taken to ask for: those set here, else the one that the collection signs with."""
    from slipway.signing import key_of, trusted_here

    here = trusted_here()
    key = key_of(run) if here is None else None
    return key.trusted if key else here


def _asked(params: Any) -> tuple[str, str | None]:
    from slipway.errors import InputError

    reason = params["reason"]
    if not reason.strip():
        raise InputError("the run was started without a reason; start it again with one in the parameter 'reason'")
    return reason, (params["to"] or "").strip() or None
