"""chunks without a vector → vectors: one shard of the plan, sealed group by group so that a kill loses little."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from slipway import layout, vectors
from slipway.encoders import Model, find_model, load_encoder, parity, recycling
from slipway.encoders.base import TextEncoder
from slipway.errors import EncoderError
from slipway.groups import groups
from slipway.manifest import Manifest, fetch
from slipway.parts import read_batches
from slipway.progress import within
from slipway.run import Run
from slipway.throughput import Throughput, together

_compared: WeakKeyDictionary[TextEncoder, set[str]] = WeakKeyDictionary()  # with what which stores keep


@dataclass(frozen=True, slots=True)
class Embedded:
    """What one shard did: chunks embedded now, chunks found embedded since the plan, tokens embedded now, seconds.

    Of the `seconds` the encoder was at work for `encoding_seconds`, and made `tokens_per_second` in them; the rest is
    reading, loading it, and writing. These, `device` and `backend` are None when nothing was embedded. Where the device
    or the backend changed on the way they are of the last one.
    """

    shard: int
    embedded: int
    resumed: int
    tokens: int
    seconds: float
    encoding_seconds: float | None = None
    tokens_per_second: float | None = None
    device: str | None = None
    backend: str | None = None
    encoded_tokens: int | None = None  # in `encoding_seconds`, where that is not all of `tokens`

    @property
    def throughput(self) -> Throughput | None:
        """The encoder's own, or None when nothing was embedded."""
        if self.encoding_seconds is None or self.device is None:
            return None
        tokens = self.tokens if self.encoded_tokens is None else self.encoded_tokens
        return Throughput(tokens, self.encoding_seconds, self.device, self.backend)


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
    elsewhere = _made_elsewhere(run, plan, path)
    total = next(entry["tokens"] for entry in plan.facts["shards"] if entry["shard"] == shard)
    embedded = resumed = done = 0
    made: list[Throughput] = []
    for group in groups(row for batch in read_batches([path]) for row in batch.to_pylist()):
        pending = [row for row in group if row["chunk_hash"] not in elsewhere]
        if pending and not vectors.find_part(run.store, model.fingerprint, _hashes(pending)):
            run.progress("embed", done, total, "tokens")  # before it, so that what was there has no part in the speed
            made.append(embed_group(run, model, pending))
            recycling.after_group()
            embedded += len(pending)
            resumed -= len(pending)
        resumed += len(group)
        done += _tokens(group)
    run.progress("embed", done, total, "tokens")
    seconds = round(time.monotonic() - started, 3)
    took = together(made)
    if took is None:
        return Embedded(shard, embedded, resumed, 0, seconds)
    speed = (took.seconds, took.tokens_per_second, took.device, took.backend)
    tokens = sum(one.tokens for one in made)
    return Embedded(shard, embedded, resumed, tokens, seconds, *speed, None if tokens == took.tokens else took.tokens)


def planned_shards(run: Run, plan: Manifest) -> Iterator[tuple[int, Run]]:
    """The plan's shards for who embeds one after another: each with the run that tells how far the whole plan is."""
    before, total = 0, plan.counts["tokens"]
    for entry in plan.facts["shards"]:
        yield entry["shard"], replace(run, progress=within(run.progress, before, total))
        before += entry["tokens"]


def _made_elsewhere(run: Run, plan: Manifest, shard: Path) -> set[str]:
    """The shard's chunks that parts of other names have held since the plan was made.

    Another run may have embedded them, or maintenance may have merged their groups into larger parts.
    """
    hashes = [one for batch in read_batches([shard], ["chunk_hash"]) for one in batch["chunk_hash"].to_pylist()]
    planned = set(json.loads(fetch(run.store, plan.one(layout.GROUPS), run.scratch).read_bytes()))
    since = datetime.fromisoformat(plan.created_at)
    return vectors.find_rows(run.store, plan.facts["encoder"], hashes, since, planned, run.scratch)


def embed_group(run: Run, model: Model, group: list[dict[str, Any]]) -> Throughput:
    """Embed one group of rows (`chunk_hash`, `tokens`, `text`) and seal it as a part. Raises as `embed`."""
    encoder = load_encoder(run.collection.encoder, run.collection.embed, secrets=run.secrets)
    _check_first_use(run, encoder, model)
    began = time.monotonic()
    made = encoder.encode_documents([row["text"] for row in group])
    took = Throughput(_tokens(group), round(time.monotonic() - began, 3), encoder.device, encoder.backend)
    _check_space(encoder, made.shape[1:], model)
    vectors.write_part(run.store, model.fingerprint, _hashes(group), made, run.scratch, took.facts())
    return took


def _check_first_use(run: Run, encoder: TextEncoder, model: Model) -> None:
    """Compare a service that is verified by its first use with what the store keeps of it, once for a loaded encoder.

    So that the workers of all machines embed with one model. Raises `EncoderError` where it makes other vectors.
    """
    if not model.encoder.is_first_use:
        return
    seen = _compared.setdefault(encoder, set())
    if run.store.url in seen:
        return
    made, key = parity.probe_vectors(encoder, model), parity.probe_key(model)
    kept = vectors.first_probe(run.store, model.fingerprint, key, made)
    where = f"{run.store.url}/{layout.vector_probe(model.fingerprint, key)}"
    parity.check_same(model, made, kept, where)
    seen.add(run.store.url)


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
