"""vectors → candidate: an index with everything that a reader needs, not yet judged; updated where that is enough."""

from __future__ import annotations

import logging
import shutil
from typing import Any

from slipway import choosing, layout
from slipway.building import sharded, whole
from slipway.building.deciding import in_shards
from slipway.building.origin import origin_of
from slipway.building.updating import attempt, facts_of
from slipway.building.work import FRESH, Indexed, Made, Work, write_documents, write_rows
from slipway.index import artifact, written
from slipway.index.drift import Built
from slipway.index.spec import Spec, resolve
from slipway.index.update import Attempt
from slipway.manifest import Draft, Manifest
from slipway.run import Run

NOT_CONFIRMED = "last night's index did not keep the contract"

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
    confirmed on held-out queries) and `choice`, where that is sealed (slipway.choosing). Where it was built in shards,
    `shards`: how many as `built_in`, the place of the `build`, and why they are served `apart` (empty: they were
    merged). Raises `IndexRefused` and `MemoryExceeded`.
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
    run, origin = work.run, work.origin
    documents = write_documents(run, chunks, work.folder / artifact.DOCUMENTS)
    passages = write_rows(run, chunks, work.folder / FRESH)

    def indexed(spec: Spec, may_update: bool) -> Indexed:
        return _index(work, passages, spec, may_update)

    if run.collection.index.contract is None:
        spec = resolve(run.collection.index, passages, run.collection.encoder.dimension)
        made, chosen = indexed(spec, True), dict[str, Any]()
    else:
        kept = choosing.keep(choosing.Subject(run, chunks, origin.encoder, work.vectors(), origin.live), indexed)
        made, spec, chosen = kept.indexed, kept.spec, kept.facts
    made.add_to(work.draft)
    work.add_objects()
    counts = {"vectors": passages, "rows": made.total, "tombstones": made.total - passages, "documents": documents}
    facts = {
        "spec": {"factory": spec.factory, "metric": spec.metric, "seed": spec.seed, "reason": spec.reason},
        "dimension": run.collection.encoder.dimension,
        "encoder": origin.encoder,
        written.FACT: written.faiss_version(),
        "built": made.built.as_json(),
        "update": facts_of(made.attempt, origin.base),
        **made.facts,
        **chosen,
    }
    return Made({**counts, "index_bytes": made.size_bytes}, facts)


def _index(work: Work, passages: int, spec: Spec, may_update: bool) -> Indexed:
    """Write index and rows, by an update or else by building; what was written before is replaced."""
    tried = attempt(work, spec) if may_update else Attempt(reason=work.origin.reason or NOT_CONFIRMED)
    if tried.index is not None and work.origin.base is not None:
        built = Built(**work.origin.base.facts["built"])
        return Indexed(tried.index, work.rows, tried.rows, built, tried, work.written(tried.index))
    logger.info("index: built anew: %s", tried.reason)
    shutil.copyfile(work.folder / FRESH, work.rows)
    return sharded.finish(work, spec, tried) if in_shards(work.run, passages) else whole.build(work, spec, tried)
