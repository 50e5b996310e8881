"""chunks without a vector → vectors: one shard of the plan, sealed group by group so that a kill loses little."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway import layout, vectors
from slipway.encoders import Model, find_model, load_encoder
from slipway.encoders.base import TextEncoder
from slipway.errors import EncoderError
from slipway.groups import groups
from slipway.manifest import Manifest, fetch
from slipway.parts import read_batches
from slipway.run import Run


@dataclass(frozen=True, slots=True)
class Embedded:
    """What one shard did: chunks embedded now, chunks found embedded since the plan, tokens embedded now, seconds."""

    shard: int
    embedded: int
    resumed: int
    tokens: int
    seconds: float


def embed(run: Run, plan: Manifest, shard: int) -> Embedded:
    """Embed one shard of the plan into the vector store; groups that are there already are not computed again.

    Raises `EncoderError` when the model is not the plan's or its vectors are not sound (number, dimension, norm).
    """
    started = time.monotonic()
    model = find_model(run.collection.encoder)
    if model.fingerprint != plan.facts["encoder"]:
        raise EncoderError(
            f"encoder {model.encoder.name} has fingerprint {model.fingerprint}, the plan was made for "
            f"{plan.facts['encoder']}: the model changed during the run; start a new run"
        )
    path = fetch(run.store, plan.one(layout.shard_name(shard)), run.scratch)
    total = next(entry["chunks"] for entry in plan.facts["shards"] if entry["shard"] == shard)
    elsewhere = _made_elsewhere(run, plan, path)
    done = embedded = tokens = 0
    for group in groups(row for batch in read_batches([path]) for row in batch.to_pylist()):
        pending = [row for row in group if row["chunk_hash"] not in elsewhere]
        if pending and not vectors.find_part(run.store, model.fingerprint, _hashes(pending)):
            embed_group(run, model, pending)
            embedded += len(pending)
            tokens += _tokens(pending)
        done += len(group)
        run.progress("embed", done, total, "chunks")
    return Embedded(shard, embedded, done - embedded, tokens, round(time.monotonic() - started, 3))


def _made_elsewhere(run: Run, plan: Manifest, shard: Path) -> set[str]:
    """The shard's chunks that parts of other names have held since the plan was made.

    Another run may have embedded them, or maintenance may have merged their groups into larger parts.
    """
    hashes = [one for batch in read_batches([shard], ["chunk_hash"]) for one in batch["chunk_hash"].to_pylist()]
    planned = set(json.loads(fetch(run.store, plan.one(layout.GROUPS), run.scratch).read_bytes()))
    since = datetime.fromisoformat(plan.created_at)
    return vectors.find_rows(run.store, plan.facts["encoder"], hashes, since, planned, run.scratch)


def embed_group(run: Run, model: Model, group: list[dict[str, Any]]) -> None:
    """Embed one group of rows (`chunk_hash`, `tokens`, `text`) and seal it as a part. Raises as `embed`."""
    encoder = load_encoder(run.collection.encoder, run.collection.embed, secrets=run.secrets)
    began = time.monotonic()
    made = encoder.encode_documents([row["text"] for row in group])
    took = {"tokens": _tokens(group), "seconds": round(time.monotonic() - began, 3), "device": encoder.device}
    _check_space(encoder, made.shape[1:], model)
    vectors.write_part(run.store, model.fingerprint, _hashes(group), made, run.scratch, took)


def _hashes(group: list[dict[str, Any]]) -> list[str]:
    return [row["chunk_hash"] for row in group]


def _tokens(group: list[dict[str, Any]]) -> int:
    return sum(row["tokens"] for row in group)


def _check_space(encoder: TextEncoder, shape: tuple[int, ...], model: Model) -> None:
    """Raise `EncoderError` unless the vectors are of the model that was found, which names the part they go to."""
    if encoder.fingerprint != model.fingerprint:
        raise EncoderError(
            f"encoder {model.encoder.name} was loaded with fingerprint {encoder.fingerprint}, but its files now have "
            f"{model.fingerprint}: the model changed while this process ran; start a new run"
        )
    if shape != (model.encoder.dimension,):
        raise EncoderError(
            f"encoder {model.encoder.name} made vectors of shape {shape}, not of its dimension "
            f"{model.encoder.dimension}; correct the field dimension"
        )
