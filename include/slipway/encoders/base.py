"""The encoder port: text in, unit vectors of one space out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]


class TextEncoder(Protocol):
    """A loaded model. `fingerprint` names its vector space; vectors of two fingerprints never mix.

    `backend` is what computes the vectors: "sentence-transformers", "torch", "openvino", "static" or "service".
    """

    fingerprint: str
    dimension: int
    device: str
    backend: str

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of chunks: (n, dimension) float32, unit norm, in the order of `texts`."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries: (n, dimension) float32, unit norm, in the order of `texts`."""
        ...
