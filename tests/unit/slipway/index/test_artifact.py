"""Files that no build makes: whoever opens a release may be shown them."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pytest

from slipway.errors import CorruptObject
from slipway.index.anatomy import check_ids, inverted_file
from slipway.index.artifact import DOCUMENTS_SCHEMA, ROWS_SCHEMA, open_arrow, open_rows
from slipway.index.build import build
from tests.support.releases import clustered_vectors, spec, write_arrow

DOCUMENT = {"document_id": ["a"], "title": ["t"], "text": ["some text of it"], "metadata": ["{}"]}
ROW = {"chunk_hash": ["0" * 32], "documents": [[0]], "starts": [[0]], "ends": [[4]]}


def test_a_text_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    write_arrow(tmp_path / "documents.arrow", pa.table(DOCUMENT, DOCUMENTS_SCHEMA))
    body = (tmp_path / "documents.arrow").read_bytes()
    (tmp_path / "documents.arrow").write_bytes(body.replace(b"some text", b"some\xfftext"))
    with pytest.raises(CorruptObject, match=r"documents.arrow is not a whole Arrow file: .*UTF8"):
        open_arrow(tmp_path / "documents.arrow", DOCUMENTS_SCHEMA)


def test_an_offset_that_leads_outside_is_refused(tmp_path: Path) -> None:
    two = {name: values * 2 for name, values in DOCUMENT.items()}
    write_arrow(tmp_path / "documents.arrow", pa.table(two, DOCUMENTS_SCHEMA))
    body = (tmp_path / "documents.arrow").read_bytes()
    offsets = np.array([0, 15, 30], np.int32).tobytes()  # of the texts
    assert offsets in body
    forged = body.replace(offsets, np.array([0, 1 << 30, 30], np.int32).tobytes())
    (tmp_path / "documents.arrow").write_bytes(forged)
    with pytest.raises(CorruptObject, match="not a whole Arrow file"):
        open_arrow(tmp_path / "documents.arrow", DOCUMENTS_SCHEMA)


def test_a_value_that_is_missing_is_refused(tmp_path: Path) -> None:
    write_arrow(tmp_path / "documents.arrow", pa.table(DOCUMENT | {"text": [None]}, DOCUMENTS_SCHEMA))
    with pytest.raises(CorruptObject, match="lacks values"):
        open_arrow(tmp_path / "documents.arrow", DOCUMENTS_SCHEMA)


@pytest.mark.parametrize("short", ["starts", "ends", "documents"])
def test_a_row_without_a_place_for_each_document_is_refused(tmp_path: Path, short: str) -> None:
    write_arrow(tmp_path / "rows.arrow", pa.table(ROW, ROWS_SCHEMA))
    assert open_rows(tmp_path / "rows.arrow").num_rows == 1
    write_arrow(tmp_path / "rows.arrow", pa.table(ROW | {short: [[0, 1]]}, ROWS_SCHEMA))
    with pytest.raises(CorruptObject, match="more documents than places"):
        open_rows(tmp_path / "rows.arrow")


@pytest.fixture(params=["IVF4,Flat", "IVF4,PQ4x4fs,RFlat"])
def index(request: pytest.FixtureRequest) -> Any:
    return build(clustered_vectors(200), spec(request.param), 100_000, 40)


def ids_of(index: Any, number: int = 0) -> Any:
    ivf = inverted_file(index)
    assert ivf is not None
    return faiss.rev_swig_ptr(ivf.invlists.get_ids(number), ivf.invlists.list_size(number))


@pytest.mark.parametrize("row", [-1, 200, 2**40])
def test_a_list_that_names_a_row_that_is_not_there_is_refused(index: Any, row: int) -> None:
    check_ids(index, np.ones(200, dtype=bool))
    ids_of(index)[0] = row
    with pytest.raises(CorruptObject, match=r"list 0 of the index names a row that rows.arrow does not have"):
        check_ids(index, np.ones(200, dtype=bool))


def test_a_row_that_stands_in_two_places_is_refused(index: Any) -> None:
    ids_of(index)[0] = ids_of(index)[1]
    with pytest.raises(CorruptObject, match="hold other rows than those"):
        check_ids(index, np.ones(200, dtype=bool))
