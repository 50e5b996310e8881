"""chunks → embedding plan: which chunk texts have no vector yet, cut into shards of equal token count.

The plan is frozen in the store, so that mapped tasks and their retries all see the same shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slipway import layout, tables, vectors
from slipway.encoders import find_model
from slipway.errors import InputError
from slipway.manifest import Draft, Manifest, find
from slipway.parts import fetch_parts
from slipway.records import CHUNKS, SHARD
from slipway.run import Run

MAX_SHARDS = 1_000  # Airflow maps at most 1,024 tasks by default

_DISTINCT = """
CREATE TABLE pending AS
SELECT chunk_hash, any_value(tokens) AS tokens FROM chunks
WHERE chunk_hash NOT IN (SELECT chunk_hash FROM known) GROUP BY chunk_hash
"""
# Tokens of a shard are counted over the shortest-first order, so that a batch pads little.
_SHARDS = """
CREATE TABLE planned AS
SELECT chunk_hash, tokens,
       ((sum(tokens) OVER (ORDER BY tokens, chunk_hash ROWS UNBOUNDED PRECEDING) - 1) // {target})::INT AS shard
FROM pending
"""
_ROWS = """
SELECT shard, chunk_hash, tokens, text
FROM planned JOIN (SELECT chunk_hash, any_value(text) AS text FROM chunks GROUP BY chunk_hash) USING (chunk_hash)
ORDER BY shard, tokens, chunk_hash
"""


def plan(run: Run, chunks: Manifest) -> Manifest:
    """Freeze this run's embedding work: one part a shard, shortest chunks first.

    Counts: `chunks` (distinct texts), `reused` (have a vector already), `to_embed` and `tokens` (to embed).
    Facts: `encoder` (fingerprint) and `shards`, a list of {"shard", "chunks", "tokens"}. Raises `InputError` when
    this run was planned before for other chunks.
    """
    place = layout.plan(run.run_id)
    if sealed := find(run.store, place):
        return _of_these(sealed, chunks, run)
    encoder = find_model(run.collection.encoder).fingerprint
    draft = Draft(run.store, place, "plan", run.run_id, {"chunks": chunks.digest})
    paths = fetch_parts(run.store, chunks, "chunks", run.scratch)
    known = [vectors.fetch_hashes(run.store, part, run.scratch) for part in vectors.parts(run.store, encoder)]
    with tables.duck(run.scratch) as session:
        tables.view(session, "chunks", paths, CHUNKS)
        tables.view(session, "known", known, pa.schema([CHUNKS.field("chunk_hash")]))
        distinct = tables.number(session, "SELECT count(DISTINCT chunk_hash) FROM chunks")
        session.execute(_DISTINCT).fetchall()
        pending = tables.number(session, "SELECT count(*) FROM pending")
        tokens = tables.number(session, "SELECT coalesce(sum(tokens), 0) FROM pending")
        target = max(run.collection.embed.shard_tokens, -(-tokens // (MAX_SHARDS - 1)))
        session.execute(_SHARDS.format(target=target)).fetchall()
        shards = _write_shards(tables.batches(session, _ROWS), draft, run.scratch)
    counts = {"chunks": distinct, "reused": distinct - pending, "to_embed": pending, "tokens": tokens}
    return draft.seal(counts, {"encoder": encoder, "shards": shards})


def _of_these(sealed: Manifest, chunks: Manifest, run: Run) -> Manifest:
    if sealed.inputs.get("chunks") != chunks.digest:
        raise InputError(
            f"run {run.run_id!r} has already planned its embedding for other chunks: the collection file or its "
            "documents changed during the run; start another run"
        )
    return sealed


def _write_shards(batches: Iterator[pa.RecordBatch], draft: Draft, scratch: Path) -> list[dict[str, int]]:
    shards: list[dict[str, int]] = []
    writer: pq.ParquetWriter | None = None

    def finish() -> None:
        if writer is not None:
            writer.close()
            path = scratch / layout.shard_name(shards[-1]["shard"])
            draft.add_file(path.name, path)
            path.unlink()

    for shard, rows in _by_shard(batches):
        if writer is None or shards[-1]["shard"] != shard:
            finish()
            shards.append({"shard": shard, "chunks": 0, "tokens": 0})
            writer = pq.ParquetWriter(scratch / layout.shard_name(shard), SHARD, compression="zstd")
        writer.write_batch(rows)
        shards[-1]["chunks"] += rows.num_rows
        shards[-1]["tokens"] += pc.sum(rows["tokens"]).as_py()
    finish()
    return shards


def _by_shard(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    for batch in batches:
        for shard in pc.unique(batch["shard"]).to_pylist():
            rows = batch.filter(pc.equal(batch["shard"], shard))
            yield shard, pa.record_batch([rows[field.name].cast(field.type) for field in SHARD], SHARD)
