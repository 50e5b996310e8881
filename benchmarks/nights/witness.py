"""What a night left behind, found without asking the stages: texts that are new, and entries that should be gone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute

from benchmarks.nights.project import NAME, Project
from slipway import layout, serving
from slipway.config import load_collection
from slipway.manifest import MANIFEST, Manifest, load
from slipway.parts import fetch_parts, read_batches

if TYPE_CHECKING:
    from slipway.serving import Reader

K = 10
QUERIES_AT_ONCE = 1_000


def chunks_of(project: Project, run_id: str) -> Manifest:
    """The chunks that a run planned its embedding for."""
    digest = load(project.store, layout.plan(run_id)).inputs["chunks"]
    suffix = f"/{MANIFEST}"
    places = [info.key.removesuffix(suffix) for info in project.store.list("chunks/") if info.key.endswith(suffix)]
    return next(one for place in places if (one := load(project.store, place)).digest == digest)


def texts_of(project: Project, chunks: Manifest, scratch: Path) -> set[bytes]:
    """The distinct embedded texts of some chunks, each by a checksum of ours: 16 bytes."""
    texts = (text for batch in _rows(project, chunks, scratch, ["text"]) for text in batch["text"].to_pylist())
    return {hashlib.sha256(text.encode()).digest()[:16] for text in texts}


def still_found(project: Project, chunks: Manifest, deleted: Sequence[str], scratch: Path) -> int:
    """How many deleted entries the live release still has, or finds by the very text that was embedded for them.

    `chunks` are those of a night on which the entries were there; `deleted` are primary keys. Raises RuntimeError
    when an entry has no chunk there, since then nothing was asked.
    """
    ids = {f"{NAME}:{one}" for one in deleted}
    wanted = pa.array(sorted(ids), pa.string())
    asked: set[str] = set()
    with serving.open(project.store.url, cache=scratch) as reader:
        found = set(reader.release.searcher.held(sorted(ids)))
        for batch in _rows(project, chunks, scratch, ["document_id", "text"]):
            gone = batch.filter(pa.compute.is_in(batch["document_id"], value_set=wanted))
            asked.update(gone["document_id"].to_pylist())
            found |= ids & _answers(project, reader, gone["text"].to_pylist())
    if asked != ids:
        raise RuntimeError(
            f"{len(ids - asked)} deleted entries have no chunk in {chunks.place}: {sorted(ids - asked)[:3]}"
        )
    return len(found)


def _answers(project: Project, reader: Reader, texts: Sequence[str]) -> set[str]:
    """Ids of the K nearest documents of each text's own vector, taken together."""
    from slipway.config.collection import Embed
    from slipway.encoders import load_encoder

    encoder = load_encoder(load_collection(project.collections, NAME).encoder, Embed(device="cpu"))
    found: set[str] = set()
    for some in _some(texts):
        hits = reader.search_batch(encoder.encode_documents(some), K)
        found.update(hit.document_id for row in hits for hit in row)
    return found


def _some(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[start : start + QUERIES_AT_ONCE] for start in range(0, len(texts), QUERIES_AT_ONCE))


def _rows(project: Project, chunks: Manifest, scratch: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    return read_batches(fetch_parts(project.store, chunks, "chunks", scratch), columns)
