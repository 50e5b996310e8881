"""Smoke queries: a few searches whose answers travel with the release, so that a reader can prove what it loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.errors import CorruptObject, ReleaseRefused
from slipway.index.artifact import SMOKE
from slipway.serving.searcher import Searcher

K = 5
SCORE_TOLERANCE = 1e-3  # processors differ in the last bits of a dot product
_LARGEST = float(np.finfo(np.float32).max)
MIN_SHARED = 0.8  # of the expected documents, since nearly equal scores may change places


def smoke_queries(
    searcher: Searcher, vectors: npt.NDArray[np.float32], texts: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Query vectors with the documents and scores that the searcher gives for them now."""
    queries = []
    for number, vector in enumerate(vectors):
        hits = searcher.search(vector[None, :], K)[0]
        queries.append(
            {
                "text": texts[number] if texts else None,
                "vector": [float(value) for value in vector],
                "documents": [hit.document_id for hit in hits],
                "scores": [hit.score for hit in hits],
            }
        )
    return queries


def read_smoke_queries(body: bytes, dimension: int) -> list[dict[str, Any]]:
    """The smoke queries as a release holds them, for vectors of that dimension. Raises `CorruptObject`.

    There is at least one and each expects a document, so that a release always proves something.
    """
    try:
        queries: list[dict[str, Any]] = json.loads(body)
        sound = isinstance(queries, list) and len(queries) > 0 and all(_is_sound(one, dimension) for one in queries)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise CorruptObject(f"{SMOKE} does not hold smoke queries: {error!r}") from error
    if not sound:
        raise CorruptObject(f"{SMOKE} does not hold smoke queries of dimension {dimension} with what they find")
    return queries


def _is_sound(query: dict[str, Any], dimension: int) -> bool:
    vector, documents, scores = query["vector"], query["documents"], query["scores"]
    numbers = isinstance(vector, list) and isinstance(scores, list) and all(map(_is_float32, [*vector, *scores]))
    names = isinstance(documents, list) and all(isinstance(name, str) for name in documents)
    return numbers and names and len(vector) == dimension and 0 < len(documents) == len(scores)


def _is_float32(value: Any) -> bool:
    return abs(float(value)) <= _LARGEST  # which no NaN is


def run_smoke_queries(searcher: Searcher, queries: Sequence[dict[str, Any]]) -> int:
    """Search all smoke queries and compare. Returns how many; raises `ReleaseRefused` naming the first that differs."""
    for number, query in enumerate(queries):
        vector = np.asarray(query["vector"], dtype=np.float32)[None, :]
        hits = searcher.search(vector, K)[0]
        shared = len({hit.document_id for hit in hits} & set(query["documents"]))
        if shared < MIN_SHARED * len(query["documents"]):
            expected = ", ".join(query["documents"][:3])
            got = ", ".join(hit.document_id for hit in hits[:3]) or "nothing"
            raise ReleaseRefused(
                f"smoke query {number} found {got}; expected {expected}: the index is not the one that was judged"
            )
        if not np.allclose(
            [hit.score for hit in hits[:1]], query["scores"][:1], atol=SCORE_TOLERANCE, rtol=SCORE_TOLERANCE
        ):
            raise ReleaseRefused(
                f"smoke query {number} scored {hits[0].score:.5f}; expected {query['scores'][0]:.5f}: the vectors are "
                f"not those that were judged"
            )
    return len(queries)
