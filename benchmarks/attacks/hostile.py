"""Index files that FAISS wrote, with numbers in them that no index has: sizes, links and lists that lead outside."""

from __future__ import annotations

import random
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss

from slipway.index.anatomy import core, inverted_file

HEADER = {"d": (4, "<i"), "ntotal": (8, "<q"), "is_trained": (32, "<B"), "metric_type": (33, "<i")}
EXTREME = (0, -1, 1, 7, 2**31 - 1, -(2**31), 2**33, 2**40, 2**62, -(2**63))


def spoilt(path: Path, drawn: random.Random) -> tuple[bytes, str]:
    """The index file's bytes with something hostile in it, and what."""
    index = faiss.read_index(str(path))
    ways: list[Callable[..., tuple[bytes, str]]] = [_header, _number, _fourcc, _cut_lists]
    if isinstance(core(index), faiss.IndexHNSW):
        ways += [_graph] * 4
    if inverted_file(index) is not None:
        ways += [_lists] * 3
    return drawn.choice(ways)(path, index, drawn)


def _header(path: Path, _index: Any, drawn: random.Random) -> tuple[bytes, str]:
    body = bytearray(path.read_bytes())
    name = drawn.choice(sorted(HEADER))
    place, form = HEADER[name]
    starts = [at for at in range(0, len(body) - 64) if body[at : at + 2] in (b"Ix", b"IH", b"Iw", b"IS")]
    start = drawn.choice(starts or [0])
    size = struct.calcsize(form)
    value = drawn.choice(EXTREME) % 256**size
    body[start + place : start + place + size] = value.to_bytes(size, "little")
    return bytes(body), f"{name} = {value} in the header at {start}"


def _number(path: Path, _index: Any, drawn: random.Random) -> tuple[bytes, str]:
    body = bytearray(path.read_bytes())
    at = drawn.randrange(min(len(body) - 8, 512)) if drawn.random() < 0.5 else drawn.randrange(len(body) - 8)
    size = drawn.choice((4, 8))
    value = drawn.choice(EXTREME) % 256**size
    body[at : at + size] = value.to_bytes(size, "little")
    return bytes(body), f"{value} in {size} bytes at {at}"


def _fourcc(path: Path, _index: Any, drawn: random.Random) -> tuple[bytes, str]:
    code = drawn.choice((b"IxF2", b"IHNf", b"IwFl", b"IxPT", b"IxRF", b"null", b"IBxF", b"IxMp", b"\0\0\0\0", b"IHNs"))
    return code + path.read_bytes()[4:], f"{code!r} as the kind of index"


def _cut_lists(path: Path, _index: Any, drawn: random.Random) -> tuple[bytes, str]:
    body = path.read_bytes()
    start = drawn.randrange(len(body) // 2)
    gone = drawn.randrange(1, len(body) // 3)
    return body[:start] + body[start + gone :], f"{gone} bytes taken out at {start}"


def _graph(_path: Path, index: Any, drawn: random.Random) -> tuple[bytes, str]:
    hnsw = core(index).hnsw
    what = drawn.choice(
        ("neighbours", "one neighbour", "cycle", "entry point", "max level", "levels", "offsets", "none")
    )
    neighbours = faiss.vector_to_array(hnsw.neighbors)
    far = drawn.choice((index.ntotal, 2**31 - 1, -2, -(2**31), index.ntotal + 1))
    if what == "neighbours":
        neighbours[:] = far
    elif what == "one neighbour":
        neighbours[drawn.randrange(len(neighbours))] = far
    elif what == "cycle":
        neighbours[:] = drawn.randrange(index.ntotal)
    elif what == "none":
        neighbours[:] = -1
    elif what == "entry point":
        hnsw.entry_point = far
    elif what == "max level":
        hnsw.max_level = drawn.choice((-1, 5, 63, 2**31 - 1, -(2**31)))
    elif what == "levels":
        levels = faiss.vector_to_array(hnsw.levels)
        levels[drawn.randrange(len(levels))] = drawn.choice((0, -1, 100, 2**31 - 1))
        faiss.copy_array_to_vector(levels, hnsw.levels)
    else:
        offsets = faiss.vector_to_array(hnsw.offsets)
        offsets[drawn.randrange(len(offsets))] = drawn.choice((0, 2**40, 2**63, len(neighbours) + 1))
        faiss.copy_array_to_vector(offsets, hnsw.offsets)
    faiss.copy_array_to_vector(neighbours, hnsw.neighbors)
    return _written(index), f"hostile {what} of the graph"


def _lists(_path: Path, index: Any, drawn: random.Random) -> tuple[bytes, str]:
    ivf = inverted_file(index)
    what = drawn.choice(("ids", "one id", "nlist", "nprobe", "ntotal", "same id"))
    if what in ("ids", "one id", "same id"):
        sizes = [ivf.invlists.list_size(number) for number in range(ivf.nlist)]
        number = drawn.choice([number for number, size in enumerate(sizes) if size])
        ids = faiss.rev_swig_ptr(ivf.invlists.get_ids(number), sizes[number])
        far = drawn.choice((index.ntotal, 2**31, -1, -5, 2**62))
        if what == "one id":
            ids[drawn.randrange(len(ids))] = far
        else:
            ids[:] = far if what == "ids" else 0
    else:
        setattr(ivf, what, drawn.choice((0, 1, 17, 2**20)))
    return _written(index), f"hostile {what} of the lists"


def _written(index: Any) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".faiss") as file:
        faiss.write_index(index, file.name)
        return Path(file.name).read_bytes()
