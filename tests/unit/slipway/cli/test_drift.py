import json
from pathlib import Path

from click.testing import CliRunner

from slipway import layout
from slipway.cli import drifts, main
from slipway.manifest import Draft
from slipway.storage.local import LocalStore
from tests.unit.slipway.drift.records import a_measure, a_record


def test_alarms_come_first_and_each_measure_has_its_trend() -> None:
    records = [
        a_record(1, a_measure("mmd", 0.0)),
        a_record(2, a_measure("mmd", None)),
        a_record(3, a_measure("norm", 1.0), a_measure("mmd", 0.7, alarm=True)),
    ]
    lines = drifts.page({"collection": "pydocs", "records": records}).splitlines()
    assert lines[0] == "pydocs: 20260103T021500Z, run night-3, against release r1"
    assert lines[2].split() == ["ALARM", "mmd", "what", "mmd", "says"]
    assert lines[3].split()[:2] == ["quiet", "norm"]
    assert lines[6].split()[:2] == ["mmd", "▁·█"]
    assert lines[6].endswith("0 to 0.7")
    assert lines[7].index("!") == lines[6].index("█")
    assert lines[8].split()[:2] == ["norm", "··▁"]


def test_vectors_of_two_encoders_are_not_in_one_line() -> None:
    texts = {"group": "texts"}
    records = [
        a_record(1, a_measure("mmd", 0.1), a_measure("lengths", 0.1, **texts)),
        a_record(2, a_measure("mmd", 0.9, alarm=True), a_measure("lengths", 0.2, **texts)) | {"encoder": "other"},
        a_record(3, a_measure("mmd", 0.2), a_measure("lengths", 0.3, **texts)),
    ]
    lines = drifts.page({"collection": "pydocs", "records": records}).splitlines()
    shown = [line.split()[:2] for line in lines if line.startswith(("  mmd", "  lengths"))]
    assert shown == [["mmd", "▁·█"], ["lengths", "▁▅█"]]
    assert not any("!" in line for line in lines[6:])


def test_a_collection_without_a_record_says_so() -> None:
    assert drifts.page({"collection": "pydocs", "records": []}) == "pydocs: no run has looked for drift yet"


def test_a_run_says_its_alarms_or_that_there_is_none() -> None:
    said = {"against": "r1", "alarms": [], "measures": [a_measure("mmd", 0.1)]}
    assert drifts.sentences(said) == ["no alarm in 1 measures, against release r1"]
    assert drifts.sentences({**said, "against": None}) == ["no alarm in 1 measures, nothing is live to compare with"]
    assert drifts.sentences({**said, "alarms": ["it moved"]}) == ["ALARM  it moved"]
    assert drifts.sentences(None) == []


def test_the_command_gives_the_newest_records_and_no_error_for_alarms(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "pydocs")
    for number in (1, 2, 3):
        facts = a_record(number, a_measure("mmd", 0.7, alarm=True))
        place = layout.drift(facts["at"], facts["run_id"])
        Draft(store, place, "drift", facts["run_id"]).seal({}, facts)
    done = CliRunner().invoke(main, ["drift", "pydocs", "--store", str(tmp_path), "--last", "2", "--json"])
    assert done.exit_code == 0
    found = json.loads(done.output)
    assert found["collection"] == "pydocs"
    assert [one["run_id"] for one in found["records"]] == ["night-2", "night-3"]
    shown = CliRunner().invoke(main, ["drift", "pydocs", "--store", str(tmp_path)])
    assert shown.exit_code == 0
    assert "ALARM  mmd" in shown.output
