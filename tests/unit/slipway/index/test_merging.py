import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from slipway.index.build import add, read, train, write
from slipway.index.merging import Piece, merge, piece_of, why_apart
from tests.support.releases import clustered_vectors, spec

VECTORS = clustered_vectors(900)
MERGED = [
    "IVF8,Flat",
    "IVF8,SQ8",
    "IVF8,PQ4x4",
    "IVF8,PQ4x4fs",
    "IVF8,PQ4x4fsr,Refine(SQ8)",
    "IVF8,PQ4x4fs,RFlat",
    "OPQ4,IVF8,PQ4x4fs,Refine(SQfp16)",
    "IVF8,RaBitQ,Refine(SQ8)",
    "IVF8_HNSW8,Flat",
]


def shard(trained: Path, folder: Path, first: int, rows: int) -> Piece:
    """A shard's piece as another process gets it: written, and read again."""
    piece = piece_of(read(trained), VECTORS[first : first + rows], first)
    write(piece.lists, folder / f"lists-{first}")
    if piece.refinement is None:
        return Piece(read(folder / f"lists-{first}"), None)
    write(piece.refinement, folder / f"refinement-{first}")
    return Piece(read(folder / f"lists-{first}"), read(folder / f"refinement-{first}"))


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("factory", MERGED)
def test_merged_shards_are_the_single_build_byte_for_byte(factory: str, metric: str, tmp_path: Path) -> None:
    wanted = spec(factory, metric)
    write(train(VECTORS, wanted, 10_000, 40), tmp_path / "trained")
    single = read(tmp_path / "trained")
    assert why_apart(single) == ""
    add(single, VECTORS, wanted)
    write(single, tmp_path / "single")
    pieces = (shard(tmp_path / "trained", tmp_path, first, rows) for first, rows in ((0, 301), (301, 1), (302, 598)))
    write(merge(read(tmp_path / "trained"), pieces), tmp_path / "merged")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "single").read_bytes()


@pytest.mark.parametrize("factory", ["IVF8,Flat", "IVF8,PQ4x4fs,RFlat"])
def test_a_piece_is_let_go_before_the_next_is_read(factory: str, tmp_path: Path) -> None:
    write(train(VECTORS, spec(factory), 10_000, 40), tmp_path / "trained")
    read_before: list[weakref.ref[object]] = []

    def pieces() -> Iterator[Piece]:
        for first in (0, 300, 600):
            assert [ref for ref in read_before if ref() is not None] == []
            made = shard(tmp_path / "trained", tmp_path, first, 300)
            read_before.append(weakref.ref(made.lists))
            yield made
            del made

    assert merge(read(tmp_path / "trained"), pieces()).ntotal == 900
    assert len(read_before) == 3


def test_a_projection_in_front_differs_in_rounding_only(tmp_path: Path) -> None:
    wanted = spec("PCA8,IVF8,Flat")
    write(train(VECTORS, wanted, 10_000, 40), tmp_path / "trained")
    single = read(tmp_path / "trained")
    add(single, VECTORS, wanted)
    pieces = (shard(tmp_path / "trained", tmp_path, first, 450) for first in (0, 450))
    together = merge(read(tmp_path / "trained"), pieces)
    expected, found = single.search(VECTORS[:50], 5), together.search(VECTORS[:50], 5)
    assert np.allclose(expected[0], found[0], atol=1e-5)
    assert np.array_equal(expected[1][:, 0], found[1][:, 0])


@pytest.mark.parametrize(
    ("factory", "named"),
    [
        ("HNSW8", "inverted files only"),
        ("Flat", "inverted files only"),
        ("IVF8,RaBitQfs", "IndexIVFRaBitQFastScan"),
        ("IVF8,SQ8,Refine(PQ4x4)", "IndexPQ"),
    ],
)
def test_what_faiss_cannot_merge_is_named(factory: str, named: str) -> None:
    assert named in why_apart(train(VECTORS, spec(factory), 10_000, 40))
