"""The chosen index of all vectors, confirmed on held-out queries; the next in order where it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from slipway.choosing.choice import FACT, Choice, choose
from slipway.choosing.subject import Subject
from slipway.errors import IndexRefused
from slipway.index import artifact
from slipway.index.contract import Confirmed, Made, confirm
from slipway.index.live import findable, nearest
from slipway.index.spec import Spec

MOST_BUILT = 3  # indexes of all vectors, before the contract is refused

logger = logging.getLogger("slipway.contract")


class Indexed(Protocol):
    """An index of all vectors: in memory, and as files."""

    @property
    def index(self) -> Any:
        """The FAISS index."""
        ...

    @property
    def rows(self) -> Path:
        """Its rows.arrow."""
        ...

    @property
    def size_bytes(self) -> int:
        """Of its file."""
        ...

    @property
    def build_seconds(self) -> float:
        """Wall time of building it anew."""
        ...


Kind = TypeVar("Kind", bound=Indexed)
Make = Callable[[Spec, bool], Kind]
"""Makes an index of all vectors by a spec; the second argument: whether the live one may be updated to it."""


@dataclass(frozen=True, slots=True)
class Kept(Generic[Kind]):
    """An index that keeps the contract, its spec, and what is sealed of that as facts of a candidate."""

    indexed: Kind
    spec: Spec
    facts: dict[str, Any]


def keep(subject: Subject, make: Make[Kind]) -> Kept[Kind]:
    """The index that the contract leads to, made by `make` and confirmed on queries that nothing was tuned on.

    Where last night's choice is not confirmed or cannot be built, the whole search is made again; where one that was
    tried is not, the next in order is built, at most `MOST_BUILT` of them. An index is let go before the next is built.
    Raises `IndexRefused` when none is confirmed, and `MemoryExceeded`.
    """
    refused: list[str] = []
    for choice, spec in _in_order(subject):
        kept = _built(subject, choice, spec, make, refused)
        if kept is not None:
            return kept
    raise IndexRefused(
        f"the contract {subject.contract} was kept in trials on a sample and not by an index of all "
        f"{len(subject.vectors):,} vectors on {len(subject.queries().held_out)} held-out queries "
        f"({subject.queries().source}): {', '.join(refused)}. Give up a little of the clause that is broken in "
        "index.contract, or add tuning queries"
    )


def _built(subject: Subject, choice: Choice, spec: Spec, make: Make[Kind], refused: list[str]) -> Kept[Kind] | None:
    """The index of this spec, if it is confirmed; else None, with the reason added to `refused`.

    Nothing but what is returned holds the index, so that a refused one is out of memory when the next is made.
    """
    try:
        indexed = make(spec, not refused)
    except IndexRefused as error:
        refused.append(f"{spec.factory} ({error})")
        logger.warning("index contract: %s cannot be built: %s", spec.factory, error)
        return None
    found = confirm(_made(subject, indexed, spec), subject.queries(), subject.settings)
    if found.kept:
        logger.info("index contract: %s is confirmed: %s", spec.factory, _told(found))
        return Kept(indexed, spec, _facts(subject, choice, spec, found))
    refused.append(f"{spec.factory} ({'; '.join(found.broken)})")
    logger.warning("index contract: %s is not confirmed: %s", spec.factory, "; ".join(found.broken))
    return None


def _in_order(subject: Subject) -> Iterator[tuple[Choice, Spec]]:
    choice = choose(subject)
    if choice.is_warm:
        yield choice, choice.spec
        choice = choose(subject, anew=True)
    for spec in choice.specs[:MOST_BUILT]:
        yield choice, spec


def _made(subject: Subject, indexed: Indexed, spec: Spec) -> Made:
    rows = artifact.open_rows(indexed.rows)
    mask = artifact.live_rows(rows)
    live = findable(indexed.index, mask)
    return Made(
        index=indexed.index,
        spec=spec,
        vectors=subject.vectors,
        numbers=_in_hash_order(rows, mask),
        search=lambda queries, count: nearest(indexed.index, live, queries, count),
        size_bytes=indexed.size_bytes,
        build_seconds=indexed.build_seconds,
    )


def _in_hash_order(rows: Any, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Row numbers of the live rows in chunk hash order, which is that of the vectors."""
    numbers = np.flatnonzero(mask)
    order: npt.NDArray[np.uint64] = pc.sort_indices(rows["chunk_hash"].take(numbers)).to_numpy()
    return np.asarray(numbers[order.astype(np.int64)], dtype=np.int64)


def _told(found: Confirmed) -> str:
    return f"recall@10 {found.recall_at_10:.3f} on {found.queries} held-out queries, p95 {found.p95_ms:.3g} ms"


def _facts(subject: Subject, choice: Choice, spec: Spec, found: Confirmed) -> dict[str, Any]:
    carried = {name: choice.facts[name] for name in ("settings", "front", "vectors", "queries", "how", "why")}
    return {
        "choice": choice.place,
        FACT: {
            "clauses": subject.contract.model_dump(mode="json"),
            "spec": spec.factory,
            "reason": spec.reason,
            "confirmed": found.as_json(),
            **carried,
        },
    }
