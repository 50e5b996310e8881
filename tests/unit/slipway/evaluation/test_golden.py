import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import GoldenError
from slipway.evaluation.golden import read_golden

GOOD: dict[str, Any] = {"query_id": "q1", "query": "join two tables", "relevant": {"api:merge": 3}}


def golden_file(folder: Path, *lines: str | dict[str, Any]) -> Path:
    path = folder / "golden.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_queries_are_read_in_order_with_their_defaults(tmp_path: Path) -> None:
    tuning = {"query_id": "q2", "query": "x", "relevant": {"a": 1, "b": 2}, "slice": "typos", "part": "tuning"}
    path = golden_file(tmp_path, GOOD, "", tuning, "   ")
    golden = read_golden(path)
    first, second = golden.queries
    assert (first.query_id, first.query, first.relevant, first.slice, first.part) == (
        ("q1", "join two tables", {"api:merge": 3}, "all", "judging")
    )
    assert (second.slice, second.part, second.relevant) == ("typos", "tuning", {"a": 1, "b": 2})
    assert golden.part("judging") == [first]
    assert golden.part("tuning") == [second]
    assert golden.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("query", ["line\u2028separator", "next\x85line", "form\x0cfeed", "naïve “quotes” 中文"])
def test_a_line_ends_at_a_newline_and_nowhere_else(tmp_path: Path, query: str) -> None:
    path = golden_file(tmp_path, json.dumps(GOOD | {"query": query}, ensure_ascii=False))
    assert [one.query for one in read_golden(path).queries] == [query]


def test_files_of_other_editors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n" + b"\r\n")
    assert len(read_golden(path).queries) == 1


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "is not JSON"),
        ("query", "is not JSON"),
        ("[]", r"field \(the line\): "),
        ('"text"', r"field \(the line\): "),
        ("{}", "field query_id: Field required"),
        ({"query_id": "q2", "query": "x"}, "field relevant: Field required"),
        (GOOD | {"query_id": 7}, "field query_id: "),
        (GOOD | {"query_id": " "}, "field query_id: "),
        (GOOD | {"query": ""}, "field query: "),
        (GOOD | {"query": " \t"}, "field query: "),
        (GOOD | {"relevant": {}}, "field relevant: "),
        (GOOD | {"relevant": ["api:merge"]}, "field relevant: "),
        (GOOD | {"relevant": {"api:merge": "much"}}, "field relevant.api:merge: "),
        (GOOD | {"relevant": {"api:merge": 1.5}}, "field relevant.api:merge: "),
        (GOOD | {"relevant": {"api:merge": 0}}, "field relevant.api:merge: .*greater than or equal to 1"),
        (GOOD | {"relevant": {"api:merge": 4}}, "field relevant.api:merge: .*less than or equal to 3"),
        (GOOD | {"part": "test"}, "field part: "),
        (GOOD | {"slice": None}, "field slice: "),
        (GOOD | {"relevnat": {}}, "field relevnat: "),
        (GOOD | {"must_find": "api:merge"}, "field must_find: "),
        (GOOD | {"must_find": [" "]}, "field must_find.0: "),
        (GOOD | {"must_find": ["api:merge", "api:merge"]}, ".*must_find names a document twice"),
        (GOOD | {"must_find": [f"api:{number}" for number in range(11)]}, "field must_find: "),
        (GOOD | {"must_find": ["api:merge"], "part": "tuning"}, ".*what tuning queries find is not judged"),
    ],
)
def test_a_malformed_line_is_named_by_file_line_and_field(
    tmp_path: Path, line: str | dict[str, Any], complaint: str
) -> None:
    path = golden_file(tmp_path, GOOD | {"query_id": "q0"}, "", line)
    with pytest.raises(GoldenError, match=rf"golden.jsonl:3: {complaint}") as raised:
        read_golden(path)
    assert str(raised.value).startswith(str(path))


def test_an_id_that_stands_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(GoldenError, match=r"golden.jsonl:2: query_id 'q1' stands twice"):
        read_golden(golden_file(tmp_path, GOOD, GOOD | {"query": "another"}))


@pytest.mark.parametrize("lines", [[], ["", ""], [GOOD | {"part": "tuning"}]])
def test_a_file_that_judges_nothing_is_refused(tmp_path: Path, lines: list[Any]) -> None:
    with pytest.raises(GoldenError, match="no query of the judging part"):
        read_golden(golden_file(tmp_path, *lines))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(GoldenError, match=r"absent.jsonl: the golden file cannot be read"):
        read_golden(tmp_path / "absent.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"query": "caf\xe9"}')
    with pytest.raises(GoldenError, match=r"latin.jsonl: the golden file cannot be read"):
        read_golden(tmp_path / "latin.jsonl")
    with pytest.raises(GoldenError, match="cannot be read"):
        read_golden(tmp_path)
