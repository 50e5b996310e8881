"""vectors → candidate: an index with everything that a reader needs, not yet judged; updated where that is enough."""

from __future__ import annotations

import logging
import shutil

from slipway import layout
from slipway.building import sharded, whole
from slipway.building.deciding import in_shards
from slipway.building.origin import origin_of
from slipway.building.updating import attempt, facts_of
from slipway.building.work import FRESH, Finished, Made, Work, write_documents, write_rows
from slipway.index import artifact, written
from slipway.index.drift import Built
from slipway.index.spec import Spec, resolve
from slipway.index.update import Attempt
from slipway.manifest import Draft, Manifest
from slipway.run import Run

logger = logging.getLogger("slipway")


def index(run: Run, chunks: Manifest) -> Manifest:
    """The candidate for these chunks: the live release's index brought up to date, or one built anew.

    Skipped when it is there already, or when a release that serving.json names was made from the same: then its
    candidate is returned, so that a night without changes makes nothing, and what was withdrawn stays so.

    Counts: `vectors` (live), `rows`, `tombstones`, `documents`, `index_bytes`. Facts: the `spec` with its reason, seed
    and metric, the `dimension`, the `encoder` (fingerprint), the version of `faiss` that wrote the index, the
    `snapshot`, the `recipe` (what the index depends on), its own place as `candidate`, what was measured when it was
    `built` (slipway.index.drift.Built), and `update`: `kind` (built or updated), `reason`, `base` (release), `added`,
    `removed` and `triggers`; and where it was built in shards, `shards`: how many as `built_in`, the place of the
    `build`, and why they are served `apart` (empty: they were merged). Raises `IndexRefused` and `MemoryExceeded`.
    """
    origin = origin_of(run, chunks)
    if origin.made:
        return origin.made
    place = layout.candidate(origin.fingerprint)
    draft = Draft(run.store, place, "index", origin.fingerprint, {"chunks": chunks.digest})
    work = Work(run, draft, run.scratch / f"index-{draft.attempt}", origin)
    work.folder.mkdir(parents=True)
    made = _make(work, chunks)
    facts = {"recipe": origin.recipe, "candidate": place, "snapshot": chunks.facts["snapshot"], **made.facts}
    return draft.seal(made.counts, facts)


def _make(work: Work, chunks: Manifest) -> Made:
    """Write the candidate's objects: by an update of the origin's base, or else by building."""
    run = work.run
    fresh = work.folder / FRESH
    documents, live = write_documents(run, chunks, work.folder / artifact.DOCUMENTS), write_rows(run, chunks, fresh)
    spec = resolve(run.collection.index, live, run.collection.encoder.dimension)
    tried = attempt(work, spec)
    made = _updated(work, tried) if tried.index is not None else _built_anew(work, spec, live, tried.reason)
    work.add_objects()
    counts = {"vectors": live, "rows": made.rows, "tombstones": made.rows - live, "documents": documents}
    facts = {
        "spec": {"factory": spec.factory, "metric": spec.metric, "seed": spec.seed, "reason": spec.reason},
        "dimension": run.collection.encoder.dimension,
        "encoder": work.origin.encoder,
        written.FACT: written.faiss_version(),
        "built": made.built.as_json(),
        "update": facts_of(tried, work.origin.base),
    }
    return Made({**counts, "index_bytes": made.index_bytes}, {**facts, **made.facts})


def _updated(work: Work, tried: Attempt) -> Finished:
    base = work.origin.base
    assert base is not None  # what else was updated
    return Finished(Built(**base.facts["built"]), tried.rows, work.add_index(tried.index), {})


def _built_anew(work: Work, spec: Spec, rows: int, reason: str) -> Finished:
    logger.info("index: built anew: %s", reason)
    shutil.copyfile(work.folder / FRESH, work.folder / artifact.ROWS)
    return sharded.finish(work, spec) if in_shards(work.run, rows) else whole.build(work, spec)
