import json
from dataclasses import replace

from slipway.report import write
from slipway.report.fronts import SHOWN, clauses, front
from slipway.report.reading import read_page
from tests.support.contracts import a_contract
from tests.support.reports import a_judgement


def test_a_page_without_a_contract_has_no_front() -> None:
    assert front(None) is None


def test_the_chosen_index_and_the_front_stand_out() -> None:
    made = front(json.loads(json.dumps(a_contract())))
    assert made is not None
    assert [mark.kind for mark in made.marks] == ["front", "front", "chosen", "tried"]
    assert made.marks[0].name == "IVF16,SQ4: recall@10 0.910, 512.0 KiB"
    lower, _, chosen, _ = made.marks
    assert chosen.x > lower.x  # more memory
    assert chosen.y < lower.y  # higher recall
    assert made.line.split() == [f"{mark.x},{mark.y}" for mark in made.marks[:3]]
    assert made.rows[-1][:5] == ("<HNSW32>", "–", "–", "8.0 MiB", "–")
    assert made.rows[2][5] == "keeps every clause"


def test_of_what_was_not_tried_some_are_shown() -> None:
    contract = a_contract()
    contract["front"] = [contract["front"][-1]] * (SHOWN + 3)
    made = front(contract)
    assert made is not None
    assert (made.marks, len(made.rows), made.left_out) == ((), SHOWN, 3)


def test_each_clause_is_shown_with_what_was_measured() -> None:
    assert clauses(a_contract()) == [
        ("recall@10", "0.950", "0.958"),
        ("p95", "10.00 ms", "0.60 ms"),
        ("memory", "2.0 MiB", "1.0 MiB"),
    ]


def page_with(contract, store, tmp_path) -> str:
    made = a_judgement(store, tmp_path)
    facts = {**made.reported.candidate.facts, "contract": contract}
    reported = replace(made.reported, candidate=replace(made.reported.candidate, facts=facts))
    return read_page(store, write(made.run, reported))


def test_the_page_tells_of_the_contract_and_escapes_it(store, tmp_path) -> None:
    page = page_with(a_contract(), store, tmp_path)
    assert '<h2 id="contract">The index contract</h2>' in page
    assert "What was tried for the contract, because nothing is released yet" in page
    assert "&lt;HNSW32&gt;" in page
    assert "<HNSW32>" not in page


def test_the_page_of_a_run_that_took_the_choice_over_says_that_it_tried_nothing(store, tmp_path) -> None:
    page = page_with(a_contract() | {"how": "as last night"}, store, tmp_path)
    assert "What was tried when the index was chosen; this run took that choice over, and tried nothing" in page
    assert "because" not in page[page.index('id="contract"') : page.index("Confirmed on all vectors")]
