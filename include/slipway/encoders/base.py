"""The encoder port: text in, unit vectors of one space out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from slipway.errors import EncoderError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from slipway.encoders.batches import Batch

    Vectors = npt.NDArray[np.float32]


class Unsuitable(EncoderError):
    """A backend cannot compute a model here, and will not before something is installed, or the model is another.

    Other failures may be of the moment, such as of a full disk or memory.
    """


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


class Engine(Protocol):
    """What turns token ids into vectors on one device. `dtype` is what it computes in, such as "float32"."""

    backend: str
    device: str
    dtype: str
    batch_tokens: int  # of a batch, padding included, that suit it

    def run(self, batches: Sequence[Batch], put: Callable[[Batch, Vectors], None]) -> None:
        """Compute every batch and hand its vectors, (texts, dimension) float32 of unit norm, to `put`, in any order.

        When the device runs out of memory, its error is raised; batches that `put` was called with are done. Safe from
        any thread. `put` may be called by other threads, one after another.
        """
        ...
