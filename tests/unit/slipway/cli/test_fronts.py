from slipway.cli import fronts
from tests.support.contracts import a_contract


def test_what_was_tried_is_a_table_with_what_was_confirmed() -> None:
    asked, confirmed, *rows = fronts.lines(a_contract())
    assert asked.split(maxsplit=1) == ["contract", "recall_at_10 0.95, p95_ms 10, memory 2.0 MiB"]
    assert confirmed.endswith("by 40 held-out queries (golden queries): recall@10 0.958, p95 0.6 ms, 1.0 MiB")
    assert [row.split()[1] for row in rows] == ["*", "*", ">", "IVF16,Flat", "1"]
    assert rows[0].endswith("recall@10 is 0.910")
    assert rows[-1].endswith("1 more were not tried")


def test_without_a_contract_nothing_is_said() -> None:
    assert fronts.lines(None) == []
