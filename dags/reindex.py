"""The DAG `<collection>__reindex`, one per sound collection file: to another encoder or index, approved by a person."""

from airflow.sdk import DAG

from slipway.config import Collection
from slipway_airflow import campaign
from slipway_airflow.approval import Approve
from slipway_airflow.assets import release_asset
from slipway_airflow.collections import good_collections
from slipway_airflow.maintenance import STEADY
from slipway_airflow.nightly import release_limit
from slipway_airflow.pools import embed_pool
from slipway_airflow.reindex import reindex_dag
from slipway_airflow.steps import WAITING_RETRIES


def reindex(collection: Collection) -> DAG:
    """The table of contents of a campaign. What each task does, and what to do when it is red, stands in its page."""
    with reindex_dag(collection) as dag:
        planned = campaign.preflight.override(retries=WAITING_RETRIES, **STEADY)()
        tried = campaign.sample()
        shards = campaign.shards()
        vectors = campaign.embed.override(pool=embed_pool(collection)).expand(shard=shards)
        built = campaign.build()
        judged = campaign.judge(built)
        approved = Approve(task_id="approve", judged=judged, hours=collection.reindex.approval_hours)
        waits = {
            "retries": WAITING_RETRIES,
            **STEADY,
            "execution_timeout": campaign.release_time(release_limit(collection)),
        }
        released = campaign.release.override(outlets=[release_asset(collection.name)], **waits)(built, approved.output)
        planned >> tried >> shards
        vectors >> built
        approved >> released
        # A teardown: runs whatever happened, and leaves the run's colour to the tasks before it.
        [planned, tried, vectors, built, judged, approved, released] >> campaign.report().as_teardown()
    return dag


for each in good_collections():
    reindex(each)
