"""Batches of about equal cost: texts sorted by length, as many as fit a budget of tokens, padding included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts that are computed at once, padded to the longest.

    `rows` says where their vectors belong: (texts,). `ids` are token ids and `mask` is 1 for tokens and 0 for padding:
    (texts, length), all int64.
    """

    rows: Integers
    ids: Integers
    mask: Integers


def cut(lengths: Sequence[int], budget: int) -> list[Integers]:
    """Which texts go together: positions in `lengths`, longest texts first, so that what is too large shows at once.

    A batch's number of texts times its longest length is at most `budget`; a longer text is a batch of its own.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    batches, start = [], 0
    while start < len(order):
        texts = max(1, budget // max(1, lengths[order[start]]))
        batches.append(order[start : start + texts])
        start += texts
    return batches


def padded(rows: Integers, tokens: Sequence[npt.NDArray[np.int32]], pad: int) -> Batch:
    """The batch of those rows of `tokens`, each text's ids; `pad` is the id of padding."""
    length = max(1, *(len(tokens[row]) for row in rows))
    ids = np.full((len(rows), length), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(tokens[row])] = tokens[row]
        mask[place, : len(tokens[row])] = 1
    return Batch(rows, ids, mask)
