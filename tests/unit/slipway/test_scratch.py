"""A full disk is an error with a message, never a killed process."""

import errno
import os

import faiss
import numpy as np
import pytest

from slipway.errors import DiskFull, disk_errors
from slipway.index.build import write
from slipway.scratch import reserve


def sparse(path, size):
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_the_whole_length_is_on_the_disk(tmp_path):
    path = sparse(tmp_path / "mapped", 1 << 20)
    reserve(path)
    assert path.stat().st_blocks * 512 >= 1 << 20


def test_what_lies_before_the_start_stays(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)  # as on macOS
    path = tmp_path / "array.npy"
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(1000, 3))
    reserve(path, made.offset)
    assert np.array_equal(np.load(path), np.zeros((1000, 3), np.float32))


def test_bad_input_full_disk_is_named_before_a_map_is_written_to(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(DiskFull), disk_errors():
        reserve(sparse(tmp_path / "mapped", 4096))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110
def test_bad_input_full_disk_is_named_when_an_index_is_written(tmp_path):
    index = faiss.IndexFlatL2(8)
    index.add(np.random.default_rng(1).random((10_000, 8), dtype=np.float32))
    path = tmp_path / "index.faiss"
    path.symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="no space left"):
        write(index, path)
