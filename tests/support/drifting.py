"""Samples of a made-up collection: two subjects of documents, whose vectors lie in two clouds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.drift import Document, Sample

Vectors = npt.NDArray[np.float32]
DIMENSION = 32
SPACE = "e" * 16
ENGLISH = "The harbour master wrote down the name of every ship that came in with the morning tide"
GERMAN = "Der Hafenmeister schrieb die Namen aller Schiffe auf, die mit der Morgenflut hereinkamen"


def unit(vectors: npt.NDArray[Any]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def cloud(count: int, subject: int = 0, seed: int = 0) -> Vectors:
    """Unit vectors around a subject's middle, (count, DIMENSION) float32."""
    middle = np.random.default_rng(1_000 + subject).normal(size=DIMENSION)
    return unit(middle + 2 * np.random.default_rng([seed, subject]).normal(size=(count, DIMENSION)))


def documents(count: int, first: int = 0, text: str = ENGLISH, **metadata: Any) -> list[Document]:
    """Documents whose texts differ and are of some tens to some hundreds of characters."""
    return [
        Document(f"api:{number:05d}", f"Title {number}", f"{number}. {text}. " * (1 + number % 7), metadata)
        for number in range(first, first + count)
    ]


def sample(
    vectors: Vectors,
    held: list[Document] | None = None,
    *,
    name: str = "the candidate",
    encoder: str = SPACE,
    rows: int = 10_000,
    rejected: Mapping[str, int] | None = None,
) -> Sample:
    """A sample whose chunk hashes are those of its vectors, so that equal vectors are known as one."""
    hashes = [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in vectors]
    return Sample(name, held or documents(len(vectors)), hashes, vectors, encoder, rows, rejected or {})
