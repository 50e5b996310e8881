"""Finding the report on a build by a run, a release, a candidate, or how one begins."""

import pytest

from slipway import layout
from slipway.errors import InputError
from slipway.manifest import Draft
from slipway.report import find_report


@pytest.fixture
def reports(store):
    for number, run_id, release_id, candidate in (
        (1, "night-1", "20261101T021500-aaaa", "c0ffee0000000000"),
        (2, "night-2", "20261102T021500-bbbb", "beef000000000000"),
        (3, "manual-7", "20261102T021500-bbbb", "beef000000000000"),
    ):
        facts = {"run_id": run_id, "release_id": release_id, "candidate": layout.candidate(candidate)}
        Draft(store, layout.report(run_id), "report", "f").seal({}, {**facts, "made_at": f"2026-11-0{number}T03:00:00"})
    return store


@pytest.mark.parametrize(
    ("build", "run_id"),
    [
        (None, "manual-7"),
        ("night-1", "night-1"),
        ("man", "manual-7"),
        ("20261101", "night-1"),
        ("c0f", "night-1"),
        ("beef", "manual-7"),
        ("beef000000000000", "manual-7"),
    ],
)
def test_a_name_or_its_beginning_finds_the_newest_report_on_it(reports, build, run_id):
    assert find_report(reports, build).facts["run_id"] == run_id


def test_the_beginning_of_several_names_lists_them(reports):
    with pytest.raises(InputError, match="'night' begins several names: night-1, night-2"):
        find_report(reports, "night")


def test_an_unknown_name_says_which_there_are(reports):
    with pytest.raises(InputError, match="called 'nothing' or begins so; the newest are of the runs manual-7, night-2"):
        find_report(reports, "nothing")


def test_without_any_report_it_says_what_writes_one(store):
    with pytest.raises(InputError, match="there is no report"):
        find_report(store)
