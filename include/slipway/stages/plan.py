"""chunks → embedding plan: which chunk texts have no vector yet, cut into shards of equal token count, and the cost.

The plan is frozen in the store, so that mapped tasks and their retries all see the same shards, and so that people can
look at it before the work is done, or when its budget refused it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slipway import checkpoint, estimate, layout, tables, vectors
from slipway.config.collection import Embed
from slipway.encoders import find_model
from slipway.errors import BudgetExceeded, InputError
from slipway.estimate import Speed
from slipway.groups import groups
from slipway.manifest import Draft, Manifest, find
from slipway.parts import fetch_parts, read_batches
from slipway.planned import CHANGES
from slipway.records import CHUNKS, SHARD
from slipway.run import Run

MAX_SHARDS = 1_000  # Airflow maps at most 1,024 tasks by default
LEAST_SHARED = 100_000  # tokens; to share out less would take longer than to embed it, each shard loads the model

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


# A seeded draw: the same pending chunks give the same sample.
_SAMPLE = """
SELECT any_value(text), any_value(tokens) FROM chunks
WHERE chunk_hash IN (
    SELECT chunk_hash FROM pending ORDER BY md5(chunk_hash || ' probe 1'), chunk_hash
    LIMIT {limit}
)
GROUP BY chunk_hash ORDER BY md5(chunk_hash || ' probe 1'), chunk_hash
"""


def plan(run: Run, chunks: Manifest, difference: Manifest) -> Manifest:
    """Freeze this run's embedding work: one part a shard, shortest chunks first, and the names of the vector parts.

    Counts: `chunks` (distinct texts), `reused` (have a vector already), `to_embed` and `tokens` (to embed); `added`,
    `changed`, `deleted` and `unchanged` documents, from the difference. Facts: `encoder` (fingerprint); `shards`, a
    list of {"shard", "chunks", "tokens"}; `estimate`, {"minutes", "tokens_per_second", "measured" (what the speed was
    taken from), "bytes" (of the vectors to write), "index_bytes" (None: not known)}.

    Raises `BudgetExceeded` when embed.budget does not cover it and the run was not allowed "over_budget"; it is sealed
    before that, so what was refused can be looked at. Raises `InputError` when this run was planned before for other
    chunks.
    """
    place = layout.plan(run.run_id)
    sealed = find(run.store, place)
    made = _of_these(sealed, chunks, run) if sealed else _make(run, chunks, difference, place)
    _check_budget(run, made)
    return made


def _make(run: Run, chunks: Manifest, difference: Manifest, place: str) -> Manifest:
    encoder = find_model(run.collection.encoder).fingerprint
    inputs = {"chunks": chunks.digest, "difference": difference.digest}
    draft = Draft(run.store, place, "plan", run.run_id, inputs)
    paths = fetch_parts(run.store, chunks, "chunks", run.scratch)
    parts = vectors.parts(run.store, encoder)
    known = [vectors.fetch_hashes(run.store, part, run.scratch) for part in parts]
    with tables.duck(run.scratch) as session:
        tables.view(session, "chunks", paths, CHUNKS)
        tables.view(session, "known", known, pa.schema([CHUNKS.field("chunk_hash")]))
        counts = _count(session)
        target = _shard_size(run.collection.embed, counts["tokens"])
        session.execute(_SHARDS.format(target=target)).fetchall()
        shards = _write_shards(tables.batches(session, _ROWS), draft, run.scratch)
        settings, by_service = run.collection.embed, run.collection.encoder.service is not None
        speed = estimate.recorded(parts, settings.device, settings.backend, by_service=by_service)
        limit = estimate.probe_chunks(run.collection.encoder.service, counts["to_embed"])
        is_probed = speed is None and _is_worth_a_probe(run, counts)
        sample = session.execute(_SAMPLE.format(limit=limit)).fetchall() if is_probed else []
    if speed is None:
        speed = estimate.probed(run, sample) if sample else estimate.ASSUMED
    facts = {"encoder": encoder, "shards": shards, "estimate": _estimate(run, encoder, counts, speed)}
    return draft.seal(counts | {name: difference.counts[name] for name in CHANGES}, facts)


def _shard_size(settings: Embed, tokens: int) -> int:
    """Tokens of a shard: as configured, less where workers would have none, more where there would be too many."""
    fair = max(-(-tokens // settings.workers), LEAST_SHARED)
    return max(min(settings.shard_tokens, fair), -(-tokens // (MAX_SHARDS - 1)))


def _count(session: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Make the table `pending`, and count."""
    session.execute(_DISTINCT).fetchall()
    distinct = tables.number(session, "SELECT count(DISTINCT chunk_hash) FROM chunks")
    pending = tables.number(session, "SELECT count(*) FROM pending")
    tokens = tables.number(session, "SELECT coalesce(sum(tokens), 0) FROM pending")
    return {"chunks": distinct, "reused": distinct - pending, "to_embed": pending, "tokens": tokens}


def _is_worth_a_probe(run: Run, counts: Mapping[str, int]) -> bool:
    """Whether there is much to embed, or a budget would be refused on an assumption, and enough to measure on."""
    most = run.collection.embed.budget.minutes
    doubtful = most is not None and estimate.ASSUMED.minutes(counts["tokens"]) > most
    return counts["to_embed"] > estimate.WARM_UP_CHUNKS and (counts["tokens"] > estimate.PROBE_ABOVE or doubtful)


def _estimate(run: Run, encoder: str, counts: Mapping[str, int], speed: Speed) -> dict[str, Any]:
    return {
        "minutes": float(f"{speed.minutes(counts['tokens']):.4g}"),
        "tokens_per_second": float(f"{speed.tokens_per_second:.4g}"),
        "measured": speed.measured,
        "bytes": estimate.vector_bytes(counts["to_embed"], run.collection.encoder.dimension),
        "index_bytes": estimate.index_bytes(run, encoder, counts["chunks"]),
    }


def _check_budget(run: Run, made: Manifest) -> None:
    budget, guess = run.collection.embed.budget, made.facts["estimate"]
    tokens, minutes = made.counts["tokens"], guess["minutes"]
    passed = []
    if budget.tokens is not None and tokens > budget.tokens:
        passed.append(f"embed.budget.tokens allows {budget.tokens:,}")
    if budget.minutes is not None and minutes > budget.minutes:
        passed.append(f"embed.budget.minutes allows {budget.minutes:g}")
    if not passed or "over_budget" in checkpoint.start_of(run).allowed:
        return
    raise BudgetExceeded(
        f"{made.counts['to_embed']:,} of the {made.counts['chunks']:,} chunks would be embedded: {tokens:,} tokens, "
        f"about {minutes:,.1f} minutes at {guess['tokens_per_second']:,.0f} tokens/s ({guess['measured']}), but "
        f"{' and '.join(passed)}. Nothing was embedded; the plan is in {made.place}. Look at what changed; if it is "
        "meant, run again with --over-budget (or the DAG's parameter allow_over_budget), or raise the budget in the "
        "collection file"
    )


def _of_these(sealed: Manifest, chunks: Manifest, run: Run) -> Manifest:
    if sealed.inputs.get("chunks") != chunks.digest:
        raise InputError(
            f"run {run.run_id!r} has already planned its embedding for other chunks: the collection file or its "
            "documents changed during the run; start another run"
        )
    return sealed


def _write_shards(batches: Iterator[pa.RecordBatch], draft: Draft, scratch: Path) -> list[dict[str, int]]:
    shards: list[dict[str, int]] = []
    names: list[str] = []
    writer: pq.ParquetWriter | None = None

    def finish() -> None:
        if writer is not None:
            writer.close()
            path = scratch / layout.shard_name(shards[-1]["shard"])
            draft.add_file(path.name, path)
            names.extend(_part_names(path))
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
    draft.add_json(layout.GROUPS, names)
    return shards


def _part_names(shard: Path) -> Iterator[str]:
    """What the vector parts of a shard will be called."""
    rows = (row for batch in read_batches([shard], ["chunk_hash", "tokens"]) for row in batch.to_pylist())
    for group in groups(rows):
        yield vectors.part_id(row["chunk_hash"] for row in group)


def _by_shard(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    for batch in batches:
        for shard in pc.unique(batch["shard"]).to_pylist():
            rows = batch.filter(pc.equal(batch["shard"], shard))
            yield shard, pa.record_batch([rows[field.name].cast(field.type) for field in SHARD], SHARD)
