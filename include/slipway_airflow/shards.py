"""The two tasks of a night that share the building of a large index among workers: see `index.shards`."""

from __future__ import annotations

from typing import Any

from airflow.sdk import TriggerRule, get_current_context

from slipway_airflow import pools
from slipway_airflow.runs import open_run
from slipway_airflow.steps import step


@step(hours=6, pool=pools.INDEX, trigger_rule=TriggerRule.NONE_FAILED)
def index_shards(chunks: dict[str, Any]) -> list[dict[str, Any]]:
    """### Train the index, and share out its vectors

    Only where `index.shards.vectors` of the collection file is set. Trains the index on a sample of the vectors, and
    cuts all of them into shards, which the mapped task after this one fills. No shard at all means that the live index
    is to be updated, is there already, or fits into one shard: then `index` does it alone.

    **Red?** `IndexRefused`: too few vectors to train on, or too many shards; the log says how many there may be.
    """
    from slipway.manifest import load
    from slipway.stages.shards import cut

    with open_run() as run:
        begun = cut(run, load(run.store, chunks["place"]))
        return [{**entry, "build": begun.place} for entry in begun.facts["shards"]] if begun else []


@step(hours=6, pool=pools.INDEX, map_index_template="{{ label }}")
def index_shard(shard: dict[str, Any]) -> dict[str, Any]:
    """### Fill one shard of the index

    Fetches the vectors of its own rows and adds them to a copy of the trained index. A shard that is there is not made
    again. `index` puts the shards together, and makes those that are missing.

    **Red?** `MemoryExceeded`: give the worker more memory, or set `index.shards.vectors` lower. **Scheduled for ever?**
    The pool `slipway_index` has one slot a worker: raise its slots where there are more workers.
    """
    from slipway.manifest import load
    from slipway.stages.shards import add

    get_current_context()["label"] = f"shard {shard['shard']}: {shard['rows']:,} vectors"  # type: ignore[typeddict-unknown-key]
    with open_run() as run:
        made = add(run, load(run.store, shard["build"]), shard["shard"])
        return {"place": made.place, **made.counts}
