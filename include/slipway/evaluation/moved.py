"""The queries that lost and won most between the live release and a candidate, with the texts of what moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from slipway.evaluation.golden import GoldenQuery
from slipway.index import artifact
from slipway.serving.searcher import snippet

MOST = 25  # losers, and winners
SNIPPET = 200  # characters


@dataclass(frozen=True, slots=True)
class Answered:
    """One query with what both systems found for it, best first, and candidate − live of its nDCG@10."""

    query: GoldenQuery
    candidate: Sequence[str]
    live: Sequence[str]
    difference: float


class Documents:
    """The documents of a candidate or a release, mapped from its documents.arrow."""

    def __init__(self, path: Path) -> None:
        self._table = artifact.open_arrow(path, artifact.DOCUMENTS_SCHEMA)

    def held(self, document_ids: Iterable[str]) -> set[str]:
        """Those of the given ids that are there."""
        return set(self._places(document_ids))

    def described(self, document_ids: Iterable[str]) -> dict[str, dict[str, str]]:
        """{"title", "snippet"} of the documents that are there, by id."""
        return {
            name: {
                "title": self._table["title"][place].as_py(),
                "snippet": snippet(self._table["text"][place].as_py()[: 4 * SNIPPET], SNIPPET - 2),
            }
            for name, place in self._places(document_ids).items()
        }

    def _places(self, document_ids: Iterable[str]) -> dict[str, int]:
        wanted = sorted(set(document_ids))
        places = pc.index_in(pa.array(wanted, pa.string()), value_set=self._table["document_id"].combine_chunks())
        return {name: place for name, place in zip(wanted, places.to_pylist(), strict=True) if place is not None}


def moved(answered: Sequence[Answered], candidate: Documents, live: Documents) -> dict[str, list[dict[str, Any]]]:
    """`losers` and `winners`, the largest difference first, at most `MOST` each; queries of equal nDCG are neither."""
    losers = sorted((one for one in answered if one.difference < 0), key=lambda one: one.difference)[:MOST]
    winners = sorted((one for one in answered if one.difference > 0), key=lambda one: -one.difference)[:MOST]
    shown = {name for one in [*losers, *winners] for name in _shown(one)}
    texts = live.described(shown) | candidate.described(shown)
    return {"losers": [_entry(one, texts) for one in losers], "winners": [_entry(one, texts) for one in winners]}


def _shown(one: Answered) -> list[str]:
    """Documents that are judged, or found by either system at another rank than by the other; best rank first."""
    ranks = _ranks(one.candidate), _ranks(one.live)
    known = {*one.query.relevant, *one.candidate, *one.live}
    kept = [name for name in known if name in one.query.relevant or ranks[0].get(name) != ranks[1].get(name)]
    return sorted(kept, key=lambda name: (min(its.get(name, len(known) + 1) for its in ranks), name))


def _entry(one: Answered, texts: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    candidate, live = _ranks(one.candidate), _ranks(one.live)
    return {
        "query_id": one.query.query_id,
        "query": one.query.query,
        "slice": one.query.slice,
        "difference": round(one.difference, 6),
        "documents": [
            {
                "document_id": name,
                **texts.get(name, {"title": "", "snippet": ""}),
                "grade": one.query.relevant.get(name),
                "rank_live": live.get(name),
                "rank_candidate": candidate.get(name),
            }
            for name in _shown(one)
        ],
    }


def _ranks(found: Sequence[str]) -> dict[str, int]:
    return {name: rank for rank, name in enumerate(found, 1)}
