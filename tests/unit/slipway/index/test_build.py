import gc
import platform
import resource
import struct
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from slipway.config.index import SearchParameters
from slipway.errors import IndexRefused
from slipway.index.anatomy import rotations
from slipway.index.build import (
    PER_CODEWORD,
    ROTATION_ROUNDS,
    add,
    build,
    make,
    read,
    set_parameters,
    train,
    training_sample,
    write,
)
from slipway.index.exact import exact_neighbours, recall
from slipway.index.spec import default_parameters
from tests.support.releases import Vectors, clustered_vectors, spec, unit_vectors

DIMENSION = 32


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clustered_vectors(3_000, DIMENSION)


@pytest.fixture(scope="module")
def queries() -> Vectors:
    return clustered_vectors(100, DIMENSION, seed=1)


FACTORIES = [
    "Flat",
    "HNSW16",
    "HNSW16,SQ8",
    "HNSW16,Flat,RFlat",
    "SQ8",
    "IVF16,SQ8",
    "IVF16,Flat",
    "IVF16_HNSW8,PQ8x4fs,RFlat",
    "IVF16(HNSW8),PQ8x4fs,Refine(SQ8)",
    "PCA24,IVF16,Flat,RFlat",
    "L2norm,HNSW16",
]


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("factory", FACTORIES)
def test_every_kind_of_index_finds_near_vectors_under_its_row_number(
    factory: str, metric: str, vectors: Vectors, queries: Vectors
) -> None:
    index = build(vectors, spec(factory, metric), 2_000, 40)
    assert (index.ntotal, index.d) == (len(vectors), DIMENSION)
    set_parameters(index, default_parameters(spec(factory), SearchParameters()))
    scores, rows = index.search(queries, 10)
    exact_scores, truth = exact_neighbours(vectors, queries, 10, metric)
    assert recall(rows, truth, 10) > 0.7
    better = np.diff(scores) <= 1e-6 if metric == "inner_product" else np.diff(scores) >= -1e-6
    assert better.all()
    assert abs(float(np.mean(scores - exact_scores))) < 0.1  # a similarity or a squared distance, not the other


def test_training_vectors_are_drawn_from_the_whole_and_by_the_seed() -> None:
    numbered = np.arange(10_000, dtype=np.float32)[:, None]
    drawn = training_sample(numbered, 500, seed=1)[:, 0]
    assert len(np.unique(drawn)) == 500
    assert (np.diff(drawn) > 0).all()
    assert abs(float(drawn.mean()) - 5_000) < 500
    assert drawn.max() > 9_500
    assert (drawn == training_sample(numbered, 500, seed=1)[:, 0]).all()
    assert (drawn != training_sample(numbered, 500, seed=2)[:, 0]).any()


def test_all_vectors_are_trained_on_when_they_are_few() -> None:
    vectors = unit_vectors(10)
    assert (training_sample(vectors, 10, seed=1) == vectors).all()


def test_an_index_trained_on_ordered_vectors_knows_the_last_ones_too() -> None:
    """The first rows alone would leave every list in the first cloud."""
    random = np.random.default_rng(5)
    clouds = np.repeat(random.normal(size=(8, 8)) * 10, 500, axis=0)
    vectors = (clouds + random.normal(size=clouds.shape)).astype(np.float32)
    index = build(vectors, spec("IVF16,Flat", "l2"), 400, 40)
    sizes = [index.invlists.list_size(number) for number in range(16)]
    assert max(sizes) <= 1_000


@pytest.mark.parametrize("factory", ["IVF16,Flat", "IVF16,PQ8x4fs,RFlat", "IVF16,SQ8", "PCA16,IVF16,PQ8x4fs"])
def test_equal_vectors_and_seed_give_an_ivf_index_of_equal_bytes(
    factory: str, vectors: Vectors, tmp_path: Path
) -> None:
    bodies = []
    for turn in ("first", "second"):
        write(build(vectors.copy(), spec(factory), 1_000, 40), tmp_path / turn)
        bodies.append((tmp_path / turn).read_bytes())
    assert bodies[0] == bodies[1]


def test_another_seed_gives_other_lists(vectors: Vectors) -> None:
    built = [build(vectors, spec("IVF16,Flat", seed=seed), 1_000, 40) for seed in (1, 2)]
    lists = [index.quantizer.reconstruct_n(0, 16) for index in built]
    assert not np.array_equal(*lists)


def test_vectors_may_be_mapped_and_are_added_in_steps(vectors: Vectors, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    seen: list[int] = []
    index = train(mapped, spec("IVF16,Flat"), 500, 40)
    add(index, mapped, spec("IVF16,Flat"), seen.append, step=700)
    assert seen == [700, 1_400, 2_100, 2_800, 3_000]
    set_parameters(index, {"nprobe": 16})
    assert (index.search(vectors, 1)[1][:, 0] == np.arange(3_000)).all()


def test_an_index_comes_back_from_its_file(vectors: Vectors, queries: Vectors, tmp_path: Path) -> None:
    index = build(vectors, spec("HNSW16"), 1, 40)
    write(index, tmp_path / "index.faiss")
    found = read(tmp_path / "index.faiss").search(queries, 10)
    assert (found[1] == index.search(queries, 10)[1]).all()


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("factory", ["IVF128,PQ8x4fs", "IVF128,PQ8x4", "IVF128,PQ8x4fs,Refine(SQ8)"])
def test_an_index_whose_tables_are_larger_than_its_file_is_read(
    factory: str, mapped: bool, vectors: Vectors, tmp_path: Path
) -> None:
    """Few vectors in many lists."""
    index = build(vectors[:300], spec(factory), 2_000, 40)
    write(index, tmp_path / "index.faiss")
    before = faiss.get_deserialization_vector_byte_limit()
    found = read(tmp_path / "index.faiss", mapped).search(vectors[:5], 3)
    assert np.array_equal(found[1], index.search(vectors[:5], 3)[1])
    assert faiss.get_deserialization_vector_byte_limit() == before


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("factory", FACTORIES)
def test_a_mapped_index_finds_what_a_loaded_one_does_also_when_its_file_is_gone(
    factory: str, metric: str, vectors: Vectors, queries: Vectors, tmp_path: Path
) -> None:
    write(build(vectors, spec(factory, metric), 2_000, 40), tmp_path / "index.faiss")
    loaded, mapped = read(tmp_path / "index.faiss"), read(tmp_path / "index.faiss", mapped=True)
    (tmp_path / "index.faiss").unlink()
    gc.collect()
    for expected, found in zip(loaded.search(queries, 10), mapped.search(queries, 10), strict=True):
        assert np.array_equal(expected, found)


MAPPING = """
import ctypes
import sys
from pathlib import Path
import numpy as np
from slipway.index.build import read

def anonymous():
    ctypes.CDLL(None).malloc_trim(0)  # what the imports freed is not there to be taken again unseen
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous")) * 1024

before = anonymous()
index = read(Path(sys.argv[1]), mapped=sys.argv[2] == "mapped")
assert index.search(np.zeros((1, 256), np.float32), 10)[1].shape == (1, 10)
print(anonymous() - before)
"""


@pytest.mark.skipif(
    not (Path("/proc/self/smaps_rollup").exists() and platform.libc_ver()[0] == "glibc"),
    reason="tells what is mapped, and gives freed memory back, on Linux with glibc only",
)
@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "IVF16,Flat"])
def test_a_mapped_index_holds_little_memory_of_its_own(factory: str, tmp_path: Path) -> None:
    size = 20_000 * 256 * 4
    write(build(unit_vectors(20_000, 256), spec(factory), 1_000, 8), tmp_path / "index.faiss")
    taken = {}
    for way in ("loaded", "mapped"):
        command = [sys.executable, "-c", MAPPING, str(tmp_path / "index.faiss"), way]
        taken[way] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert taken["loaded"] > size
    assert taken["mapped"] < size / 4


@pytest.mark.parametrize("factory", ["HNSW16", "PCA16,HNSW16", "HNSW16,Flat,RFlat", "HNSW16,SQ8"])
def test_the_construction_effort_reaches_the_graph(factory: str) -> None:
    whole = make(spec(factory), DIMENSION, 77)
    index = faiss.downcast_index(whole)
    while not hasattr(index, "hnsw"):
        index = faiss.downcast_index(index.index if hasattr(index, "index") else index.base_index)
    assert index.hnsw.efConstruction == 77


@pytest.mark.parametrize(
    ("factory", "cheap", "dear"),
    [
        ("HNSW4", {"efSearch": 10}, {"efSearch": 400}),
        ("PCA24,HNSW4,Flat,RFlat", {"efSearch": 10, "k_factor_rf": 1}, {"efSearch": 400, "k_factor_rf": 1}),
        ("IVF64,Flat", {"nprobe": 1}, {"nprobe": 16}),
        ("RR32,IVF64,Flat", {"nprobe": 1}, {"nprobe": 16}),
        ("IVF64_HNSW8,PQ8x4fs,RFlat", {"nprobe": 1, "k_factor_rf": 8}, {"nprobe": 32, "k_factor_rf": 8}),
        ("IVF64,PQ8x4fs,RFlat", {"nprobe": 64, "k_factor_rf": 1}, {"nprobe": 64, "k_factor_rf": 20}),
        ("PCA24,IVF64,PQ8x4fs,Refine(SQ8)", {"nprobe": 64, "k_factor_rf": 1}, {"nprobe": 64, "k_factor_rf": 20}),
    ],
)
def test_search_parameters_reach_the_index_inside(
    factory: str, cheap: dict[str, int], dear: dict[str, int], vectors: Vectors, queries: Vectors
) -> None:
    index = build(vectors, spec(factory), 3_000, 40)
    _, truth = exact_neighbours(vectors, queries, 10)
    found = []
    for parameters in (cheap, dear, cheap):
        set_parameters(index, parameters)
        found.append(recall(index.search(queries, 10)[1], truth, 10))
    assert found[1] > found[0] + 0.03
    assert found[2] == found[0]


@pytest.mark.parametrize(
    ("factory", "metric"),
    [
        ("Nonsense", "inner_product"),
        ("IVF16", "inner_product"),
        ("IVF16, PQ8", "inner_product"),
        ("IVF16,PQ7", "inner_product"),  # 7 does not divide 32
        ("IVF99999999999999,Flat", "inner_product"),
        ("PQ8x40", "inner_product"),
        ("LSH", "inner_product"),  # l2 only
        ("HNSW16_PQ8", "inner_product"),  # FAISS builds it for l2 without a word
        ("IDMap,Flat", "l2"),  # cannot be added to without ids
        ("IDMap2,Flat", "l2"),
    ],
)
def test_what_faiss_cannot_build_and_serve_is_refused_by_name(factory: str, metric: str) -> None:
    with pytest.raises(IndexRefused, match=r"correct index.spec, or use auto") as refused:
        make(spec(factory, metric), DIMENSION, 40)
    assert repr(factory) in str(refused.value)
    assert f"dimension {DIMENSION}" in str(refused.value)


def test_specs_that_would_end_the_process_are_refused() -> None:
    """In a process of its own, so that an abort is a failure of this test and not of the session."""
    hollow = ["HNSW0", "HNSW1", "IVF16_HNSW1,Flat", "IVF0,Flat", "PQ4x0", "NSG0", "PCA0,Flat"]
    program = (
        "from slipway.errors import IndexRefused\nfrom slipway.index.build import build\n"
        "from tests.support.releases import spec, unit_vectors\n"
        f"for factory in {hollow!r}:\n"
        "    try:\n        build(unit_vectors(600), spec(factory), 600, 40)\n"
        "    except IndexRefused as refused:\n        print(refused)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": PATH})
    assert done.returncode == 0, done.stderr
    refused = done.stdout.splitlines()
    assert [line.split("'")[1] for line in refused] == hollow
    assert all("needs at least 1 of everything it counts" in line for line in refused)


PATH = ":".join(str(Path(__file__).parents[4] / part) for part in ("include", ""))


@pytest.mark.parametrize("factory", ["OPQ7,PQ8", "PCA999,Flat"])
def test_what_fails_in_training_is_refused(factory: str) -> None:
    with pytest.raises(IndexRefused, match=rf"{factory} cannot be trained on 600 vectors"):
        build(unit_vectors(600), spec(factory), 1_000, 40)


def test_a_graph_that_does_not_fit_into_memory_is_refused() -> None:
    with pytest.raises(IndexRefused, match="HNSW99999999 cannot take 600 vectors"):
        build(unit_vectors(600), spec("HNSW99999999"), 1_000, 40)


def test_too_few_vectors_are_refused_before_anything_is_built() -> None:
    with pytest.raises(IndexRefused, match=r"at least 256 vectors .* there are 100"):
        build(unit_vectors(100), spec("IVF256,Flat"), 1_000, 40)


def test_exactly_as_many_vectors_as_centroids_are_enough() -> None:
    assert build(unit_vectors(64), spec("IVF64,Flat"), 1_000, 40).ntotal == 64


@pytest.mark.parametrize("size", [1 << 20, 1 << 33, 1 << 40])
def test_a_size_that_is_larger_than_the_file_is_refused_before_memory_is_set_aside(tmp_path: Path, size: int) -> None:
    path = tmp_path / "index.faiss"
    write(build(unit_vectors(40, DIMENSION), spec(), 100, 40), path)
    body = path.read_bytes()
    path.write_bytes(body.replace(struct.pack("<q", 40 * DIMENSION), struct.pack("<q", size)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RuntimeError, match="byte_limit"):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 << 10  # KiB
    path.write_bytes(body)
    assert read(path).ntotal == 40


@pytest.mark.parametrize(("codes", "bits"), [("PQ8x4fs", 4), ("PQ8x6", 6), ("SQ8", 8)])
def test_a_rotation_is_learned_for_the_codes_that_follow(codes: str, bits: int, vectors: Vectors) -> None:
    made = train(vectors, spec(f"OPQ8_16,IVF4,{codes}"), 10_000, 40)
    [rotation] = rotations(made)
    assert rotation.is_trained
    assert (rotation.niter, rotation.max_train_points) == (ROTATION_ROUNDS, PER_CODEWORD * 2**bits)
    assert rotation.pq is None  # what it was learned with is gone


def test_a_few_rounds_spread_what_differs_over_the_codes() -> None:
    """Vectors that differ most in their first numbers, as principal components do."""
    random = np.random.default_rng(5)
    vectors = (random.standard_normal((4_000, 32)) * 0.8 ** np.arange(32)).astype(np.float32)

    def error(factory: str) -> float:
        made = train(vectors, spec(factory, "l2"), 10_000, 40)
        return float(((made.sa_decode(made.sa_encode(vectors)) - vectors) ** 2).sum(axis=1).mean())

    assert error("OPQ8_16,PQ8x4") < 0.8 * error("PCA16,PQ8x4")
