"""Bringing an index up to date instead of building it anew, unless a trigger speaks against it.

A graph takes new vectors and keeps those of removed rows, since other rows are reached through them. An inverted file
takes new vectors under the quantiser that it was trained with, and loses removed ones; a refinement above it only
grows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from slipway.config.index import IndexUpdate
from slipway.index.anatomy import blocks, check_rows, inverted_file, lists, packed_lists, refinement, searched
from slipway.index.artifact import ROWS_SCHEMA, live_rows, open_arrow
from slipway.index.build import ADD_STEP, read, sampled
from slipway.index.drift import ERROR_SAMPLE, PROBES, Built, Trigger, error_growth, imbalance, probe_recall
from slipway.index.live import findable
from slipway.index.payload import Continued, continue_rows
from slipway.index.spec import Spec

logger = logging.getLogger("slipway")

Vectors = npt.NDArray[np.float32]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Base:
    """The index that an update begins with: its files, and what was measured when it was built."""

    index: Path
    rows: Path
    built: Built


@dataclass(slots=True)
class Attempt:
    """An update, or why there is none: `index` is None then, and `reason` says why.

    `added` and `removed` count chunk texts against the base; `triggers` are those that were computed, in order.
    """

    index: Any | None = None
    reason: str = ""
    rows: int = 0
    added: int = 0
    removed: int = 0
    triggers: list[Trigger] = field(default_factory=list)


def update(
    base: Base,
    fresh: Path,
    vectors: Vectors,
    spec: Spec,
    settings: IndexUpdate,
    rows: Path,
    scratch: Path,
    progress: Progress = lambda added: None,
    step: int = ADD_STEP,
) -> Attempt:
    """The index of `base` with the rows of `fresh`, a rows.arrow in chunk hash order whose vectors are `vectors`.

    Writes the updated rows.arrow to `rows`; adds vectors `step` at once. The triggers are computed in the order of what
    they cost, and the first that fires ends the attempt: the index has to be built anew then. Raises `CorruptObject`
    when index and rows of the base do not belong together.
    """
    continued = continue_rows(fresh, base.rows, rows, scratch, revive=spec.is_hnsw)
    new = continued.appended
    attempt = Attempt(rows=continued.rows, added=len(new) + continued.revived, removed=len(continued.gone))
    if _fired(attempt, triggers_before(continued, base.built, spec, settings)):
        return attempt
    index = read(base.index)
    check_rows(index, live_rows(open_arrow(base.rows, ROWS_SCHEMA)))
    if _fired(attempt, _errors(index, vectors, new, base.built, spec, settings)):
        return attempt
    try:
        remove(index, continued.gone)
        append(index, vectors, new, continued.base, progress, step)
    except RuntimeError as error:
        attempt.reason = f"FAISS cannot update {spec.factory}: {str(error).strip().splitlines()[-1][-200:]}"
        logger.warning("index update: %s", attempt.reason)
        return attempt
    if _fired(attempt, _after(index, vectors, fresh, continued, base.built, spec, settings)):
        return attempt
    attempt.index = index
    attempt.reason = f"{attempt.added:,} texts came and {attempt.removed:,} went; no trigger fired"
    logger.info("index update: %s", attempt.reason)
    return attempt


def first_fired(triggers: Iterable[Trigger]) -> Trigger | None:
    """The first trigger that fires; those behind it are not computed."""
    return next((trigger for trigger in triggers if trigger.fired), None)


def _fired(attempt: Attempt, triggers: Iterable[Trigger]) -> bool:
    """Compute triggers one by one up to the first that fires; says and keeps each."""
    for trigger in triggers:
        attempt.triggers.append(trigger)
        logger.info("index update: %s", trigger)
        if trigger.fired:
            attempt.reason = str(trigger)
            return True
    return False


def triggers_before(continued: Continued, built: Built, spec: Spec, settings: IndexUpdate) -> Iterable[Trigger]:
    """What the rows alone tell: the share of tombstones, and seconds of an update against those of a build."""
    alive = len(continued.numbers)
    yield Trigger("tombstone_share", round(1 - alive / continued.rows, 6), settings.tombstone_share)
    training = max(built.seconds - built.seconds_per_vector * built.vectors, 0.0)
    seconds = len(continued.appended) * built.seconds_per_vector * _dearer(continued.rows, built, spec)
    yield Trigger("cost", round(seconds, 6), round(training + alive * built.seconds_per_vector, 6))


def _dearer(rows: int, built: Built, spec: Spec) -> float:
    """How much dearer a vector is to add than it was on average when the index was built.

    A graph's cost of one more vector grows with the logarithm of its size, whose mean while it grew was one less.
    """
    return math.log(max(rows, 3)) / max(math.log(built.vectors) - 1, 1) if spec.is_hnsw else 1.0


def _errors(
    index: Any, vectors: Vectors, new: npt.NDArray[np.int64], built: Built, spec: Spec, settings: IndexUpdate
) -> Iterable[Trigger]:
    chosen = new[sampled(len(new), ERROR_SAMPLE, spec.seed)]
    growth = error_growth(index, np.ascontiguousarray(vectors[chosen]), built)
    if growth is not None:
        yield Trigger("error_growth", round(growth, 6), settings.error_growth)


def _after(
    index: Any,
    vectors: Vectors,
    fresh: Path,
    continued: Continued,
    built: Built,
    spec: Spec,
    settings: IndexUpdate,
) -> Iterable[Trigger]:
    """What only the updated index tells."""
    now = imbalance(index)
    if now is not None and built.imbalance:
        yield Trigger("imbalance", round(now / built.imbalance, 6), settings.imbalance)
    hashes = open_arrow(fresh, ROWS_SCHEMA)["chunk_hash"][:PROBES].to_pylist()
    found = probe_recall(index, spec, vectors, hashes, findable(index, continued.live), continued.numbers)
    yield Trigger("recall_loss", round(built.probe_recall - found, 6), settings.recall_loss)


def remove(index: Any, rows: npt.NDArray[np.int64]) -> None:
    """Take rows out of an inverted file; a graph keeps their vectors. Raises RuntimeError where FAISS cannot."""
    ivf = inverted_file(index)
    if ivf is None or not len(rows):
        return
    searched(index).remove_ids(faiss.IDSelectorBatch(rows))
    packed = packed_lists(ivf)
    if packed is not None:
        _clear_ends(ivf, packed)


def append(
    index: Any,
    vectors: Vectors,
    positions: npt.NDArray[np.int64],
    first: int,
    progress: Progress = lambda added: None,
    step: int = ADD_STEP,
) -> None:
    """Add `vectors[positions]` under the row numbers from `first` on, `step` at once. Raises RuntimeError."""
    for start in range(0, len(positions), step):
        chosen = positions[start : start + step]
        _add(index, np.ascontiguousarray(vectors[chosen]), first + start)
        progress(start + len(chosen))


def _add(index: Any, vectors: Vectors, first: int) -> None:
    if inverted_file(index) is None:
        index.add(vectors)
        return
    searched(index).add_with_ids(vectors, np.arange(first, first + len(vectors)))
    kept = refinement(index)
    if kept is not None:
        kept.add(vectors)
        index.ntotal = kept.ntotal


def _clear_ends(ivf: Any, packed: Any) -> None:
    """Blank the unused places in the last block of each list.

    FAISS 1.15 leaves codes of moved vectors there, and packs new ones over them bit by bit, so that the new vectors get
    codes of nobody.
    """
    blank = np.zeros(packed.packer.code_size, dtype=np.uint8)
    for number, rows in lists(ivf):
        used = len(rows) % packed.n_per_block
        last = blocks(packed, number)[-1:]
        for place in range(used, packed.n_per_block if used else 0):
            packed.packer.pack_1(blank, place, last)
