"""vectors → candidate: an index with everything that a reader needs, not yet judged; updated where that is enough."""

from __future__ import annotations

import logging

from slipway import layout
from slipway.building.origin import origin_of
from slipway.building.updating import attempt, facts_of
from slipway.building.whole import build
from slipway.building.work import Made, Work, write_documents, write_rows
from slipway.index import artifact, payload, written
from slipway.index.build import write
from slipway.index.drift import Built
from slipway.index.spec import resolve
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
    `removed` and `triggers`. Raises `IndexRefused`.
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
    run, encoder = work.run, work.origin.encoder
    fresh, rows = work.folder / "fresh.arrow", work.folder / artifact.ROWS
    documents, live = write_documents(run, chunks, work.folder / artifact.DOCUMENTS), write_rows(run, chunks, fresh)
    vectors = payload.gather(run.store, encoder, fresh, work.folder / "vectors.npy", run.scratch)
    spec = resolve(run.collection.index, len(vectors), vectors.shape[1])
    tried = attempt(work, fresh, vectors, spec)
    if tried.index is not None and work.origin.base is not None:
        made, total, built = tried.index, tried.rows, Built(**work.origin.base.facts["built"])
    else:
        logger.info("index: built anew: %s", tried.reason)
        fresh.replace(rows)
        made, built = build(work, rows, vectors, spec)
        total = live
    write(made, work.folder / artifact.INDEX)
    work.draft.add_file(artifact.INDEX, work.folder / artifact.INDEX)
    work.add_objects()
    counts = {"vectors": live, "rows": total, "tombstones": total - live, "documents": documents}
    facts = {
        "spec": {"factory": spec.factory, "metric": spec.metric, "seed": spec.seed, "reason": spec.reason},
        "dimension": int(vectors.shape[1]),
        "encoder": encoder,
        written.FACT: written.faiss_version(),
        "built": built.as_json(),
        "update": facts_of(tried, work.origin.base),
    }
    return Made({**counts, "index_bytes": (work.folder / artifact.INDEX).stat().st_size}, facts)
