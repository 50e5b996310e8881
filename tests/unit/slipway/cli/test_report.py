"""`slipway report`, as people and scripts call it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.report import page_of, read_document, read_page, write
from slipway.storage import LocalStore
from tests.support.reports import a_judgement


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    monkeypatch.chdir(tmp_path)
    return LocalStore(tmp_path / "store" / "pydocs")


def slipway(*options: str) -> Result:
    return CliRunner().invoke(main, ["report", "pydocs", "--store", "store", *options])


def test_the_newest_report_is_told_with_the_place_of_its_page(store, tmp_path):
    made = a_judgement(store, tmp_path / "scratch", queries=5)
    sealed = write(made.run, made.reported)
    said = slipway()
    assert said.exit_code == 0, said.output
    assert "UNDECIDED: No gate fails, but 5 golden queries are too few" in said.stdout
    assert "  UNDECIDED  ndcg_at_10 0.512" in said.stdout
    assert "(too few queries)" in said.stdout
    assert "  alarm      centroid shift is 0.08" in said.stdout
    assert said.stdout.splitlines()[-1].split()[-1] == str(store.local_path(page_of(sealed).key))
    assert sorted(path.name for path in tmp_path.glob("*.html")) == []


def test_a_page_is_copied_where_it_is_asked_for_and_opened(store, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    made = a_judgement(store, tmp_path / "scratch", queries=30)
    sealed = write(made.run, made.reported)
    said = slipway(made.run.run_id[:8], "--output", "here.html", "--open")
    assert said.exit_code == 0, said.output
    assert (tmp_path / "here.html").read_text(encoding="utf-8") == read_page(store, sealed)
    assert opened == [(tmp_path / "here.html").as_uri()]


def test_a_page_of_a_remote_store_is_copied_to_this_folder(store, tmp_path, monkeypatch):
    made = a_judgement(store, tmp_path / "scratch", queries=30, nights=0)
    sealed = write(made.run, made.reported)
    monkeypatch.setattr(LocalStore, "local_path", lambda self, key: None)
    assert slipway().exit_code == 0
    assert (tmp_path / f"pydocs-{made.run.run_id}.html").read_text(encoding="utf-8") == read_page(store, sealed)


def test_scripts_get_the_whole_report_and_nothing_else(store, tmp_path):
    made = a_judgement(store, tmp_path / "scratch", queries=30)
    sealed = write(made.run, made.reported)
    assert json.loads(slipway("--json").stdout) == read_document(store, sealed)
    assert list(tmp_path.glob("*.html")) == []


def test_what_is_not_there_is_an_error_of_the_input(store):
    said = slipway()
    assert said.exit_code == 2
    assert "there is no report" in said.stderr
