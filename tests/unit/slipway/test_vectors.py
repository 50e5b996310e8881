from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from slipway import vectors
from slipway.errors import CorruptObject, DiskFull, EncoderError, disk_errors
from slipway.manifest import MANIFEST, Draft, Manifest
from slipway.storage.base import ObjectStore
from slipway.storage.local import LocalStore
from tests.support.memory_store import MemoryStore

ENCODER = "0123456789abcdef"
HASHES = [f"{number:032x}" for number in range(5)]


def unit_vectors(rows: int = 5, dimension: int = 8) -> npt.NDArray[np.float32]:
    made = np.random.default_rng(1).normal(size=(rows, dimension)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return LocalStore(tmp_path / "store") if request.param == "local" else MemoryStore()


def test_vectors_come_back_under_their_hashes(store: ObjectStore, tmp_path: Path) -> None:
    made = vectors.write_part(store, ENCODER, HASHES, unit_vectors(), tmp_path / "scratch")
    assert vectors.find_part(store, ENCODER, HASHES) == made
    assert vectors.parts(store, ENCODER) == [made]
    assert (made.counts, made.facts) == ({"vectors": 5}, {"encoder": ENCODER, "dimension": 8})
    hashes = pq.read_table(vectors.fetch_hashes(store, made, tmp_path / "reading"))["chunk_hash"].to_pylist()
    read = vectors.open_vectors(store, made, tmp_path / "reading")
    assert hashes == HASHES
    assert isinstance(read, np.memmap)
    assert not read.flags.writeable
    np.testing.assert_array_equal(read, unit_vectors())
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_part_is_named_by_its_hashes_in_order_and_its_encoder(tmp_path: Path) -> None:
    store = MemoryStore()
    vectors.write_part(store, ENCODER, HASHES, unit_vectors(), tmp_path)
    assert vectors.find_part(store, ENCODER, HASHES[::-1]) is None
    assert vectors.find_part(store, ENCODER, HASHES[:4]) is None
    assert vectors.find_part(store, "fedcba9876543210", HASHES) is None
    assert vectors.parts(store, "fedcba9876543210") == []
    assert vectors.parts(store, ENCODER[:8]) == []


def test_work_that_is_repeated_is_adopted(tmp_path: Path) -> None:
    store = MemoryStore()
    first = vectors.write_part(store, ENCODER, HASHES, unit_vectors(), tmp_path)
    assert vectors.write_part(store, ENCODER, HASHES, unit_vectors(), tmp_path) == first
    assert len(vectors.parts(store, ENCODER)) == 1


def spoilt(row: int, value: float) -> npt.NDArray[np.float32]:
    made = unit_vectors()
    made[row] = value
    return made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        pytest.param(unit_vectors(4), "returned 4 vectors for 5 chunks", id="too few"),
        pytest.param(unit_vectors(6), "returned 6 vectors for 5 chunks", id="too many"),
        pytest.param(spoilt(2, np.nan), "1 of 5 vectors are not of unit norm; row 2 has norm nan", id="NaN"),
        pytest.param(spoilt(3, np.inf), "row 3 has norm inf", id="infinite"),
        pytest.param(spoilt(0, 0), r"row 0 has norm 0\.0", id="zero"),
        pytest.param(unit_vectors() * np.float32(1.01), "5 of 5 vectors are not of unit norm", id="not normalised"),
        pytest.param(unit_vectors().astype(np.float64), r"returned float64 of shape \(5, 8\)", id="float64"),
        pytest.param(unit_vectors().astype(np.float16), "returned float16", id="float16"),
        pytest.param(unit_vectors()[0], r"of shape \(8,\)", id="one vector"),
    ],
)
def test_unsound_vectors_are_refused_and_nothing_is_written(tmp_path: Path, made: Any, said: str) -> None:
    store = MemoryStore()
    with pytest.raises(EncoderError, match=said):
        vectors.write_part(store, ENCODER, HASHES, made, tmp_path)
    assert store.calls == []


def test_rounding_is_no_fault(tmp_path: Path) -> None:
    vectors.check_vectors(unit_vectors() * np.float32(1.0005), 5)


def a_part(store: ObjectStore, made: Any, scratch: Path, **facts: Any) -> Manifest:
    """A sealed part whose vectors are what somebody else wrote."""
    draft = Draft(store, f"vectors/{ENCODER}/odd", "vectors", "odd")
    path = scratch / "odd.npy"
    path.write_bytes(made) if isinstance(made, bytes) else np.save(path, made)
    draft.add_file(vectors.VECTORS, path)
    return draft.seal({"vectors": 5}, {"dimension": 8} | facts)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        pytest.param(unit_vectors().astype(np.float64), r"are float64 \(5, 8\), the manifest says float32", id="dtype"),
        pytest.param(unit_vectors(5, 7), r"are float32 \(5, 7\), the manifest says float32 \(5, 8\)", id="dimension"),
        pytest.param(unit_vectors(4), r"are float32 \(4, 8\)", id="rows"),
        pytest.param(b"not an array at all", "is not a NumPy array", id="garbage"),
        pytest.param(np.array([{"a": 1}], dtype=object), "is not a NumPy array", id="pickled objects"),
    ],
)
def test_vectors_that_are_not_what_the_manifest_says_are_corrupt(
    store: ObjectStore, tmp_path: Path, made: Any, said: str
) -> None:
    with pytest.raises(CorruptObject, match=said):
        vectors.open_vectors(store, a_part(store, made, tmp_path), tmp_path)


def test_a_manifest_without_dimension_is_corrupt(tmp_path: Path) -> None:
    store = MemoryStore()
    part = replace(a_part(store, unit_vectors(), tmp_path), facts={})
    with pytest.raises(CorruptObject, match=r"the manifest says float32 \(5, None\)"):
        vectors.open_vectors(store, part, tmp_path)


def test_a_flipped_bit_is_found_before_a_vector_is_read(tmp_path: Path) -> None:
    store = MemoryStore()
    part = vectors.write_part(store, ENCODER, HASHES, unit_vectors(), tmp_path)
    key = part.one(vectors.VECTORS).key
    body = bytearray(store.read(key).body)
    body[-1] ^= 1
    store.put(key, bytes(body))
    with pytest.raises(CorruptObject, match="SHA-256"):
        vectors.open_vectors(store, part, tmp_path)


def test_an_unsealed_part_is_no_part(tmp_path: Path) -> None:
    store = MemoryStore()
    part = vectors.write_part(store, ENCODER, HASHES, unit_vectors(), tmp_path)
    store.delete(f"{part.place}/{MANIFEST}")
    assert vectors.find_part(store, ENCODER, HASHES) is None
    assert vectors.parts(store, ENCODER) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_bad_input_full_disk_while_vectors_are_written(tmp_path: Path) -> None:
    store = MemoryStore()
    (tmp_path / f"{vectors.part_id(HASHES)}.npy").symlink_to("/dev/full")
    with pytest.raises(DiskFull), disk_errors():
        vectors.write_part(store, ENCODER, HASHES, unit_vectors(), tmp_path)
    assert vectors.parts(store, ENCODER) == []
