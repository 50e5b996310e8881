"""Vectors of English Wikipedia paragraphs to index, and paragraphs apart from them to ask for; kept by content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slipway.manifest import fingerprint

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder

Vectors = npt.NDArray[np.float32]
CHUNK = 2_000  # paragraphs that are embedded and kept at a time: what a kill costs at most


@dataclass(frozen=True, slots=True)
class Corpus:
    """Vectors (n, d) and queries (q, d), float32 of unit norm, none of which is in both; `what` tells what they are."""

    vectors: Vectors
    queries: Vectors
    what: str


def paragraphs(file: Path) -> list[str]:
    """The distinct paragraphs of a corpus.parquet, in an order drawn with a fixed seed: any beginning is a sample."""
    import pyarrow.parquet as pq

    texts = sorted(set(pq.read_table(file, columns=["text"])["text"].to_pylist()))
    return [texts[place] for place in np.random.default_rng(1).permutation(len(texts))]


def embedded(file: Path, cache: Path, vectors: int, queries: int, tokens: int, root: Path) -> Corpus:
    """The first `queries` paragraphs as queries, and at most `vectors` of the next, cut to so many tokens each."""
    from slipway.config.load import named_encoder
    from slipway.encoders import load_encoder

    encoder = named_encoder(root / "include/collections", "minilm").model_copy(update={"max_tokens": tokens})
    texts = paragraphs(file)[: vectors + queries]
    made = kept(texts, load_encoder(encoder), cache)
    what = (
        f"{len(made) - queries:,} distinct paragraphs of English Wikipedia, the first {tokens} tokens of each, MiniLM"
    )
    return Corpus(made[queries:], made[:queries], what)


def kept(texts: list[str], encoder: TextEncoder, cache: Path) -> Vectors:
    """The texts' vectors, from the cache where they are in it: a file for each CHUNK texts, named by their content."""
    cache.mkdir(parents=True, exist_ok=True)
    return np.concatenate(
        [_chunk(texts[start : start + CHUNK], encoder, cache) for start in range(0, len(texts), CHUNK)]
    )


def _chunk(texts: list[str], encoder: TextEncoder, cache: Path) -> Vectors:
    place = cache / f"vectors-{fingerprint(encoder.fingerprint, texts)}.npy"
    if not place.is_file():
        half_written = place.with_suffix(".part.npy")
        np.save(half_written, encoder.encode_documents(texts))
        half_written.replace(place)
    vectors: Vectors = np.load(place)
    return vectors


def drawn(vectors: Vectors, count: int, seed: int) -> Vectors:
    """`count` vectors, normal with the mean and covariance of `vectors`, cut to unit length: (count, d).

    They have the real spread over directions, and so the real cost of telling them apart, but no clusters.
    """
    random = np.random.default_rng(seed)
    factor = np.linalg.cholesky(np.cov(vectors, rowvar=False) + 1e-9 * np.eye(vectors.shape[1])).astype(np.float32)
    mean = vectors.mean(axis=0)
    made = np.empty((count, vectors.shape[1]), np.float32)
    for start in range(0, count, 65_536):
        block = random.standard_normal((min(65_536, count - start), vectors.shape[1]), dtype=np.float32)
        block = block @ factor.T + mean
        made[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return made


def made_up(vectors: int, queries: int, dimension: int, seed: int) -> Corpus:
    """Vectors of a random covariance that falls off as those of texts do: to try the commands without data."""
    random = np.random.default_rng(seed)
    shape = random.standard_normal((dimension * 4, dimension)) / np.sqrt(1 + np.arange(dimension))
    made = drawn(shape.astype(np.float32), vectors + queries, seed)
    return Corpus(made[queries:], made[:queries], f"{vectors:,} made-up vectors of dimension {dimension}")
