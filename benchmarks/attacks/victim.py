"""Releases to attack: real text, small indexes of each kind, signed; one that serves, and one that is to be spoiled."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
import shutil
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway import layout
from slipway.index import artifact
from slipway.index.build import build, write
from slipway.index.spec import Spec
from slipway.manifest import MANIFEST, Draft, Manifest
from slipway.pointer import Serving, read_serving
from slipway.run import Run
from slipway.signing import new_key, private_key
from slipway.stages.release import release
from slipway.storage.local import LocalStore

SPECS = ("Flat", "HNSW16", "IVF16,PQ8x4fs,Refine(SQ8)")
DIMENSION = 32
DOCUMENTS = 300
OLD, NEW = slice(0, DOCUMENTS), slice(100, 100 + DOCUMENTS)  # of the texts
MODULES = "argparse ast asyncio collections csv datetime decimal email fractions functools heapq http inspect io json "
MODULES += "logging math os pathlib pickle random re shutil socket sqlite3 statistics string subprocess tempfile "
MODULES += "threading time typing unittest urllib.parse urllib.request uuid zipfile"
Vectors = npt.NDArray[np.float32]


class RemoteStore(LocalStore):
    """A folder that a reader must fetch from, as from S3."""

    def local_path(self, key: str) -> Path | None:  # type: ignore[override]
        return None


@dataclass(frozen=True, slots=True)
class Victim:
    """A collection in `folder`, in which `old` serves and `new` is sealed; `key` is the private key of both."""

    folder: Path
    old: str
    new: str
    key: str

    @property
    def public_key(self) -> str:
        """What readers are given."""
        return private_key(self.key).public_text

    def place(self, release_id: str) -> Path:
        """A release's folder."""
        return self.folder / layout.release(release_id)

    def manifest(self, release_id: str) -> dict[str, Any]:
        """A release's manifest, as JSON."""
        made: dict[str, Any] = json.loads((self.place(release_id) / MANIFEST).read_bytes())
        return made

    def object(self, release_id: str, name: str) -> Path:
        """The file of an object of an intact release."""
        return self.folder / Manifest.from_json(*self._sealed(release_id)).one(name).key

    def _sealed(self, release_id: str) -> tuple[bytes, str]:
        key = f"{layout.release(release_id)}/{MANIFEST}"
        return (self.folder / key).read_bytes(), key

    def copied(self, folder: Path) -> Victim:
        """The same in another folder."""
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)


@lru_cache(maxsize=1)
def texts() -> list[tuple[str, str]]:
    """Names and docstrings of the standard library, in the order of their names."""
    found: dict[str, str] = {}
    for module in map(importlib.import_module, MODULES.split()):
        for name, value in inspect.getmembers(module, lambda value: inspect.isroutine(value) or inspect.isclass(value)):
            text = inspect.getdoc(value) or ""
            if len(text) > 80:
                found.setdefault(f"{module.__name__}.{name}", text[:1500])
    return sorted(found.items())


@cache
def _direction(word: str) -> Vectors:
    return np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIMENSION).astype(np.float32)


def encode(text: str) -> Vectors:
    """A unit vector of a text's words: texts that share words are near."""
    total = np.sum([_direction(word) for word in re.findall(r"\w+", text.lower())], axis=0, dtype=np.float32)
    return np.asarray(total / np.linalg.norm(total), dtype=np.float32)


def make_victim(folder: Path, factory: str, scratch: Path) -> Victim:
    """Build both releases with that index, sign them, and put the first live."""
    from tests.support.releases import PASSED, a_run, an_evaluation

    key, _ = new_key()
    described = {"name": "none", "folder": "/model", "dimension": DIMENSION, "max_tokens": 256}
    run = a_run(LocalStore(folder), scratch, encoder=described, release={"signing": "signing_key"})
    run = replace(run, secrets=lambda _name: key)
    names = []
    for part in (NEW, OLD):
        candidate = _candidate(run, factory, texts()[part])
        queries = np.stack([encode(text) for _, text in texts()[part][:6]])
        evaluation = an_evaluation(run, candidate, queries)
        generation = read_serving(run.store)[0].generation
        names.append(release(run, candidate, evaluation, PASSED, generation, "tester", "a release").release_id)
        run = replace(run, run_id=f"{run.run_id}+")
    return Victim(folder, old=names[1], new=names[0], key=key)


def _candidate(run: Run, factory: str, documents: list[tuple[str, str]]) -> Manifest:
    name = hashlib.sha256(f"{factory} {documents[0][0]}".encode()).hexdigest()[:16]
    draft = Draft(run.store, layout.candidate(name), "index", name)
    folder = run.scratch / name
    folder.mkdir(parents=True)
    vectors = np.stack([encode(text) for _, text in documents])
    spec = Spec(factory, "inner_product", 1, "named for the attack")
    write(build(vectors, spec, 100_000, 40), folder / artifact.INDEX)
    _write_arrow(folder / artifact.DOCUMENTS, _documents(documents))
    _write_arrow(folder / artifact.ROWS, _rows(documents))
    for part in (artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS):
        draft.add_file(part, folder / part)
    draft.add_json(artifact.ENCODER, {"fingerprint": "e" * 16, **run.collection.encoder.model_dump(mode="json")})
    facts = {
        "spec": {"factory": factory, "metric": "inner_product", "seed": 1, "reason": spec.reason},
        "dimension": DIMENSION,
        "encoder": "e" * 16,
        "candidate": draft.place,
    }
    counts = {"vectors": len(documents), "documents": len(documents), "index_bytes": 1}
    return draft.seal(counts, facts)


def _documents(documents: list[tuple[str, str]]) -> pa.Table:
    columns = {
        "document_id": [name for name, _ in documents],
        "title": [name for name, _ in documents],
        "text": [text for _, text in documents],
        "metadata": ["{}" for _ in documents],
    }
    return pa.table(columns, artifact.DOCUMENTS_SCHEMA)


def _rows(documents: list[tuple[str, str]]) -> pa.Table:
    columns = {
        "chunk_hash": [hashlib.sha256(text.encode()).hexdigest()[:32] for _, text in documents],
        "documents": [[number] for number in range(len(documents))],
        "starts": [[0] for _ in documents],
        "ends": [[len(text)] for _, text in documents],
    }
    return pa.table(columns, artifact.ROWS_SCHEMA)


def _write_arrow(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def naming_new(victim: Victim, number: int) -> Serving:
    """The state after a release of `new`, `number` changes later than it was made; readers follow it upwards only."""
    now, _ = read_serving(LocalStore(victim.folder))
    body = (victim.place(victim.new) / MANIFEST).read_bytes()
    after = now.promoted(victim.new, hashlib.sha256(body).hexdigest())
    at = (datetime(2100, 1, 1, tzinfo=UTC) + timedelta(seconds=number)).isoformat()
    return replace(after, generation=now.generation + 1 + number, nonce=f"{number:016x}", at=at)
