"""What is measured of a candidate, and the two samples that most of it is measured on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

VECTORS, NEIGHBOURS, TEXTS, REJECTS = "vectors", "neighbours", "texts", "rejects"
GROUPS = (VECTORS, NEIGHBOURS, TEXTS, REJECTS)


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a candidate. `before` is the live release's, `threshold` what raises the alarm, where there is one.

    `threshold` is what `value` itself must pass, or, where there is a `before`, what it must differ from that by.
    `value` is None where it could not be measured; `says` is a sentence that tells what was seen, against what.
    """

    name: str
    group: str
    value: float | None
    says: str
    before: float | None = None
    threshold: float | None = None
    alarm: bool = False

    def as_json(self) -> dict[str, Any]:
        """As it stands in a record, with six digits behind the point; None for what is not a number, as in JSON."""
        numbers = {name: _rounded(getattr(self, name)) for name in ("value", "before", "threshold")}
        return {**asdict(self), **numbers}


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 6)


@dataclass(frozen=True, slots=True)
class Document:
    """A document as a snapshot holds it; `metadata` is its JSON object."""

    document_id: str
    title: str
    text: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn of a collection's state: documents; and vectors (n, dimension) float32 with their chunk hashes.

    `name` says what it is a sample of, for sentences: "release 20260131T021500-1a2b3c4d". `encoder` is the fingerprint
    of the vectors' space, `rows` how many rows are known in the snapshot, and `rejected` how many of them were turned
    away, by reason.
    """

    name: str
    documents: Sequence[Document]
    hashes: Sequence[str]
    vectors: npt.NDArray[np.float32]
    encoder: str
    rows: int
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rules:
    """How certain an alarm must be: the error rate of each, and the permutations that calibrate it, drawn by `seed`."""

    alpha: float = 0.001
    permutations: int = 1_999
    seed: int = 1


def percent(share: float) -> str:
    """12.4 %, for sentences."""
    return f"{share:.1%}".replace("%", " %")
