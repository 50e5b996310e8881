from slipway.cli import fronts
from tests.support.contracts import a_contract


def test_what_was_tried_is_a_table_with_what_was_confirmed() -> None:
    asked, confirmed, *rows, left, legend = fronts.lines(a_contract())
    assert asked.split(maxsplit=1) == ["contract", "recall_at_10 0.95, p95_ms 10, memory 2.0 MiB"]
    assert confirmed.endswith("by 40 held-out queries (golden queries): recall@10 0.958, p95 0.6 ms, 1.0 MiB")
    assert [row.split()[1] for row in rows] == ["*", "*", ">", "IVF16,Flat"]
    assert rows[0].endswith("recall@10 is 0.910")
    assert left.endswith("  1 not tried: it is estimated to take more memory than the contract allows")
    assert "* on the Pareto front" in legend


def test_what_was_left_out_for_the_same_kind_of_reason_is_counted() -> None:
    why = "not tried: its codes find too little: {} at most, among 10,000 vectors"
    (row,) = fronts.table([{"measured_on": 0, "why": why.format(most)} for most in (0.93, 0.94)])
    assert row.endswith("2 not tried: its codes find too little")


def test_a_night_that_took_the_choice_over_says_so_and_shows_no_old_table() -> None:
    warm = {**a_contract(), "how": "as last night", "reason": "as last night (release r1), for the contract recall"}
    *_, last = fronts.lines(warm)
    assert last.endswith("nothing was tried: as last night (release r1), for the contract recall")
    assert len(fronts.lines(warm)) == 3


def test_where_nothing_changed_the_contract_is_told_and_not_what_an_earlier_run_tried() -> None:
    assert fronts.lines(a_contract(), nothing_changed=True) == fronts.lines(a_contract())[:2]


def test_without_a_contract_nothing_is_said() -> None:
    assert fronts.lines(None) == []
