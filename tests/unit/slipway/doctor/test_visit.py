"""`slipway doctor` as people and scripts call it: everything that it looks at, on a store in a folder."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.cli.doctor import summary, table
from slipway.doctor import Finding, Outcome, Status, examine, look_over, passed
from slipway.doctor import encoder as parity
from slipway.doctor import store as checks
from slipway.doctor.visit import Means, of_plugins
from slipway.run import Connection
from slipway.storage import LocalStore
from tests.support.releases import a_run, publish
from tests.unit.slipway.doctor.test_encoder import Probe

COLLECTION = """
sources: [{{name: api, kind: lake, path: {lake}, id: id, text: "{{body}}"}}]
encoder: {{name: none, folder: model, dimension: 16, max_tokens: 256}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sound collections, `docs` and `more`, and an encoder that needs no model."""
    for name in ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_PUBLIC_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLIPWAY_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parity, "load_encoder", lambda *_, **__: Probe())
    pq.write_table(pa.table({"id": ["1"], "body": ["text"]}), tmp_path / "lake.parquet")
    collections = tmp_path / "collections"
    collections.mkdir()
    for name in ("docs", "more"):
        (collections / f"{name}.yaml").write_text(COLLECTION.format(lake=tmp_path / "lake.parquet"))
    return collections


@pytest.fixture
def no_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the race of eight processes, which has tests of its own."""
    monkeypatch.setattr(checks, "atomic", lambda _opened, _rounds: passed("not raced"))


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.doctor.visit.entry_points", lambda group: [])


def slipway(*options: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *options, "--collections", "collections", "--store", "store"])


def by_check(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(finding["check"], finding["subject"]): finding for finding in document["findings"]}


def test_a_sound_installation_is_ready_and_nothing_is_left_in_its_store(folder: Path, no_plugins: None) -> None:
    done = slipway("docs", "--json", "--rounds", "1")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["healthy"], document["fail"]) == (0, True, 0), done.stdout
    found = {finding["check"]: finding["status"] for finding in document["findings"]}
    assert found == {
        "collection file": "pass", "settings": "pass", "store": "pass", "conditional writes": "pass",
        "atomic writes": "pass", "listing": "pass", "transfer": "pass", "checksums": "pass", "clock": "pass",
        "clean-up": "pass", "source": "pass", "golden queries": "skip", "encoder": "pass", "serving": "skip",
        "lease": "pass", "signing key": "skip", "backup": "skip", "memory": "skip", "scratch": "pass",
        "cache": "pass", "airflow": "skip",
    }  # fmt: skip
    assert not (folder.parent / "store").exists()
    assert not list((folder.parent / "scratch").iterdir())


def test_people_get_a_table_with_what_to_do(folder: Path, no_race: None, no_plugins: None) -> None:
    (folder / "docs.yaml").write_text(COLLECTION.format(lake="/nowhere.parquet"))
    done = slipway("docs")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    [number] = [number for number, line in enumerate(lines) if line.startswith("fail")]
    assert "docs.api (lake): SourceSchemaError: /nowhere.parquet" in lines[number]
    assert lines[number + 1].strip().startswith("→ mend")
    assert lines[-1].endswith("1 fail: not ready for the first night")


def test_a_store_is_tried_once_for_all_its_collections(folder: Path, no_race: None, no_plugins: None) -> None:
    document = json.loads(slipway("--json").stdout)
    counts = Counter(finding["check"] for finding in document["findings"])
    assert (counts["transfer"], counts["encoder"], counts["memory"]) == (1, 2, 1)


def test_a_broken_file_takes_no_other_collection_down(folder: Path, no_race: None, no_plugins: None) -> None:
    (folder / "docs.yaml").write_text("sources: []")
    done = slipway("--json")
    found = by_check(json.loads(done.stdout))
    assert done.exit_code == 1
    assert found["collection file", "docs"]["status"] == "fail"
    assert found["lease", "more"]["status"] == "pass"
    assert ("lease", "docs") not in found


def test_a_collection_that_is_not_there_fails(folder: Path, no_race: None, no_plugins: None) -> None:
    found = by_check(json.loads(slipway("nothing", "--json").stdout))
    assert found["collection file", "nothing"]["status"] == "fail"


def test_settings_that_the_store_cannot_have_fail(folder: Path, no_race: None, no_plugins: None) -> None:
    file = folder / "docs.yaml"
    file.write_text(file.read_text() + "release: {encryption: {ServerSideEncryption: AES256}}\n")
    found = by_check(json.loads(slipway("docs", "--json").stdout))
    assert found["settings", "docs"]["status"] == "fail"
    assert "s3:// stores only" in found["settings", "docs"]["found"]


def test_a_store_that_does_not_answer_is_not_asked_again(folder: Path, no_plugins: None) -> None:
    (folder.parent / "store").write_text("a file where a folder should be")
    done = slipway("--json")
    document = json.loads(done.stdout)
    assert done.exit_code == 1
    statuses = {finding["check"]: finding["status"] for finding in document["findings"]}
    assert statuses["store"] == "fail"
    assert "atomic writes" not in statuses
    assert {statuses[check] for check in ("encoder", "serving", "lease", "signing key")} == {"skip"}
    assert statuses["source"] == "pass"


def test_what_is_released_is_measured(folder: Path, no_race: None, no_plugins: None) -> None:
    store = LocalStore("store/docs")
    publish(a_run(store, Path("scratch")), encoder=Probe.fingerprint)
    before = [info.key for info in store.list()]
    found = by_check(json.loads(slipway("docs", "--json").stdout))
    assert found["serving", "docs"]["status"] == "pass"
    assert found["encoder", "docs"]["status"] == "pass"
    assert "docs takes" in found["memory", "this machine"]["found"]
    assert [info.key for info in store.list()] == before


# --- checks of other packages -----------------------------------------------------------------------------------------


def good(collections: Any) -> list[Finding]:
    return [examine("mine", "x", lambda: Outcome(Status.WARN, f"{len(collections)} collections", "do it"))]


def bad(_collections: Any) -> list[Finding]:
    raise ValueError("of its own")


def plugins(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[Finding]:
    points = [EntryPoint(name, f"{__name__}:{name}", "slipway.checks") for name in names]
    monkeypatch.setattr("slipway.doctor.visit.entry_points", lambda group: points)
    return list(of_plugins([]))


def test_other_packages_add_their_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    [found] = plugins(monkeypatch, "good")
    assert (found.check, found.found) == ("mine", "0 collections")


def test_a_check_that_fails_or_is_not_there_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    found = plugins(monkeypatch, "bad", "no_such_function", "good")
    assert [(one.check, one.status) for one in found] == [
        ("bad", Status.FAIL), ("no_such_function", Status.FAIL), ("mine", Status.WARN),
    ]  # fmt: skip


def test_the_project_names_airflows_checks() -> None:
    from slipway_airflow.doctor import checks

    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())
    named = project["project"]["entry-points"]["slipway.checks"]
    assert EntryPoint("airflow", named["airflow"], "slipway.checks").load() is checks


def test_an_empty_folder_has_nothing_but_the_machine(tmp_path: Path, no_plugins: None) -> None:
    def none(name: str) -> Connection:
        raise AssertionError(name)

    found = look_over([], Means(none, lambda name: ""))
    assert [one.check for one in found] == ["memory", "scratch", "cache", "airflow"]
    assert table(summary([one.as_json() for one in found])).endswith("ready")
