"""The pools of the heavy tasks. A task that names a pool which is not there waits for ever: set-up creates them.

``python -m slipway_airflow.pools`` creates them by hand, in an environment that can reach Airflow's database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.config import Collection

EMBED_CPU = "slipway_embed_cpu"
EMBED_GPU = "slipway_embed_gpu"
INDEX = "slipway_index"


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool: its name, how many tasks it lets run at once where nothing is said, and what it guards."""

    name: str
    slots: int
    description: str


POOLS = (
    Pool(EMBED_CPU, 1, "Slipway: shards embedded at once on CPU; each uses all cores of its worker. One slot a worker"),
    Pool(EMBED_GPU, 1, "Slipway: shards embedded at once on GPU. One slot a GPU"),
    Pool(INDEX, 1, "Slipway: indexes built or measured at once; each holds all vectors in memory. One slot a worker"),
)


def embed_pool(collection: Collection) -> str:
    """The pool in which a collection's shards are embedded."""
    return EMBED_GPU if collection.embed.device == "cuda" else EMBED_CPU


def create_pools() -> list[str]:
    """Create the pools that are missing, and return their names. Slots that somebody changed stay as they are.

    For set-up only: it talks to Airflow's database, which tasks must not.
    """
    from airflow.models.pool import Pool as AirflowPool
    from airflow.utils.session import create_session

    made = []
    with create_session() as session:
        there = {pool.pool for pool in AirflowPool.get_pools(session=session)}
        for pool in POOLS:
            if pool.name not in there:
                AirflowPool.create_or_update_pool(
                    pool.name, pool.slots, pool.description, include_deferred=False, session=session
                )
                made.append(pool.name)
    return made


if __name__ == "__main__":
    print("\n".join(f"created pool {name}" for name in create_pools()) or "all pools are there")  # noqa: T201
