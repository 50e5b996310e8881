"""The DAG `<collection>__nightly`, one per sound collection file: from the sources to a release that proved itself."""

from airflow.sdk import DAG

from slipway.config import Collection
from slipway_airflow import shards, tasks
from slipway_airflow.assets import release_asset
from slipway_airflow.collections import good_collections
from slipway_airflow.nightly import nightly_dag, release_limit
from slipway_airflow.pools import embed_pool
from slipway_airflow.steps import WAITING_RETRIES


def nightly(collection: Collection) -> DAG:
    """The table of contents of a run. What each task does, and what to do when it is red, stands in its docstring."""
    with nightly_dag(collection) as dag:
        began = tasks.preflight.override(retries=WAITING_RETRIES)()
        raw = tasks.extract.expand(source=[source.name for source in collection.sources])
        documents = tasks.clean.expand(raw=raw)
        snapshot = tasks.snapshot(documents)
        difference = tasks.compare(snapshot, raw)
        chunks = tasks.chunk(snapshot)
        work = tasks.plan(chunks, difference)
        vectors = tasks.embed.override(pool=embed_pool(collection)).expand(shard=work)
        candidate = tasks.index(chunks)
        if collection.index.shards.vectors:
            cut = shards.index_shards(chunks)
            vectors >> cut
            shards.index_shard.expand(shard=cut) >> candidate
        reconciled = tasks.reconcile(snapshot, chunks, candidate)
        evaluation = tasks.evaluate(candidate)
        comparison = tasks.side_by_side(candidate, evaluation)
        drift = tasks.drift(snapshot, candidate, comparison)
        verdict = tasks.gate(evaluation, comparison)
        releases = {"outlets": [release_asset(collection.name)], "execution_timeout": release_limit(collection)}
        released = tasks.release.override(**releases)(began, candidate, evaluation, verdict, comparison)
        began >> raw
        difference >> chunks
        vectors >> candidate
        reconciled >> evaluation >> drift
        # A teardown: runs whatever happened, and leaves the run's colour to the tasks before it.
        [raw, documents, vectors, drift, released] >> tasks.report().as_teardown()
    return dag


for each in good_collections():
    nightly(each)
