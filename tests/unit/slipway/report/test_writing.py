"""The sealed report: what it holds, that it is whole, and that it is written once."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from slipway import layout
from slipway.drift import record
from slipway.errors import CorruptObject
from slipway.evaluation.demands import RECALL_DROP
from slipway.report import drifting, read_document, read_page, write
from slipway.report.page import render
from tests.support.reports import a_first_judgement, a_judgement

HOSTILE = "<script>alert('x')</script>"
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Elements(HTMLParser):
    """The elements of a page with their attributes; `open` holds those that were not closed."""

    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def made(store, tmp_path):
    return a_judgement(store, tmp_path)


def test_a_report_is_one_file_that_asks_for_nothing_else_and_runs_nothing(store, made):
    page = read_page(store, write(made.run, made.reported))
    elements = Elements(page)
    assert elements.open == []
    tags = {tag for tag, _ in elements.found}
    assert tags.isdisjoint({"script", "img", "link", "iframe", "object", "form", "base"})
    attributes = {name for _, given in elements.found for name in given}
    assert attributes.isdisjoint({"src", "href", "style", "srcset", "action"})
    assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in page
    assert "@import" not in page


def test_every_plot_says_in_words_what_it_shows(store, made):
    page = read_page(store, write(made.run, made.reported))
    plots = [given for tag, given in Elements(page).found if tag == "svg"]
    assert len(plots) == 4 + 7  # two of differences, recall against latency, neighbours; what was measured of drift
    assert all(given["role"] == "img" and given["aria-label"] for given in plots)
    assert page.count("<figcaption>") == len(plots) + 1  # one could not be measured


def test_its_data_say_what_the_page_says(store, made):
    report = write(made.run, made.reported)
    found = read_document(store, report)
    assert (found["schema"], found["collection"], found["run_id"]) == (1, "pydocs", made.run.run_id)
    assert (found["kind"], found["reason"]) == ("reindex", made.reported.reason)
    assert found["candidate"]["encoder"]["fingerprint"] == "b" * 16
    assert found["live"]["encoder"]["fingerprint"] == "a" * 16
    assert found["live"]["release_id"] == made.reported.comparison.facts["live"]
    assert found["verdict"]["gates"] == made.reported.verdict.as_json()
    assert found["comparison"] == made.reported.comparison.facts | {"dropped_count": 1, "gone_count": 1}
    assert found["margins"] == {"ndcg_at_10": 0.02, "recall_at_10": RECALL_DROP}
    assert found["plan"]["to_embed"] == 84_211
    assert [len(record["measures"]) for record in found["drift"]] == [8] * 12
    assert (
        sum(found["changed"]["overlaps"])
        == found["changed"]["won"] + found["changed"]["lost"] + (found["changed"]["same"])
    )
    assert found["sizes"]["candidate"]["all"] == made.reported.candidate.size_bytes
    assert report.facts["headline"] == found["verdict"]["headline"]
    assert found["verdict"]["headline"] in read_page(store, report)


def test_whatever_people_and_sources_wrote_is_escaped(store, made):
    found = read_document(store, write(made.run, made.reported))
    loser, slices, measure = (
        found["moved"]["losers"][0],
        found["comparison"]["by_slice"],
        found["drift"][-1]["measures"][0],
    )
    found["reason"] = found["collection"] = found["run_id"] = HOSTILE
    loser |= {"query": HOSTILE, "slice": HOSTILE}
    loser["documents"][0] |= {"title": HOSTILE, "snippet": HOSTILE}
    found["comparison"]["by_slice"] = {f"{HOSTILE}{name}": one for name, one in slices.items()}
    found["candidate"]["encoder"]["name"] = found["candidate"]["spec"]["factory"] = HOSTILE
    found["verdict"]["gates"][0] |= {"metric": HOSTILE, "reason": HOSTILE, "kind": HOSTILE}
    measure |= {"says": HOSTILE, "name": HOSTILE}
    found["evaluation"]["parameters_reason"] = HOSTILE
    page = render(found)
    assert page.count("&lt;script&gt;") > 15
    assert "<script" not in page
    assert Elements(page).open == []


def test_five_golden_queries_give_no_interval_and_no_verdict(store, tmp_path):
    made = a_judgement(store, tmp_path, queries=5, slices=1)
    page = read_page(store, write(made.run, made.reported))
    assert "Undecided" in page
    assert "5 golden queries are too few to rule out a loss in nDCG@10" in page
    assert "too few queries" in page
    assert 'class="interval"' not in page
    assert page.count('<g class="open">') == 5 + 1


def test_a_report_stays_small_however_many_queries_and_slices_there_are(store, tmp_path):
    made = a_judgement(store, tmp_path, queries=3_000, slices=40, nights=31)
    report = write(made.run, made.reported)
    found, page = read_document(store, report), read_page(store, report)
    assert report.size_bytes < 1_500_000
    assert len(found["drift"]) == 30
    assert "The 20 slices that lose most; 20 more are at" in page


def test_its_size_does_not_grow_with_the_queries_that_lost_their_documents(store, made):
    missing = [f"api:{number}" for number in range(3_000)]
    compared = replace(made.reported.comparison, facts={**made.reported.comparison.facts, "gone": missing})
    evaluated = {**made.reported.evaluation.facts, "judged_missing": missing}
    evaluation = replace(made.reported.evaluation, facts=evaluated)
    report = write(made.run, replace(made.reported, comparison=compared, evaluation=evaluation))
    found = read_document(store, report)
    assert (found["comparison"]["gone"], found["comparison"]["gone_count"]) == (missing[:50], 3_000)
    judged = found["evaluation"]
    assert (judged["judged_missing"], judged["judged_missing_count"]) == (missing[:50], 3_000)
    assert "3,000 judged documents are not in the candidate" in read_page(store, report)


def test_a_night_has_the_margins_of_its_file_alone(store, tmp_path):
    made = a_judgement(store, tmp_path, kind="nightly")
    assert read_document(store, write(made.run, made.reported))["margins"] == {"ndcg_at_10": 0.02}


def test_a_slice_has_a_wider_noise_floor_than_all_queries(store, made):
    found = read_document(store, write(made.run, made.reported))
    for one in found["comparison"]["by_slice"].values():  # 15 of 60 queries: a floor twice as wide
        one["metrics"]["ndcg_at_10"] |= {"difference": -0.02, "low": -0.03, "high": -0.007}
    found["comparison"]["noise"] = {"ndcg_at_10": 0.004}
    found["comparison"]["metrics"] = {"ndcg_at_10": found["comparison"]["metrics"]["ndcg_at_10"] | {"low": None}}
    assert '<g class="worse">' not in render(found)
    found["comparison"]["noise"] = {"ndcg_at_10": 0.003}
    assert render(found).count('<g class="worse">') == 4


def test_records_that_maintenance_removes_meanwhile_are_left_out(store, made, monkeypatch):
    newest = made.reported.drift
    first, *others = record.places(store)
    listed = record.places

    def swept(store):
        found = listed(store)
        store.delete(f"{first}/manifest.json")
        return found

    monkeypatch.setattr(record, "places", swept)
    assert [one["run_id"] for one in drifting.records(store, newest)] == [f"night-{n:03d}" for n in range(1, 12)]
    assert len(others) == 11


def test_a_line_of_vectors_holds_records_of_one_encoder(store, made):
    found = read_document(store, write(made.run, made.reported))
    for one in found["drift"][2:5]:
        one["encoder"] = "f" * 16
    page = render(found)
    assert "Centroid shift over 9 runs, 1 with an alarm" in page
    assert "Median length over 12 runs" in page


def test_a_loss_that_is_certain_is_told_in_the_first_sentence(store, tmp_path):
    made = a_judgement(store, tmp_path, queries=400, loss=0.1, kind="nightly")
    report = write(made.run, made.reported)
    assert report.facts["outcome"] == "fail"
    assert report.facts["headline"] == (
        "1 of 5 gates does not hold: nDCG@10. Nothing is released: the live release serves on."
    )
    assert '<g class="worse">' in read_page(store, report)


@pytest.mark.parametrize("queries", (0, 30))
def test_a_first_release_has_nothing_to_compare_with(store, tmp_path, queries):
    made = a_first_judgement(store, tmp_path, queries)
    report = write(made.run, made.reported)
    found, page = read_document(store, report), read_page(store, report)
    assert (found["live"], found["comparison"], found["drift"]) == (None, None, [])
    assert found["moved"] == {"losers": [], "winners": []}
    assert "none: this would be the first" in page
    assert "Nothing was compared" in page
    assert Elements(page).open == []


def test_what_was_live_may_be_gone_since(store, made):
    live = made.reported.comparison.facts["live"]
    store.delete(f"{layout.release(live)}/manifest.json")
    assert read_document(store, write(made.run, made.reported))["live"] is None


def test_it_is_written_once(store, made):
    first = write(made.run, made.reported)
    writes = len(store.calls)
    assert write(made.run, replace(made.reported, seconds={"gate": 9.0})) == first
    assert not [call for call, _ in store.calls[writes:] if call.startswith("put")]


def test_a_run_that_judges_again_writes_another_beside_it(store, made):
    first = write(made.run, made.reported)
    gates = tuple(replace(gate, passed=False) for gate in made.reported.verdict.gates)
    other = replace(made.reported, verdict=replace(made.reported.verdict, gates=gates))
    second = write(made.run, other)
    assert (first.place, second.place) == (layout.report(made.run.run_id), layout.report(f"{made.run.run_id}.2"))
    assert write(made.run, other) == second
    assert write(made.run, made.reported) == first


def test_a_damaged_report_is_not_shown(store, made):
    report = write(made.run, made.reported)
    store.put(report.one("report.html").key, b"<p>pass</p>")
    with pytest.raises(CorruptObject, match=re.escape("report.html is not what its manifest says")):
        read_page(store, report)
