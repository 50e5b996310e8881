"""One index out of shards that several workers filled under the same training, joined from file to file.

Codes depend on the training alone, so lists that are joined in the order of the rows hold just what one worker would
have put into them: the merged index is the single build's, byte for byte (a rotation or projection in front of it
rounds otherwise in blocks of another size, in the last digit). No list has to be in memory for that: FAISS writes the
trained, empty index, and the joined lists are put into the file where it writes the empty ones. Those of fast scan lie
packed in blocks, and joining blocks is not joining codes; so a shard keeps its codes unpacked, and the joined lists are
packed at the end, by FAISS's own conversion, in memory. What has neither way is served in shards.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np

from slipway.errors import IndexRefused
from slipway.index.anatomy import core, inverted_file, refinement, searched, transformed
from slipway.index.build import ADD_STEP, read_rows, refusing, telling_no_space, write
from slipway.index.sharded import Vectors

_FAISS: Any = faiss  # its stubs lack some of this
_PLAIN = ("IndexIVFFlat", "IndexIVFPQ", "IndexIVFScalarQuantizer", "IndexIVFRaBitQ")
_PACKED = "IndexIVFPQFastScan"
_REFINING = ("IndexFlat", "IndexFlatIP", "IndexFlatL2", "IndexScalarQuantizer", "IndexRefineFlat")
_BUFFER = 1 << 16  # bytes written at once: most lists are small


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows under a shared training: `lists` with the rows' numbers, as the core sees them, and the `refinement`
    of the same rows, where there is one. Both may be mapped.
    """

    lists: Any
    refinement: Any | None
    owner: Any = None  # what the two are parts of, and would vanish with


def why_apart(trained: Any) -> str:
    """Why shards of this index cannot be merged; empty where they can."""
    if inverted_file(trained) is None:
        return "only inverted files can be merged"
    kind, kept = type(core(trained)).__name__, refinement(trained)
    if kind not in (*_PLAIN, _PACKED):
        return f"{kind} cannot be merged"
    if kept is not None and type(kept).__name__ not in _REFINING:
        return f"a refinement by {type(kept).__name__} cannot be merged"
    return ""


def piece_of(
    trained: Any,
    vectors: Vectors,
    first: int,
    progress: Callable[[int], None] = lambda added: None,
    step: int = ADD_STEP,
) -> Piece:
    """The rows `first` and following, whose vectors are given ((n, d) float32, may be mapped), under this training.

    They are added `step` at once. Takes the trained, empty index over: it is of no other use afterwards. Raises
    `IndexRefused`.
    """
    piece = Piece(_unpacked(core(trained)), refinement(trained), trained)
    for start in range(0, len(vectors), step):
        block = np.ascontiguousarray(vectors[start : start + step])
        numbers = np.arange(first + start, first + start + len(block))
        with refusing("the index cannot take the vectors of a shard"):
            piece.lists.add_with_ids(transformed(trained, block), numbers)
            if piece.refinement is not None:
                piece.refinement.add(block)
        progress(start + len(block))
    return piece


def merge(trained: Any, pieces: Iterable[Piece], path: Path, check: Callable[[], None] = lambda: None) -> None:
    """Write the trained, empty index with the rows of all pieces, which are given in the order of the rows, to `path`.

    Where the pieces are mapped, it holds no more of the rows in memory than packed lists of fast scan. Besides what it
    writes it takes the refinement's size on the disk meanwhile, and with fast scan the lists'. Takes the trained index
    over. `check` is called when a piece is there and when lists are packed, and may raise to stop. Raises `DiskFull`.
    """
    ivf, held = core(trained), list[Piece]()
    for piece in pieces:
        held.append(piece)
        check()
    plain = _unpacked(ivf)
    with telling_no_space(path):
        if plain is ivf:
            _spliced(trained, ivf, held, path)
            return
        with _scratch(path, ".lists") as loose:
            _spliced(plain, plain, held, loose)
            _pack(read_rows(loose), ivf)
        check()
        with _refined(trained, held, path):
            write(trained, path)


@contextmanager
def _scratch(path: Path, suffix: str) -> Iterator[Path]:
    """A file beside `path` for the block; it may be mapped beyond that."""
    beside = path.with_suffix(suffix)
    try:
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def _spliced(whole: Any, ivf: Any, pieces: Sequence[Piece], path: Path) -> None:
    """Write `whole`, of which the empty `ivf` is the core, with the joined lists of the pieces in it."""
    empty = _section(ivf.invlists)
    write(whole, path)
    place = _only_place(path, empty)
    path.unlink()
    ivf.ntotal = sum(int(piece.lists.ntotal) for piece in pieces)
    with _refined(whole, pieces, path), path.open("wb", buffering=_BUFFER) as out:
        splice = _Splice(out, place, len(empty), _joined(ivf, [piece.lists.invlists for piece in pieces]))
        faiss.write_index(whole, _FAISS.PyCallbackIOWriter(splice, _BUFFER))


class _Splice:
    """Writes what FAISS writes, with `section` in place of the `skipped` bytes at `place`."""

    def __init__(self, out: BinaryIO, place: int, skipped: int, section: Iterable[Any]) -> None:
        self._out, self._place, self._skipped = out, place, skipped
        self._section: Iterable[Any] | None = section
        self._seen = 0

    def __call__(self, block: bytes) -> None:
        before, self._seen = self._seen, self._seen + len(block)
        self._out.write(block[: max(0, self._place - before)])
        if self._section is not None and self._seen >= self._place:
            self._out.writelines(self._section)
            self._section = None
        self._out.write(block[max(0, self._place + self._skipped - before) :])


def _section(lists: Any) -> bytes:
    """Inverted lists as they lie in an index's file."""
    written = faiss.VectorIOWriter()
    _FAISS.write_InvertedLists(lists, written)
    return bytes(faiss.vector_to_array(written.data))


def _only_place(path: Path, section: bytes) -> int:
    """Where in a file a section begins, of which there must be one."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        place = held.find(section)
        if place < 0 or held.rfind(section) != place:
            raise IndexRefused(
                f"the file of the trained index does not hold its empty lists once, so nothing can be put in their "
                f"place (FAISS {faiss.__version__}); set index.shards.release to apart"
            )
    return place


def _joined(ivf: Any, lists: Sequence[Any]) -> Iterator[Any]:
    """The section of an index's file that holds the rows of all `lists`, list by list, in blocks of bytes.

    As FAISS 1.15 writes ArrayInvertedLists: their number, the bytes of a code, the size of every list, or, where at
    most half of them hold something, number and size of those; then codes and row numbers of each that does.
    """
    sizes = np.array([[held.list_size(number) for number in range(ivf.nlist)] for held in lists], dtype=np.uint64)
    totals = sizes.sum(axis=0, dtype=np.uint64)
    filled = np.flatnonzero(totals)
    dense = len(filled) > ivf.nlist // 2
    told = totals if dense else np.stack([filled.astype(np.uint64), totals[filled]], axis=1).ravel()
    yield b"ilar" + np.array([ivf.nlist, ivf.code_size], dtype=np.uint64).tobytes()
    yield (b"full" if dense else b"sprs") + np.array([len(told)], dtype=np.uint64).tobytes() + told.tobytes()
    for number in filled.tolist():
        held = [(one, int(size)) for one, size in zip(lists, sizes[:, number], strict=True) if size]
        yield from (faiss.rev_swig_ptr(one.get_codes(number), size * one.code_size) for one, size in held)
        yield from (faiss.rev_swig_ptr(one.get_ids(number), size) for one, size in held)


@contextmanager
def _refined(whole: Any, pieces: Sequence[Piece], path: Path) -> Iterator[None]:
    """Within the block `whole` counts the rows of its lists, and its refinement shows the codes of all pieces."""
    kept, rows = refinement(whole), int(core(whole).ntotal)
    for part in (searched(whole), whole):
        part.ntotal = rows
    if kept is None:
        yield
        return
    with _scratch(path, ".codes") as codes:
        with codes.open("wb") as out:
            for one in _refinements(pieces):
                out.write(faiss.rev_swig_ptr(one.codes.data(), one.codes.size()).data)
        mapped, empty = np.memmap(codes, np.uint8, "r"), _FAISS.MaybeOwnedVectorUInt8()
        # `empty` has no owner, which a view must name: this function holds the map itself, for as long as it is shown
        kept.codes, kept.ntotal = empty.create_view(faiss.swig_ptr(mapped), mapped.size, empty.owner), rows
        try:
            yield
        finally:
            kept.codes = empty


def _refinements(pieces: Sequence[Piece]) -> Iterator[Any]:
    return (piece.refinement for piece in pieces if piece.refinement is not None)


def _unpacked(ivf: Any) -> Any:
    """An inverted file of the same training whose lists hold plain codes: the same one where they do already."""
    if type(ivf).__name__ != _PACKED:
        return ivf
    plain = _FAISS.IndexIVFPQ(ivf.quantizer, ivf.d, ivf.nlist, ivf.pq.M, ivf.pq.nbits, ivf.metric_type)
    plain.pq, plain.by_residual, plain.is_trained = ivf.pq, ivf.by_residual, True
    plain.referenced_objects = [ivf]  # whose quantiser it shares
    return plain


def _pack(plain: Any, ivf: Any) -> None:
    """Give `ivf` the lists of `plain`, packed for fast scan."""
    packed = _FAISS.IndexIVFPQFastScan(plain, ivf.bbs)
    ivf.replace_invlists(packed.invlists, True)
    packed.own_invlists = False
    ivf.ntotal = packed.ntotal
