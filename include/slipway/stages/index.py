"""vectors → candidate: an index with everything that a reader needs, not yet judged; updated where that is enough."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway import choosing, layout
from slipway.config.collection import Shards
from slipway.encoders import find_model
from slipway.index import artifact, drift, payload, written
from slipway.index.build import add, train, write
from slipway.index.drift import Built
from slipway.index.live import Live
from slipway.index.spec import Spec, resolve
from slipway.index.update import Attempt, Base, update
from slipway.manifest import Draft, Manifest, fetch, find, fingerprint, load, sha256_of
from slipway.parts import fetch_parts
from slipway.run import Run
from slipway.serving.catalogue import named_releases

NOT_CONFIRMED = "last night's index did not keep the contract"
VERSION = 2  # raise it when the same chunks and settings would give another index

logger = logging.getLogger("slipway")


def index(run: Run, chunks: Manifest) -> Manifest:
    """The candidate for these chunks: the live release's index brought up to date, or one built anew.

    Skipped when it is there already, or when a release that serving.json names was made from the same: then its
    candidate is returned, so that a night without changes makes nothing, and what was withdrawn stays so.

    Counts: `vectors` (live), `rows`, `tombstones`, `documents`, `index_bytes`. Facts: the `spec` with its reason, seed
    and metric, the `dimension`, the `encoder` (fingerprint), the version of `faiss` that wrote the index, the
    `snapshot`, the `recipe` (what the index depends on), its own place as `candidate`, what was measured when it was
    `built` (slipway.index.drift.Built), and `update`: `kind` (built or updated), `reason`, `base` (release), `added`,
    `removed` and `triggers`. With an index contract also `contract` (the clauses, the front of what was tried, what was
    confirmed on held-out queries) and `choice`, where that is sealed (slipway.choosing). Raises `IndexRefused`.
    """
    described = _described(run)
    recipe = _recipe(run, chunks, described)
    releases = named_releases(run.store)
    if known := _known(run, recipe, releases):
        return known
    base, reason = _base(run, str(described["fingerprint"]), releases)
    print_of = fingerprint(recipe, base.fingerprint) if base else recipe
    if sealed := find(run.store, layout.candidate(print_of)):
        return sealed
    draft = Draft(run.store, layout.candidate(print_of), "index", print_of, {"chunks": chunks.digest})
    work = _Work(run, draft, run.scratch / f"index-{draft.attempt}", described)
    work.folder.mkdir(parents=True)
    made = _make(work, chunks, base, reason, next(iter(releases.values()), None))
    facts = {"recipe": recipe, "candidate": draft.place, "snapshot": chunks.facts["snapshot"], **made.facts}
    return draft.seal(made.counts, facts)


def _described(run: Run) -> dict[str, Any]:
    encoder = run.collection.encoder
    return {"fingerprint": find_model(encoder).fingerprint, **encoder.model_dump(mode="json")}


def _recipe(run: Run, chunks: Manifest, described: Mapping[str, Any]) -> str:
    """Names everything that the index depends on. The chunks are named by the documents' contents: titles and metadata
    may change while every chunk stays as it is. The encoder's name and the triggers' limits shape no index.
    """
    asked = run.collection.index
    settings = asked.model_dump(mode="json", exclude={"search", "update", "build_memory"}, exclude_none=True)
    if asked.shards == Shards():
        del settings["shards"]  # as it was before there were shards
    golden = run.collection.golden if asked.contract else None  # its queries decide which index the contract leads to
    parts = [settings, asked.update.enabled, *([sha256_of(golden.queries)] if golden else [])]
    encoder = {name: value for name, value in described.items() if name != "name"}
    return fingerprint("index", VERSION, chunks.fingerprint, encoder, *parts)


def _known(run: Run, recipe: str, releases: Mapping[str, Manifest]) -> Manifest | None:
    """The candidate of a release of the same recipe, if it is still in the store."""
    for release_id, release in releases.items():
        if release.facts.get("recipe") == recipe and (found := find(run.store, release.facts["candidate"])):
            logger.info("index: nothing to do, release %s was made from the same documents", release_id)
            return found
    return None


def _base(run: Run, encoder: str, releases: Mapping[str, Manifest]) -> tuple[Manifest | None, str]:
    """The release to update, which is the live one; or None, and why the index is built anew."""
    settings = run.collection.index
    live = next(iter(releases.values()), None)
    if live is None:
        return None, "nothing is released yet"
    if not settings.update.enabled:
        return None, "index.update.enabled is false"
    if "built" not in live.facts:
        return None, "the live release holds no measurements to compare an update with"
    if live.facts["encoder"] != encoder:
        return None, "the live release was made by another encoder"
    spec, built = Spec(**live.facts["spec"]), Built(**live.facts["built"])
    if not spec.can_be_updated:
        return None, f"the live index is {spec.factory}, which is not updated"
    before = (spec.metric, spec.seed, built.ef_construction, built.train_vectors)
    if before != (settings.metric, settings.seed, settings.ef_construction, settings.train_vectors):
        return None, "index settings have changed since the live index was built"
    return live, ""


@dataclass(frozen=True, slots=True)
class _Work:
    """What the making of one candidate shares."""

    run: Run
    draft: Draft
    folder: Path
    described: Mapping[str, Any]

    def told(self, total: int) -> Any:
        """Called with how many vectors were added."""
        return lambda added: self.run.progress("index", added, total, "vectors")


@dataclass(slots=True)
class _Made:
    """What is sealed beside the objects."""

    counts: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Indexed:
    """An index of all vectors: in memory, and its files. `total` counts rows, tombstones included."""

    index: Any
    rows: Path
    total: int
    size_bytes: int
    built: Built
    attempt: Attempt

    @property
    def build_seconds(self) -> float:
        """Wall time of training and adding, when it was built anew."""
        return self.built.seconds


def _make(work: _Work, chunks: Manifest, base: Manifest | None, reason: str, live: Manifest | None) -> _Made:
    """Write the candidate's objects: by an update of `base`, or else by building, for `reason`."""
    run, encoder = work.run, str(work.described["fingerprint"])
    fresh = work.folder / "fresh.arrow"
    documents, passages = _write_payload(run, chunks, work.folder / artifact.DOCUMENTS, fresh)
    vectors = payload.gather(run.store, encoder, fresh, work.folder / "vectors.npy", run.scratch)

    def indexed(spec: Spec, may_update: bool) -> _Indexed:
        return _index(work, base if may_update else None, reason or NOT_CONFIRMED, fresh, vectors, spec)

    if run.collection.index.contract is None:
        spec = resolve(run.collection.index, len(vectors), vectors.shape[1])
        made, chosen = indexed(spec, True), dict[str, Any]()
    else:
        kept = choosing.keep(choosing.Subject(run, chunks, encoder, vectors, live), indexed)
        made, spec, chosen = kept.indexed, kept.spec, kept.facts
    _add_objects(work)
    counts = {"vectors": passages, "rows": made.total, "tombstones": made.total - passages, "documents": documents}
    facts = {
        "spec": {"factory": spec.factory, "metric": spec.metric, "seed": spec.seed, "reason": spec.reason},
        "dimension": int(vectors.shape[1]),
        "encoder": encoder,
        written.FACT: written.faiss_version(),
        "built": made.built.as_json(),
        "update": _update_facts(made.attempt, base),
        **chosen,
    }
    return _Made({**counts, "index_bytes": made.size_bytes}, facts)


def _index(
    work: _Work, base: Manifest | None, reason: str, fresh: Path, vectors: npt.NDArray[np.float32], spec: Spec
) -> _Indexed:
    """Write index and rows, by an update of `base` or else by building; what was written before is replaced."""
    rows = work.folder / artifact.ROWS
    attempt = _attempt(work, base, fresh, vectors, spec) if base else Attempt(reason=reason)
    if attempt.index is not None and base is not None:
        made, total, built = attempt.index, attempt.rows, Built(**base.facts["built"])
    else:
        logger.info("index: built anew: %s", attempt.reason)
        shutil.copyfile(fresh, rows)
        made, built = _build(work, rows, vectors, spec)
        total = len(vectors)
    file = work.folder / artifact.INDEX
    write(made, file)
    return _Indexed(made, rows, total, file.stat().st_size, built, attempt)


def _write_payload(run: Run, chunks: Manifest, documents: Path, rows: Path) -> tuple[int, int]:
    """Write documents.arrow, and rows.arrow as a new index has it. Returns how many of each."""
    snapshot = load(run.store, chunks.facts["snapshot"])
    snapshot_parts = fetch_parts(run.store, snapshot, "documents", run.scratch)
    chunk_parts = fetch_parts(run.store, chunks, "chunks", run.scratch)
    return (
        payload.write_documents(snapshot_parts, documents),
        payload.write_rows(chunk_parts, snapshot_parts, rows, run.scratch),
    )


def _attempt(work: _Work, base: Manifest, fresh: Path, vectors: npt.NDArray[np.float32], spec: Spec) -> Attempt:
    """Try to update the live release's index. Raises `CorruptObject` and `ObjectMissing` when it is not whole."""
    before, dimension = base.facts["spec"], base.facts["dimension"]
    if (before["factory"], dimension) != (spec.factory, vectors.shape[1]):
        now = f"{spec.factory} of dimension {vectors.shape[1]}"
        return Attempt(reason=f"the index is to be {now}, the live one is {before['factory']} of dimension {dimension}")
    run = work.run
    found = Base(
        index=fetch(run.store, base.one(artifact.INDEX), run.scratch),
        rows=fetch(run.store, base.one(artifact.ROWS), run.scratch),
        built=Built(**base.facts["built"]),
    )
    settings, rows = run.collection.index.update, work.folder / artifact.ROWS
    return update(found, fresh, vectors, spec, settings, rows, run.scratch, work.told(len(vectors)))


def _build(work: _Work, rows: Path, vectors: npt.NDArray[np.float32], spec: Spec) -> tuple[Any, Built]:
    """An index of all vectors, and what later updates are compared with."""
    settings = work.run.collection.index
    started = time.perf_counter()
    made = train(vectors, spec, settings.train_vectors, settings.ef_construction)
    trained = time.perf_counter()
    add(made, vectors, spec, work.told(len(vectors)))
    ended = time.perf_counter()
    hashes = artifact.open_arrow(rows, artifact.ROWS_SCHEMA)["chunk_hash"][: drift.PROBES].to_pylist()
    everything = Live(np.ones(len(vectors), dtype=bool), len(vectors))
    return made, Built(
        vectors=len(vectors),
        seconds=round(ended - started, 6),
        seconds_per_vector=(ended - trained) / len(vectors),
        imbalance=drift.imbalance(made),
        error=drift.error_of(made, vectors, spec.seed),
        probe_recall=drift.probe_recall(made, spec, vectors, hashes, everything, np.arange(len(vectors))),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ef_construction=settings.ef_construction,
        train_vectors=settings.train_vectors,
    )


def _add_objects(work: _Work) -> None:
    (work.folder / artifact.ENCODER).write_text(json.dumps(work.described))
    for name in (artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS, artifact.ENCODER):
        work.draft.add_file(name, work.folder / name)


def _update_facts(attempt: Attempt, base: Manifest | None) -> dict[str, Any]:
    return {
        "kind": "built" if attempt.index is None else "updated",
        "reason": attempt.reason,
        "base": base.fingerprint if base else None,
        "added": attempt.added,
        "removed": attempt.removed,
        "triggers": [trigger.as_json() for trigger in attempt.triggers],
    }
