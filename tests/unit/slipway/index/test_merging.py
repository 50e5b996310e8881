import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slipway.errors import DiskFull
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

MERGING = """
import threading, time
from pathlib import Path
from slipway.building.bounded import own_memory
from slipway.index.build import read
from slipway.index.merging import Piece, merge
folder, peak, ended = Path({folder!r}), 0, threading.Event()
before = own_memory()
def look():
    global peak
    while not ended.is_set():
        peak = max(peak, own_memory() - before)
        time.sleep(0.001)
looking = threading.Thread(target=look)
looking.start()
pieces = [Piece(read(folder / str(first), mapped=True), None) for first in (0, 30_000)]
merge(read(folder / "trained"), pieces, folder / "merged")
ended.set()
looking.join()
print(peak)
"""


def shard(trained: Path, folder: Path, first: int, rows: int) -> Piece:
    """A shard's piece as another process gets it: written, and read again."""
    piece = piece_of(read(trained), VECTORS[first : first + rows], first)
    write(piece.lists, folder / f"lists-{first}")
    if piece.refinement is None:
        return Piece(read(folder / f"lists-{first}", mapped=True), None)
    write(piece.refinement, folder / f"refinement-{first}")
    return Piece(read(folder / f"lists-{first}", mapped=True), read(folder / f"refinement-{first}", mapped=True))


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("factory", MERGED)
def test_merged_shards_are_the_single_build_byte_for_byte(factory: str, metric: str, tmp_path: Path) -> None:
    wanted = spec(factory, metric)
    write(train(VECTORS, wanted, 10_000, 40), tmp_path / "trained")
    single = read(tmp_path / "trained")
    assert why_apart(single) == ""
    add(single, VECTORS, wanted)
    write(single, tmp_path / "single")
    pieces = [shard(tmp_path / "trained", tmp_path, first, rows) for first, rows in ((0, 301), (301, 1), (302, 598))]
    merge(read(tmp_path / "trained"), pieces, tmp_path / "merged")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "single").read_bytes()
    assert [file for file in tmp_path.iterdir() if file.suffix] == []


def test_lists_that_are_mostly_empty_are_written_as_faiss_writes_them(tmp_path: Path) -> None:
    wanted = spec("IVF64,Flat")
    write(train(VECTORS, wanted, 10_000, 40), tmp_path / "trained")
    single = read(tmp_path / "trained")
    add(single, VECTORS[:20], wanted)
    write(single, tmp_path / "single")
    pieces = [shard(tmp_path / "trained", tmp_path, first, 10) for first in (0, 10)]
    merge(read(tmp_path / "trained"), pieces, tmp_path / "merged")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "single").read_bytes()


def test_rows_are_copied_from_file_to_file(tmp_path: Path) -> None:
    """Peak of the memory that no file backs, sampled: a part of the index's 30 MB."""
    vectors = np.random.default_rng(1).standard_normal((60_000, 128), dtype=np.float32)
    wanted = spec("IVF8,Flat")
    write(train(vectors, wanted, 1_000, 40), tmp_path / "trained")
    for first in (0, 30_000):
        write(piece_of(read(tmp_path / "trained"), vectors[first : first + 30_000], first).lists, tmp_path / f"{first}")
    code = MERGING.format(folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (tmp_path / "merged").stat().st_size > 30_000_000
    assert int(done.stdout) < 8 << 20


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    write(train(VECTORS, spec("IVF8,PQ4x4fs,RFlat"), 10_000, 40), tmp_path / "trained")
    pieces = [shard(tmp_path / "trained", tmp_path, 0, 900)]
    (tmp_path / "merged.codes").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="free some, then run again"):
        merge(read(tmp_path / "trained"), pieces, tmp_path / "merged")


def test_a_projection_in_front_differs_in_rounding_only(tmp_path: Path) -> None:
    wanted = spec("PCA8,IVF8,Flat")
    write(train(VECTORS, wanted, 10_000, 40), tmp_path / "trained")
    single = read(tmp_path / "trained")
    add(single, VECTORS, wanted)
    pieces = [shard(tmp_path / "trained", tmp_path, first, 450) for first in (0, 450)]
    merge(read(tmp_path / "trained"), pieces, tmp_path / "merged")
    together = read(tmp_path / "merged", mapped=True)
    expected, found = single.search(VECTORS[:50], 5), together.search(VECTORS[:50], 5)
    assert np.allclose(expected[0], found[0], atol=1e-5)
    assert np.array_equal(expected[1][:, 0], found[1][:, 0])


@pytest.mark.parametrize(
    ("factory", "named"),
    [
        ("HNSW8", "only inverted files"),
        ("Flat", "only inverted files"),
        ("IVF8,RaBitQfs", "IndexIVFRaBitQFastScan"),
        ("IVF8,SQ8,Refine(PQ4x4)", "IndexPQ"),
    ],
)
def test_what_faiss_cannot_merge_is_named(factory: str, named: str) -> None:
    assert named in why_apart(train(VECTORS, spec(factory), 10_000, 40))
