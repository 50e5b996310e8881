"""What an index takes is known before it is built: its file, and the peak while it is built."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slipway.errors import IndexRefused
from slipway.index.build import build, write
from slipway.index.memory import estimate, merge_bytes
from slipway.index.spec import Spec

DIMENSION, VECTORS, WITHIN = 64, 6_000, 0.15
MIB = 1 << 20
# Vectors are made as they are read, so that only the index and its building count.
PEAK = """
import json, resource, sys
import faiss, numpy
from slipway.index.build import build
from slipway.index.spec import Spec

class Made:
    def __init__(self, count, dimension):
        self.shape = (count, dimension)
    def __len__(self):
        return self.shape[0]
    def __getitem__(self, rows):
        count = len(range(*rows.indices(len(self)))) if isinstance(rows, slice) else len(rows)
        return numpy.random.default_rng(1).standard_normal((count, self.shape[1]), dtype=numpy.float32)

factory, count, dimension, most = json.loads(sys.argv[1])
faiss.omp_set_num_threads(1)
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
build(Made(count, dimension), Spec(factory, "inner_product", 1, ""), most, 8)
# not ru_maxrss, which a process inherits from the one that started it
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(int(peak.split()[1]) * 1024 - before)
"""


def spec(factory: str) -> Spec:
    return Spec(factory, "inner_product", 1, "")


@pytest.mark.parametrize(
    "factory",
    [
        "Flat",
        "SQ8",
        "SQ4",
        "SQfp16",
        "PQ8x4",
        "PQ16x4fs",
        "RaBitQ",
        "HNSW16",
        "HNSW32_SQ8",
        "PCA32,HNSW16_SQ8,Refine(SQfp16)",
        "IVF16,Flat",
        "IVF16,PQ16x4fs,RFlat",
        "IVF16,RaBitQfs,Refine(SQ8)",
        "IVF16_HNSW8,SQ8",
    ],
)
def test_the_size_of_the_file_is_right(factory: str, tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).standard_normal((VECTORS, DIMENSION), dtype=np.float32)
    write(build(vectors, spec(factory), 2_000, 8), tmp_path / "index")
    expected = estimate(spec(factory), VECTORS, DIMENSION, 2_000)
    assert expected.index_bytes == pytest.approx((tmp_path / "index").stat().st_size, rel=WITHIN)
    assert expected.resident_bytes >= expected.index_bytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from Linux's counters")
@pytest.mark.parametrize(
    ("factory", "vectors", "dimension", "train_vectors"),
    [
        ("Flat", 100_000, 512, 1_000),
        ("IVF64,SQ8", 300_000, 384, 100_000),
        ("IVF64,PQ16x4fs,RFlat", 200_000, 256, 60_000),
        ("PCA64,HNSW8,RFlat", 70_000, 512, 20_000),
        ("OPQ64_256,IVF64,PQ64x4fs,Refine(SQ8)", 150_000, 512, 100_000),
        ("IVF16,PQ16", 90_000, 256, 80_000),
    ],
)
def test_the_peak_while_it_is_built_is_right(factory: str, vectors: int, dimension: int, train_vectors: int) -> None:
    question = json.dumps([factory, vectors, dimension, train_vectors])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", PEAK, question], capture_output=True, text=True, check=True, env=environment
    )
    expected = estimate(spec(factory), vectors, dimension, train_vectors).build_bytes
    assert expected > 200 * MIB
    assert expected == pytest.approx(int(answer.stdout), rel=WITHIN)


def test_training_counts_where_it_is_the_peak() -> None:
    few, many = (estimate(spec("IVF64,PQ16x4fs"), 1_000_000, 64, sample) for sample in (10_000, 999_999))
    assert many.build_bytes == many.train_bytes > few.build_bytes == few.add_bytes
    assert many.index_bytes == few.index_bytes


def test_a_sample_of_all_vectors_is_no_copy_of_them() -> None:
    all_of_them, drawn = (estimate(spec("IVF64,SQ8"), 300_000, 384, sample) for sample in (300_000, 299_999))
    assert drawn.train_bytes - all_of_them.train_bytes == pytest.approx(299_999 * 384 * 4, abs=MIB)


@pytest.mark.parametrize("factory", ["PCA96,Flat", "PCAR128,IVF4,SQ8", "OPQ16_64,IVF4,PQ16x4fs"])
def test_a_transform_counts_with_all_that_it_keeps(factory: str, tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).standard_normal((800, 384), dtype=np.float32)
    write(build(vectors, spec(factory), 500, 8), tmp_path / "index")
    assert estimate(spec(factory), 800, 384, 500).index_bytes == pytest.approx(
        (tmp_path / "index").stat().st_size, rel=WITHIN
    )


def test_a_merge_counts_what_is_packed_in_memory_and_the_places_of_lists() -> None:
    """Measured peaks of 240,000 vectors: under 2 MiB of an index of 119, and 6 of one of 123, 5.5 of them lists."""
    assert merge_bytes(spec("IVF64,Flat"), 240_000, 128, 80_000) < MIB
    packed = merge_bytes(spec("IVF64,PQ32x4fs,RFlat"), 240_000, 128, 40_000)
    assert packed == pytest.approx(5.5 * MIB, rel=WITHIN)
    assert merge_bytes(spec("IVF64,PQ32x4fs,RFlat"), 480_000, 128, 80_000) - packed == pytest.approx(
        240_000 * 24, rel=WITHIN
    )
    fewer, more = (merge_bytes(spec("IVF4096,Flat"), 10**6, 128, 10**6 // pieces) for pieces in (10, 20))
    assert more - fewer == 10 * 4096 * 160


@pytest.mark.parametrize("factory", ["IVF16,FlatPanorama4", "PCA32,IVF16,FlatPanorama4"])
def test_a_spec_whose_size_is_not_known_is_refused(factory: str) -> None:
    with pytest.raises(IndexRefused, match="not known"):
        estimate(spec(factory), 1_000, DIMENSION, 1_000)
