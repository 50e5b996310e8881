"""Which documents a sample holds."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from slipway import tables
from slipway.agreement import Live
from slipway.evaluation.golden import GoldenQuery
from slipway.manifest import Manifest, load
from slipway.parts import fetch_parts
from slipway.records import SNAPSHOT
from slipway.run import Run

SEED = "sample 1"

_BOTH = "new JOIN old USING (document_id, content_hash)"
_JUDGED = f"SELECT document_id FROM {_BOTH} SEMI JOIN judged USING (document_id)"
_OTHERS = f"""
SELECT document_id FROM {_BOTH} ANTI JOIN judged USING (document_id)
ORDER BY md5(document_id || ' {SEED}'), document_id LIMIT $count
"""


def draw(run: Run, snapshot: Manifest, live: Live, queries: Sequence[GoldenQuery], count: int) -> set[str]:
    """Ids of documents that the snapshot and the live release hold with the same content.

    All that the queries judge, and others in the order of a seeded hash, up to `count` where the judged are fewer.
    """
    judged = sorted({document for query in queries for document in query.relevant})
    released = load(run.store, live.manifest.facts["snapshot"])
    with tables.duck(run.scratch) as session:
        for name, one in (("new", snapshot), ("old", released)):
            tables.view(session, name, fetch_parts(run.store, one, "documents", run.scratch), SNAPSHOT)
        session.register("judged", pa.table({"document_id": pa.array(judged, pa.string())}))
        found = {name for (name,) in session.execute(_JUDGED).fetchall()}
        others = session.execute(_OTHERS, {"count": max(0, count - len(found))}).fetchall()
    return found | {name for (name,) in others}
