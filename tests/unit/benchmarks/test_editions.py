"""The independent account of what changed, on editions small enough to count by hand."""

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.nights import table
from benchmarks.nights.editions import COLUMNS, as_published, compare, published, sample

README = "2023-edition -> 2024-edition: added 519, removed 24, changed definition 875, changed members/title 251"


def edition(**entries: tuple[str, str]) -> pd.DataFrame:
    rows = [(title, text, "n", "noun.all") for title, text in entries.values()]
    return pd.DataFrame(rows, columns=list(COLUMNS), index=pd.Index(list(entries), name="doc_id"))


OLD = edition(a=("cat", "a pet"), b=("dog", "a pet"), c=("owl", "a bird"), d=("elm", "a tree"), e=("oak", "a tree"))
NEW = edition(a=("cat", "a pet"), b=("dog", "a hound"), c=("owls", "birds"), e=("oaks", "a tree"), f=("fir", "a tree"))


def test_changes_are_counted_once_an_entry() -> None:
    made = compare(OLD, NEW)
    assert (made.added, made.deleted, made.changed) == (1, {"d"}, 3)
    assert as_published(made) == {"added": 1, "removed": 1, "definitions": 2, "titles": 2}


def test_a_change_that_nobody_sees_is_told_apart() -> None:
    other = edition(a=("cat", "a\u200b pet "), b=("dog", "a pet"), c=("owl", "a  bird"), d=("elm", "a fir"))
    made = compare(OLD, other)
    assert (made.changed, made.unseen, made.definitions) == (1, 2, 3)


def test_a_change_of_metadata_is_a_change() -> None:
    other = OLD.assign(pos=["v", *OLD["pos"][1:]])
    assert (compare(OLD, other).changed, compare(OLD, other).titles) == (1, 0)


def test_the_numbers_of_a_readme_are_read(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"Editions:\n{README}\n")
    assert published(tmp_path / "README.md") == {
        ("2023", "2024"): {"added": 519, "removed": 24, "definitions": 875, "titles": 251}
    }


def test_a_sample_keeps_the_shares_of_what_happened() -> None:
    ids = [f"{number:04d}" for number in range(1_000)]
    full = pd.DataFrame(dict.fromkeys(COLUMNS, ids), index=pd.Index(ids, name="doc_id"))
    editions = {"2023": full, "2024": full, "2025": full.iloc[109:]}
    made = sample(editions, 10)
    assert {year: len(one) for year, one in made.items()} == {"2023": 101, "2024": 101, "2025": 90}
    assert len(compare(made["2024"], made["2025"]).deleted) == 11


def test_the_table_becomes_the_next_edition(tmp_path: Path) -> None:
    table.fill(tmp_path / "t.db", OLD, "2023-10-31 21:00:00")
    table.become(tmp_path / "t.db", NEW, "2024-10-31 21:00:00")
    rows = read(tmp_path / "t.db").drop(columns="updated_at")
    pd.testing.assert_frame_equal(rows, NEW, check_dtype=False, check_index_type=False, check_column_type=False)
    assert compare(rows, NEW) == compare(NEW, NEW)


def test_only_rows_that_changed_are_newer(tmp_path: Path) -> None:
    table.fill(tmp_path / "t.db", OLD, "2023-10-31 21:00:00")
    table.become(tmp_path / "t.db", NEW, "2024-10-31 21:00:00")
    moments = read(tmp_path / "t.db")["updated_at"]
    assert set(moments[moments == "2024-10-31 21:00:00"].index) == {"b", "c", "e", "f"}
    assert moments["a"] == "2023-10-31 20:56:00"


@pytest.mark.parametrize("rows", [3, 5, 12])
def test_copies_fill_a_table_of_any_size_with_texts_of_their_own(tmp_path: Path, rows: int) -> None:
    table.fill(tmp_path / "t.db", OLD, "2023-10-31 21:00:00", copies=3, most=rows)
    made = read(tmp_path / "t.db")
    assert (len(made), table.rows(tmp_path / "t.db")) == (rows, rows)
    assert made.index.is_unique
    assert len(set(made["title"] + made["text"])) == rows
    assert made["updated_at"].is_unique
    assert made["updated_at"].max() == "2023-10-31 21:00:00"


def read(database: Path) -> pd.DataFrame:
    with sqlite3.connect(database) as session:
        return pd.read_sql("SELECT * FROM entries ORDER BY doc_id", session, index_col="doc_id")
