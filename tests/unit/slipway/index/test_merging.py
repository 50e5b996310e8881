import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from slipway.errors import DiskFull, MemoryExceeded
from slipway.index import merging
from slipway.index.build import add, read, read_rows, train, write
from slipway.index.memory import merge_bytes
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
from slipway.index.build import read, read_rows
from slipway.index.merging import Piece, merge
folder, peak, ended = Path({folder!r}), 0, threading.Event()
before = own_memory()
def look():
    global peak
    while not ended.is_set():
        peak = max(peak, own_memory() - before)
        time.sleep(0.001)
looking = threading.Thread(target=look, daemon=True)
looking.start()
pieces = (Piece(read_rows(folder / str(first)), None) for first in {firsts})
merge(read(folder / "trained"), pieces, folder / "merged")
ended.set()
looking.join()
print(peak)
"""
TABLE = 12 << 20  # of the trained index, for searching; and buffers


def shard(trained: Path, folder: Path, first: int, rows: int) -> Piece:
    """A shard's piece as another process gets it: written, and read again."""
    piece = piece_of(read(trained), VECTORS[first : first + rows], first)
    write(piece.lists, folder / f"lists-{first}")
    if piece.refinement is None:
        return Piece(read_rows(folder / f"lists-{first}"), None)
    write(piece.refinement, folder / f"refinement-{first}")
    return Piece(read_rows(folder / f"lists-{first}"), read_rows(folder / f"refinement-{first}"))


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


@pytest.mark.parametrize("factory", ["IVF8,Flat", "IVF256,PQ32"])
def test_rows_are_copied_from_file_to_file(factory: str, tmp_path: Path) -> None:
    """Peak of the memory that no file backs, sampled. Searching such codes by L2 wants a table of 8 MiB a piece."""
    vectors = np.random.default_rng(1).standard_normal((60_000, 128), dtype=np.float32)
    wanted, firsts = spec(factory, "l2"), list(range(0, 60_000, 10_000))
    write(train(vectors, wanted, 1_000, 40), tmp_path / "trained")
    for first in firsts:
        write(piece_of(read(tmp_path / "trained"), vectors[first : first + 10_000], first).lists, tmp_path / f"{first}")
    code = MERGING.format(folder=str(tmp_path), firsts=firsts)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    assert int(done.stdout) < merge_bytes(wanted, 60_000, 128, 10_000) + TABLE


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    write(train(VECTORS, spec("IVF8,PQ4x4fs,RFlat"), 10_000, 40), tmp_path / "trained")
    pieces = [shard(tmp_path / "trained", tmp_path, 0, 900)]
    (tmp_path / "merged.codes").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="free some, then run again"):
        merge(read(tmp_path / "trained"), pieces, tmp_path / "merged")
    assert [file for file in tmp_path.iterdir() if file.suffix] == []


def test_a_disk_that_is_full_when_lists_are_joined_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Iterator[bytes]:
        yield b"ilar"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(merging, "_joined", full)
    write(train(VECTORS, spec("IVF8,PQ4x4fs,RFlat"), 10_000, 40), tmp_path / "trained")
    with pytest.raises(DiskFull, match="free some, then run again"):
        merge(read(tmp_path / "trained"), [shard(tmp_path / "trained", tmp_path, 0, 900)], tmp_path / "merged")
    assert [file for file in tmp_path.iterdir() if file.suffix] == []


@pytest.mark.parametrize(("allowed", "read_then"), [(1, 2), (3, 3)])
def test_too_much_memory_stops_it_before_the_index_is_written(allowed: int, read_then: int, tmp_path: Path) -> None:
    write(train(VECTORS, spec("IVF8,PQ4x4fs"), 10_000, 40), tmp_path / "trained")
    looks, pieces_read = iter(range(10)), []

    def check() -> None:
        if next(looks) >= allowed:
            raise MemoryExceeded("too much")

    def pieces() -> Iterator[Piece]:
        for first in (0, 300, 600):
            pieces_read.append(first)
            yield shard(tmp_path / "trained", tmp_path, first, 300)

    with pytest.raises(MemoryExceeded):
        merge(read(tmp_path / "trained"), pieces(), tmp_path / "merged", check)
    assert len(pieces_read) == read_then
    assert not (tmp_path / "merged").exists()


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
