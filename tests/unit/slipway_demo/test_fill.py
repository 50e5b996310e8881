"""The two sources that the demo fills."""

import sqlite3
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from slipway_demo import fill as fill_module
from slipway_demo.docstrings import ApiRow
from slipway_demo.fill import fill, main
from slipway_demo.modules import PackageNotInstalled, package_location

COLUMNS = ["id", "package", "kind", "name", "signature", "doc", "path", "line", "updated_at"]
GUIDE_COLUMNS = ["guide_id", "package", "title", "body", "path", "updated_at"]


def _rows(folder: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / "pydocs.db")
    try:
        return connection.execute("SELECT * FROM documents ORDER BY id").fetchall()
    finally:
        connection.close()


def test_both_sources_have_their_columns(filled: Path) -> None:
    connection = sqlite3.connect(filled / "pydocs.db")
    assert [column[1] for column in connection.execute("PRAGMA table_info(documents)")] == COLUMNS
    connection.close()
    assert pq.read_schema(filled / "guides" / "part-0000.parquet").names == GUIDE_COLUMNS
    assert len(list((filled / "guides").iterdir())) >= 2


def test_the_guides_have_unique_ids(filled: Path) -> None:
    ids = pq.read_table(filled / "guides", columns=["guide_id"])["guide_id"].to_pylist()
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "identifier",
    [
        "api:pandas.DataFrame.merge",
        "api:pandas.DataFrame.head",
        "api:pandas.Series.str.contains",
        "api:pandas.api.typing.DataFrameGroupBy.aggregate",
        "api:numpy.where",
        "api:numpy.ndarray.reshape",
        "api:scipy.stats.norm",
        "api:scipy.stats.ttest_ind",
        "api:sklearn.cluster.KMeans",
        "api:pyarrow.Table.join",
        "api:pyarrow.parquet.read_table",
        "api:airflow.providers.standard.operators.bash.BashOperator",
        "api:sqlalchemy.create_engine",
        "guides:sklearn.impute",
        "guides:tqdm:README",
    ],
)
def test_what_people_look_for_first_is_there(survivors: dict[str, str], identifier: str) -> None:
    assert identifier in survivors


def test_enough_survives_cleaning_and_real_dirt_is_in_it(filled: Path, survivors: dict[str, str]) -> None:
    assert len(survivors) >= 5_500
    duplicates = [row for row in _rows(filled) if row[0] != row[3]]
    assert len(duplicates) > 100
    assert any(">>> " in text for text in survivors.values())
    assert any(":class:`" in text for text in survivors.values())


def test_no_test_private_or_vendored_code_is_read(filled: Path) -> None:
    for row in _rows(filled):
        identifier, path = str(row[0]), str(row[6])
        assert not any(part.startswith("_") for part in identifier.split(".")), identifier
        assert not {"tests", "_vendor", "externals"} & set(path.split("/")), path


def _api_row(name: str, doc: str) -> ApiRow:
    return ApiRow(id=name, package="p", kind="function", name=name, signature="()", doc=doc, path="p.py", line=1)


def test_a_fill_over_another_stamps_only_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "pydocs.db"
    fill_module._write_database(path, [_api_row("a", "old"), _api_row("b", "same")])
    before = {row[0]: row[8] for row in _rows(tmp_path)}
    assert before == {"a": fill_module.updated_at("a"), "b": fill_module.updated_at("b")}
    fill_module._write_database(path, [_api_row("a", "new"), _api_row("b", "same"), _api_row("c", "new")])
    after = {row[0]: row[8] for row in _rows(tmp_path)}
    assert after["b"] == before["b"]
    assert after["a"] == after["c"] > max(before.values())


def test_a_row_edited_by_hand_is_stamped(tmp_path: Path) -> None:
    fill_module._write_database(tmp_path / "pydocs.db", [_api_row("a", "old"), _api_row("b", "same")])
    connection = sqlite3.connect(tmp_path / "pydocs.db", isolation_level=None)
    connection.execute("UPDATE documents SET doc = 'new' WHERE id = 'a'")
    connection.close()
    times = {row[0]: row[8] for row in _rows(tmp_path)}
    assert times["a"] > times["b"] == fill_module.updated_at("b")


def test_a_second_fill_leaves_everything_alone(filled: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in filled.rglob("*")}
    counts = fill(filled)
    assert counts["api"] == len(_rows(filled))
    assert {path: path.stat().st_mtime_ns for path in filled.rglob("*")} == before


def test_a_fill_of_another_folder_is_equal_row_by_row(filled: Path, tmp_path: Path) -> None:
    fill(tmp_path)
    assert _rows(tmp_path) == _rows(filled)
    assert pq.read_table(tmp_path / "guides").equals(pq.read_table(filled / "guides"))


def test_other_versions_or_a_missing_part_ask_for_a_new_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill_module, "_read_sources", lambda: ([], []))
    fill(tmp_path)
    (tmp_path / "guides" / "part-0000.parquet").unlink()
    assert fill(tmp_path) == {"api": 0, "guides": 0}
    assert (tmp_path / "guides" / "part-0000.parquet").exists()
    monkeypatch.setattr(fill_module, "fingerprint", lambda: "other versions")
    fill(tmp_path)
    assert "other versions" in (tmp_path / "pydocs.filled.json").read_text()


def test_an_unreadable_receipt_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill_module, "_read_sources", lambda: ([], []))
    tmp_path.joinpath("pydocs.filled.json").write_text("{half")
    assert fill(tmp_path) == {"api": 0, "guides": 0}


def test_the_command_prints_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fill_module, "_read_sources", lambda: ([], []))
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"pydocs: 0 API documents and 0 guides in {tmp_path}\n"
    assert main([]) == 2


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(PackageNotInstalled, match="no_such_package"):
        package_location("no_such_package")
