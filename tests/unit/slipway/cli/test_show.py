"""What commands print for people."""

from typing import Any

import pytest

from slipway.cli import show
from tests.unit.slipway.results import COMPARED, PLAN, UPDATE, a_result

NOTHING = PLAN | dict.fromkeys(("added", "changed", "deleted", "to_embed", "tokens", "minutes", "bytes"), 0)


def lines(page: str) -> list[str]:
    return [line.strip() for line in page.splitlines()]


def test_a_result_shows_the_sources_and_the_plan_before_the_rest() -> None:
    page = show.result(a_result())
    shown = [
        "pydocs  run manual-1",
        "api: changes only, 1,043 rows, 2 deleted, 43 cleaned anew; everything since 2026-01-30T02:15",
        "guides: all, 8 rows, 0 cleaned anew; Parquet files are read in full",
        "embed 55 of 9,876 chunks, 12,345 tokens; write 84.6 KiB of vectors",
        "about 1 h 20 min at 2,559 tokens/s (median of the 3 newest vector parts, made on cpu)",
        "12 added, 31 changed, 2 deleted, 6,500 unchanged",
        "55 embedded, 9,821 reused",
        "updated from 20260130T021500-0a1b2c3d, 55 added and 4 removed: no trigger fired",
        "quiet  tombstone_share 0.01235, limit 0.2",
        "quiet  recall_loss -, limit 0.01",
        "6,543 documents, 9,900 chunks, 9,876 vectors, 9,880 rows, 4 tombstones, 256 sampled",
        "released: r1",
    ]
    places = [page.index(one) for one in shown]
    assert places == sorted(places)


def test_that_nothing_changed_is_said_first() -> None:
    page = show.result(a_result(nothing_changed=True, released=False, embedded=0, plan=NOTHING))
    assert lines(page)[2].startswith("Nothing changed: nothing was embedded")
    assert "nothing to embed: all 9,876 chunks have their vectors" in page
    assert "Nothing changed" not in show.result(a_result())


def test_a_trigger_that_fired_is_marked() -> None:
    fired = {"name": "imbalance", "value": 1.7, "limit": 1.5, "fired": True}
    update = UPDATE | {"kind": "built", "base": None, "reason": "imbalance 1.7 is over 1.5", "triggers": [fired]}
    page = show.result(a_result(index=a_result()["index"] | {"update": update}))
    assert "built anew: imbalance 1.7 is over 1.5" in page
    assert "FIRED  imbalance 1.7, limit 1.5" in page


def test_shards_that_an_index_was_built_in_are_told() -> None:
    def page(**shards: Any) -> str:
        return show.result(a_result(index=a_result()["index"] | shards))

    assert "built in    8 shards, merged\n" in page(shards={"built_in": 8, "apart": ""})
    assert "8 shards, searched side by side: graphs cannot" in page(shards={"built_in": 8, "apart": "graphs cannot"})
    assert "shards" not in page()


def test_what_a_run_was_told_is_shown() -> None:
    page = show.result(a_result(allowed=["deletes", "over_budget"], full=True))
    assert "allowed     deletes, over budget\n" in page
    assert "full        all rows" in page
    assert "allowed" not in show.result(a_result())


def test_a_run_that_did_not_come_far_is_shown_as_far_as_it_came() -> None:
    left: dict[str, Any] = {"collection": "pydocs", "run_id": "r", "released": False, "release_id": None, "seconds": {}}
    assert "not released: -" in show.result(left)
    assert show.plan(left).startswith("pydocs  run r: the plan, nothing embedded")


def test_a_plan_is_a_page_of_its_own() -> None:
    made = {name: a_result()[name] for name in ("collection", "run_id", "sources", "plan", "seconds", "allowed")}
    page = show.plan(made | {"added": 12, "changed": 31, "deleted": 2, "unchanged": 6500})
    for shown in ("12 added, 31 changed", "embed 55 of 9,876", "about 1 h 20 min", "api: changes only"):
        assert shown in page
    assert "release " not in page
    assert "Nothing would change" not in page


def test_a_plan_of_nothing_says_so_first() -> None:
    page = show.plan(a_result(plan=NOTHING))
    assert lines(page)[2] == "Nothing would change against the live release, and nothing would be embedded."


@pytest.mark.parametrize("name", ["added", "changed", "deleted", "to_embed"])
def test_one_document_is_not_nothing(name: str) -> None:
    assert "Nothing would change" not in show.plan(a_result(plan=NOTHING | {name: 1}))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "under a minute"),
        (0.99, "under a minute"),
        (1, "about 1 min"),
        (59.4, "about 59 min"),
        (59.6, "about 1 h 0 min"),
        (200, "about 3 h 20 min"),
    ],
)
def test_times_are_for_people(value: float, text: str) -> None:
    assert show.minutes(value) == text


def test_differences_to_the_live_release_are_shown_with_their_intervals() -> None:
    page = show.result(a_result(comparison=COMPARED))
    assert "compared    ndcg_at_10 −0.041 (90 %: −0.062 to −0.020)\n" in page
    assert "compared    recall_at_10 0\n" in page
    assert "164 queries asked of 20260130T021500-0a1b2c3d too; 25.0% changed their top ten, overlap@10 0.910" in page


def test_gates_are_marked() -> None:
    gates = [
        {"metric": "p95_ms", "value": 1.0, "passed": True, "reason": "fast"},
        {"metric": "p95_ms", "value": 1.0, "passed": False, "undecided": False, "reason": "slow"},
        {"metric": "p95_ms", "value": 1.0, "passed": False, "undecided": True, "reason": "who knows"},
    ]
    page = show.result(a_result(gates=gates))
    assert [line for line in lines(page) if line.startswith("gate")] == [
        "gate        pass  fast",
        "gate        FAIL  slow",
        "gate        UNDECIDED  who knows",
    ]


def test_the_speed_of_embedding_is_shown_with_what_made_it() -> None:
    assert "speed       5,367 tokens/s by openvino\n" in show.result(a_result())
    assert "tokens/s by" not in show.result({name: told for name, told in a_result().items() if name != "embedding"})
