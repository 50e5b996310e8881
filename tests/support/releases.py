"""Small indexes, candidates and releases of random vectors: no model, no text, a few milliseconds each."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway import layout
from slipway.config import Collection
from slipway.evaluation.gates import GateResult, Verdict
from slipway.index import artifact
from slipway.index.build import build, write
from slipway.index.spec import Spec
from slipway.manifest import Draft, Manifest, fingerprint
from slipway.pointer import read_serving
from slipway.run import Connection, Run
from slipway.serving.searcher import Searcher
from slipway.serving.smoke import smoke_queries
from slipway.stages.release import Released, release
from slipway.storage.base import ObjectStore

Vectors = npt.NDArray[np.float32]

DIMENSION = 16
PASSED = Verdict((GateResult("recall_at_10", 1.0, True, "recall_at_10 1: at least the minimum 0.9"),))
FAILED = Verdict(
    (
        GateResult("recall_at_10", 1.0, True, "recall_at_10 1: at least the minimum 0.9"),
        GateResult("ndcg_at_10", 0.1, False, "ndcg_at_10 0.1: under the minimum 0.3"),
    )
)


def unit_vectors(count: int, dimension: int = DIMENSION, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, dimension))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def clustered_vectors(count: int, dimension: int = DIMENSION, seed: int = 0, centres: int = 64) -> Vectors:
    """Unit vectors in clouds, as text has them: an index has something to learn."""
    random = np.random.default_rng(seed)
    middle = np.random.default_rng(99).normal(size=(centres, dimension))
    drawn = middle[random.integers(0, centres, count)] + 0.5 * random.normal(size=(count, dimension))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def spec(factory: str = "Flat", metric: str = "inner_product", seed: int = 1) -> Spec:
    return Spec(factory, metric, seed, "named in the test")


def write_files(
    folder: Path,
    vectors: Vectors,
    *,
    index_spec: Spec | None = None,
    owners: Sequence[Sequence[int]] | None = None,
    documents: int | None = None,
    prefix: str = "doc",
    metadata: Sequence[dict[str, Any]] | None = None,
) -> dict[str, Path]:
    """The files of an index, by name. `owners` holds the document ordinals of each row; without, row n is document n.

    Document n is called "<prefix>-0000n" and its text is "text of <prefix>-0000n", in which every passage is "text".
    Its metadata is {"number": n}, or what `metadata` has for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    owners = owners if owners is not None else [[row] for row in range(len(vectors))]
    count = documents if documents is not None else max(max(row) for row in owners) + 1
    files = {name: folder / name for name in (artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS)}
    write(build(vectors, index_spec or spec(), 100_000, 40), files[artifact.INDEX])
    rows = {
        "chunk_hash": [f"{row:032x}" for row in range(len(vectors))],
        "documents": list(owners),
        "starts": [[0] * len(row) for row in owners],
        "ends": [[4] * len(row) for row in owners],
    }
    names = [f"{prefix}-{number:05d}" for number in range(count)]
    texts = {
        "document_id": names,
        "title": [f"Title of {name}" for name in names],
        "text": [f"text of {name}" for name in names],
        "metadata": [json.dumps(metadata[number] if metadata else {"number": number}) for number in range(count)],
    }
    write_arrow(files[artifact.ROWS], pa.table(rows, artifact.ROWS_SCHEMA))
    write_arrow(files[artifact.DOCUMENTS], pa.table(texts, artifact.DOCUMENTS_SCHEMA))
    return files


def write_arrow(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=64)


def a_searcher(folder: Path, vectors: Vectors, parameters: dict[str, int] | None = None, **files: Any) -> Searcher:
    return Searcher(write_files(folder, vectors, **files), parameters or {})


def a_run(store: ObjectStore, scratch: Path, run_id: str = "run-1", **fields: Any) -> Run:
    values: dict[str, Any] = {
        "name": "test",
        "sources": [{"name": "api", "kind": "lake", "path": "/lake", "id": "id", "text": "{body}"}],
        "encoder": {"name": "none", "folder": "/model", "dimension": DIMENSION, "max_tokens": 256},
    }
    return Run(Collection.model_validate(values | fields), store, run_id, scratch, _no_connection)


def again(run: Run, run_id: str) -> Run:
    """The same collection and store in another run."""
    return replace(run, run_id=run_id)


def a_candidate(run: Run, seed: int = 0, count: int = 40, encoder: str = "e" * 16, **files: Any) -> Manifest:
    """A sealed candidate of random vectors; the same seed gives the same candidate."""
    name = fingerprint("test", seed, count, encoder)
    draft = Draft(run.store, layout.candidate(name), "index", name)
    folder = run.scratch / f"candidate-{secrets.token_hex(4)}"
    dimension = run.collection.encoder.dimension
    vectors = unit_vectors(count, dimension, seed)
    for part, path in write_files(folder, vectors, prefix=f"seed{seed}", **files).items():
        draft.add_file(part, path)
    described = {"fingerprint": encoder, **run.collection.encoder.model_dump(mode="json")}
    draft.add_json(artifact.ENCODER, described)
    facts = {
        "spec": {"factory": "Flat", "metric": "inner_product", "seed": 1, "reason": "named in the test"},
        "dimension": dimension,
        "encoder": encoder,
        "snapshot": f"snapshots/{seed}",
        "candidate": draft.place,
    }
    return draft.seal({"vectors": count, "documents": count, "index_bytes": 1}, facts)


def an_evaluation(run: Run, candidate: Manifest, vectors: Vectors | None = None, **metrics: float) -> Manifest:
    """A sealed evaluation of a candidate, with smoke queries it really answers."""
    folder = run.scratch / f"evaluation-{secrets.token_hex(4)}"
    files = {}
    for sealed in candidate.objects:
        files[sealed.name] = folder / sealed.name
        run.store.download(sealed.key, files[sealed.name])
    searcher = Searcher(files, {})
    name = fingerprint("test", candidate.digest, metrics)
    draft = Draft(run.store, layout.evaluation(name), "evaluate", name, {"candidate": candidate.digest})
    asked = unit_vectors(4, searcher.dimension, seed=7) if vectors is None else vectors
    draft.add_json(artifact.SMOKE, smoke_queries(searcher, asked))
    facts = {"metrics": {"recall_at_10": 1.0} | metrics, "parameters": {}, "parameters_reason": "", "golden": None}
    return draft.seal(dict(candidate.counts), facts)


def publish(run: Run, seed: int = 0, **candidate: Any) -> Released:
    """Make a release of random vectors live."""
    made = a_candidate(run, seed, **candidate)
    generation = read_serving(run.store)[0].generation
    return release(run, made, an_evaluation(run, made), PASSED, generation, "tester", "because")


def _no_connection(name: str) -> Connection:
    raise LookupError(name)
