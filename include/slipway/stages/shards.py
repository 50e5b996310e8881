"""vectors → shards of an index: what a large index is built of by several workers; the index stage puts it together."""

from __future__ import annotations

from slipway.building import deciding, sharded
from slipway.manifest import Manifest
from slipway.run import Run


def cut(run: Run, chunks: Manifest) -> Manifest | None:
    """Train the index of these chunks and cut its rows into shards; None where there is nothing to share out.

    See slipway.building.sharded.begin for what is sealed. Raises `IndexRefused`.
    """
    return deciding.cut(run, chunks)


def add(run: Run, begun: Manifest, shard: int) -> Manifest:
    """Fill one shard of what `cut` sealed; skipped when it was done. Raises `IndexRefused` and `MemoryExceeded`."""
    return sharded.fill(run, begun, shard)
