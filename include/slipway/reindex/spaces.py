"""The documents of a sample in one encoder's space, searched exactly."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway import checkpoint, tables, vectors
from slipway.agreement import Live
from slipway.encoders import find_model, load_encoder, recycling
from slipway.groups import groups
from slipway.index import artifact, payload
from slipway.index.exact import exact_neighbours
from slipway.manifest import Manifest, fetch
from slipway.parts import fetch_parts
from slipway.records import CHUNKS
from slipway.run import Run
from slipway.stages.chunk import chunk
from slipway.stages.embed import embed_group

DEPTH = 10  # documents
PASSAGES = 200  # looked at for ten different documents
_EVER = datetime(2000, 1, 1, tzinfo=UTC)

_CHUNKS = """
SELECT chunk_hash, any_value(tokens) AS tokens, any_value(text) AS text, list(DISTINCT document_id) AS documents
FROM chunks SEMI JOIN drawn USING (document_id) GROUP BY chunk_hash ORDER BY tokens, chunk_hash
"""


@dataclass(frozen=True, slots=True)
class Space:
    """Passages with their documents' ids, and a vector a passage: (n, dimension) float32."""

    run: Run
    owners: Sequence[Sequence[str]]
    vectors: npt.NDArray[np.float32]

    def search(self, texts: Sequence[str]) -> list[list[str]]:
        """The ids of the ten nearest documents of each query, best first, each by its best passage."""
        encoder = load_encoder(self.run.collection.encoder, self.run.collection.embed, secrets=self.run.secrets)
        _, rows = exact_neighbours(self.vectors, encoder.encode_queries(texts), PASSAGES)
        return [self._documents(ranked) for ranked in rows]

    def _documents(self, rows: npt.NDArray[np.int64]) -> list[str]:
        names = (name for row in rows for name in self.owners[row])
        return list(dict.fromkeys(names))[:DEPTH]


def candidate_space(run: Run, snapshot: Manifest, documents: set[str]) -> Space:
    """The documents in the space of the run's encoder. Embeds the passages that have no vector yet."""
    rows = _passages(run, chunk(run, snapshot), documents)
    model = find_model(run.collection.encoder)
    hashes = [row["chunk_hash"] for row in rows]
    known = vectors.find_rows(run.store, model.fingerprint, hashes, _EVER, (), run.scratch)
    missing = [row for row in rows if row["chunk_hash"] not in known]
    done, total = 0, sum(row["tokens"] for row in missing)
    for group in groups(missing):
        run.progress("sample", done, total, "tokens")
        done += embed_group(run, model, group).tokens
        recycling.after_group()
    run.progress("sample", done, total, "tokens")
    owners = [sorted(row["documents"]) for row in rows]
    return Space(run, owners, _collected(run, model.fingerprint, hashes))


def live_space(run: Run, live: Live, documents: set[str]) -> Space:
    """The documents as the live release holds them. Raises `IndexRefused` when a vector is no longer in the store."""
    files = {
        name: fetch(run.store, live.manifest.one(name), run.scratch) for name in (artifact.ROWS, artifact.DOCUMENTS)
    }
    names = artifact.open_arrow(files[artifact.DOCUMENTS], artifact.DOCUMENTS_SCHEMA)["document_id"]
    wanted = {ordinal: name for ordinal, name in enumerate(names.to_pylist()) if name in documents}
    owned = _owned(artifact.open_rows(files[artifact.ROWS]), wanted)
    nightly = checkpoint.with_settings(run, {"encoder": live.encoder(run).model_dump(mode="json")})
    owners = [sorted(names) for names in owned.values()]
    return Space(nightly, owners, _collected(run, live.fingerprint, list(owned)))


def _passages(run: Run, chunks: Manifest, documents: set[str]) -> list[dict[str, Any]]:
    with tables.duck(run.scratch) as session:
        tables.view(session, "chunks", fetch_parts(run.store, chunks, "chunks", run.scratch), CHUNKS)
        session.register("drawn", pa.table({"document_id": pa.array(sorted(documents), pa.string())}))
        rows: list[dict[str, Any]] = session.sql(_CHUNKS).to_arrow_table().to_pylist()
    return rows


def _owned(rows: pa.Table, wanted: Mapping[int, str]) -> dict[str, set[str]]:
    """Chunk hashes of the rows that stand for one of the wanted documents (ordinal to id), with those documents."""
    owned: dict[str, set[str]] = defaultdict(set)
    for batch in rows.select(["chunk_hash", "documents"]).to_batches():
        for one, ordinals in zip(batch["chunk_hash"].to_pylist(), batch["documents"].to_pylist(), strict=True):
            names = {wanted[ordinal] for ordinal in ordinals if ordinal in wanted}
            if names:
                owned[one] |= names
    return owned


def _collected(run: Run, encoder: str, hashes: Sequence[str]) -> npt.NDArray[np.float32]:
    run.scratch.mkdir(parents=True, exist_ok=True)
    path = run.scratch / f"sample-{secrets.token_hex(4)}.npy"
    return payload.collect(run.store, encoder, pa.chunked_array([pa.array(hashes, pa.string())]), path, run.scratch)
