"""Filters by metadata: `where={"package": "numpy", "year": {"gte": 2020}}`.

A document matches when every field named does. What a field may be asked for:

- a text, a number, true or false: the value is equal; None: it is null, or the document has no such field
- a list: it is any of these
- a mapping of `gte`, `gt`, `lte`, `lt` to a number or a text, of `not` to a value or a list: all of them hold

Values are compared as they are stored, so dates are ISO texts. Numbers compare with numbers and texts with texts;
anything else is no match, and no error. Where a stored value is a list, one of its elements has to match.

Metadata is read once a release, at the first filter, into columns of codes. The last filters' answers are kept.
"""

from __future__ import annotations

import json
import operator
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway.errors import CorruptObject, InputError
from slipway.index import artifact
from slipway.index.selection import Selection

KEPT_BYTES = 64 << 20  # of the last filters' answers, for one release
_OVERHEAD = 1_024  # bytes of the objects around an answer
_STEP = 65_536  # texts made Python's at once
_ORDERS = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}
_OPERATORS = (*_ORDERS, "not")

Mask = npt.NDArray[np.bool_]
Condition = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Matching:
    """What one filter leaves of a release: `documents`, a bit each, and the rows of the index that stand for them."""

    documents: npt.NDArray[np.uint8]
    selection: Selection

    def __contains__(self, ordinal: int) -> bool:
        return bool(self.documents[ordinal >> 3] >> (ordinal & 7) & 1)


@dataclass(frozen=True, slots=True)
class Column:
    """One field of all documents: `values`, the distinct ones, of which `codes` (documents,) names each document's."""

    values: list[Any]
    codes: npt.NDArray[np.integer[Any]]

    def matching(self, condition: Condition) -> Mask:
        """The documents whose value meets a condition, (documents,) bool."""
        met = np.fromiter((condition(value) for value in self.values), dtype=bool, count=len(self.values))
        documents: Mask = met[self.codes]
        return documents


class Filters:
    """The filters of one release. Safe to use from many threads; costs nothing until the first filter.

    `metadata` is the column of JSON objects, and `select` makes rows of the index of a mask of documents.
    """

    def __init__(self, metadata: pa.ChunkedArray, select: Callable[[Mask], Selection]) -> None:
        self._metadata, self._select = metadata, select
        self._columns: dict[str, Column] | None = None
        self._building, self._lock = threading.Lock(), threading.Lock()
        self._kept: OrderedDict[str, Matching] = OrderedDict()
        self._kept_bytes = 0

    @property
    def is_prepared(self) -> bool:
        """Whether the metadata was read."""
        return self._columns is not None

    def prepare(self) -> None:
        """Read the metadata now, so that the first filter need not wait for it."""
        self._read()

    def matching(self, where: Mapping[str, Any]) -> Matching:
        """What a filter leaves. Raises `InputError` for a field that no document has, and for what is no filter."""
        if not isinstance(where, Mapping):
            raise InputError(f"where maps metadata fields to what is asked of them, got {where!r}")
        plain = {_field(name): _plain(name, asked) for name, asked in where.items()}
        key = json.dumps(plain, sort_keys=True)
        with self._lock:
            if found := self._kept.get(key):
                self._kept.move_to_end(key)
                return found
        documents = np.ones(len(self._metadata), dtype=bool)
        for name, asked in plain.items():
            documents &= self._column(name).matching(_condition(name, asked))
        made = Matching(np.packbits(documents, bitorder="little"), self._select(documents))
        self._keep(key, made)
        return made

    def _keep(self, key: str, made: Matching) -> None:
        """Keep an answer, and let those go that were not asked for longest, until all are within the bound."""
        if (size := _size(key, made)) > KEPT_BYTES:
            return
        with self._lock:
            if key in self._kept:  # another thread was as fast
                return
            self._kept[key] = made
            self._kept_bytes += size
            while self._kept_bytes > KEPT_BYTES:
                self._kept_bytes -= _size(*self._kept.popitem(last=False))

    def _column(self, name: str) -> Column:
        columns = self._read()
        if name not in columns:
            there = f"there are {', '.join(sorted(columns))}" if columns else "its documents have none"
            raise InputError(f"no document of this release has the metadata field {name!r}; {there}")
        return columns[name]

    def _read(self) -> dict[str, Column]:
        with self._building:
            if self._columns is None:
                self._columns = _columns(self._metadata)
            return self._columns


def _size(key: str, made: Matching) -> int:
    return _OVERHEAD + len(key) + made.documents.nbytes + made.selection.size_bytes


def _columns(metadata: pa.ChunkedArray) -> dict[str, Column]:
    """The columns of all documents' metadata, by field. Code 0 is null, and what a document does not have.

    Documents often have equal metadata, so each distinct text of it is parsed once.
    """
    encoded = metadata.dictionary_encode().unify_dictionaries()
    texts = encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], pa.string())
    texts_of = np.concatenate([np.empty(0, np.int32), *(chunk.indices.to_numpy() for chunk in encoded.chunks)])
    columns = _columns_of(texts).items()
    return {name: Column(column.values, column.codes[texts_of]) for name, column in columns}


def _columns_of(texts: pa.StringArray) -> dict[str, Column]:
    codes: dict[str, array[int]] = {}
    known: dict[str, dict[Any, int]] = {}
    values: dict[str, list[Any]] = {}
    for number, document in enumerate(_objects(texts)):
        for name, value in document.items():
            if name not in codes:
                codes[name] = array("i", bytes(4 * len(texts)))
                known[name], values[name] = {_identity(None): 0}, [None]
            code = known[name].setdefault(_identity(value), len(values[name]))
            if code == len(values[name]):
                values[name].append(value)
            codes[name][number] = code
    return {name: Column(values[name], _narrow(codes[name], len(values[name]))) for name in codes}


def _objects(texts: pa.StringArray) -> Iterator[dict[str, Any]]:
    for start in range(0, len(texts), _STEP):
        for text in texts.slice(start, _STEP).to_pylist():
            try:
                document = json.loads(text)
            except ValueError:
                document = None
            if not isinstance(document, dict):
                raise CorruptObject(f"{artifact.DOCUMENTS} holds metadata that is no JSON object: {text[:80]!r}")
            yield document


def _narrow(codes: array[int], distinct: int) -> npt.NDArray[np.integer[Any]]:
    """The codes in as few bytes as tell so many values apart."""
    whole = np.frombuffer(codes, dtype=np.int32)
    return whole.astype(np.min_scalar_type(distinct - 1)) if distinct <= 1 << 16 else whole


def _identity(value: Any) -> Any:
    """What tells distinct values apart: True is not 1, and lists and objects are their JSON text."""
    kind = _kind(value)
    return (kind, json.dumps(value, sort_keys=True) if kind == "nested" else value)


def _kind(value: Any) -> str:
    """Values compare within a kind only."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "truth"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "nested"


def _field(name: Any) -> str:
    if not isinstance(name, str):
        raise InputError(f"a filter names metadata fields by text, got {name!r}")
    return name


def _plain(name: str, asked: Any) -> Any:
    """What is asked of a field, as JSON has it. Raises `InputError` when it is nothing that can be asked."""
    if isinstance(asked, Mapping):
        if not asked or not set(asked) <= set(_OPERATORS):
            raise InputError(f"where[{name!r}] has {sorted(map(str, asked))}; expected any of {', '.join(_OPERATORS)}")
        return {key: _plain(f"{name}.{key}", value) for key, value in asked.items()}
    if isinstance(asked, np.generic | np.ndarray):
        return _plain(name, asked.tolist())
    if isinstance(asked, list | tuple | set | frozenset):
        return [_scalar(name, value) for value in asked]
    return _scalar(name, asked)


def _scalar(name: str, value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    if _kind(plain) == "nested" or (isinstance(plain, float) and not np.isfinite(plain)):
        raise InputError(
            f"where[{name!r}] is compared with {value!r}; expected a text, a finite number, true, false or None "
            f"(dates as ISO text, as they are stored)"
        )
    return plain


def _condition(name: str, asked: Any) -> Condition:
    """The condition on one stored value, from what `_plain` gave."""
    if not isinstance(asked, dict):
        wanted = frozenset(_identity(value) for value in (asked if isinstance(asked, list) else [asked]))
        return _of_any_element(lambda value: _identity(value) in wanted)
    parts = [_operator(name, key, value) for key, value in asked.items()]
    return lambda value: all(part(value) for part in parts)


def _operator(name: str, key: str, bound: Any) -> Condition:
    if key == "not":
        if isinstance(bound, dict):
            raise InputError(f"where[{name!r}].not takes a value or a list, got a mapping")
        unwanted = _condition(name, bound)
        return lambda value: not unwanted(value)
    kind, ordered = _kind(bound), _ORDERS[key]
    if kind not in ("number", "text"):
        raise InputError(f"where[{name!r}].{key} is {bound!r}; expected a number or a text")
    return _of_any_element(lambda value: _kind(value) == kind and bool(ordered(value, bound)))


def _of_any_element(met: Condition) -> Condition:
    return lambda value: any(met(one) for one in value) if isinstance(value, list) else met(value)
