"""Numbers and sentences for people."""

import pytest

from slipway.evaluation.gates import GateResult
from slipway.report import formats
from slipway.report.words import headline


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (formats.metric(0.5, "ndcg_at_10"), "0.500"),
        (formats.metric(1.234, "p95_ms"), "1.23 ms"),
        (formats.metric(16.0 * 2**20, "index_bytes"), "16.0 MiB"),
        (formats.metric(6543.0, "documents"), "6,543"),
        (formats.metric(None, "documents"), "–"),
        (formats.signed(-0.0124), "−0.012"),
        (formats.signed(-0.0001), "0.000"),
        (formats.interval(-0.031, 0.007), "−0.031 to +0.007"),
        (formats.interval(None, None), "too few queries"),
        (formats.seconds(8123), "2 h 15 min"),
        (formats.seconds(0.42), "0.4 s"),
        (formats.moment("20261121T021500Z"), "2026-11-21 02:15 UTC"),
        (formats.moment("2026-11-21T02:15:00+00:00"), "2026-11-21 02:15 UTC"),
        (formats.percent(0.034), "3.4 %"),
    ],
)
def test_numbers_are_shown_with_their_units(shown, text):
    assert shown == text


HELD = GateResult("recall_at_10", 1.0, True, "")
FAILED = GateResult("p95_ms", 9.0, False, "")
OPEN = GateResult("ndcg_at_10", 0.5, False, "", undecided=True)


@pytest.mark.parametrize(
    ("outcome", "gates", "kind", "queries", "said"),
    [
        ("pass", (HELD, HELD), "nightly", 9, "All 2 gates hold. The run may make this candidate live."),
        ("pass", (), "nightly", None, "The collection has no gates, so nothing was judged."),
        ("fail", (HELD, FAILED, OPEN), "nightly", 9, "1 of 3 gates does not hold: Latency, p95. nDCG@10 could not"),
        ("fail", (FAILED,), "reindex", 9, "an override that names each failed gate"),
        ("undecided", (HELD, OPEN), "nightly", 1, "but 1 golden query is too few to rule out a loss in nDCG@10."),
        ("undecided", (OPEN,), "reindex", 9, "A person has to decide"),
    ],
)
def test_the_verdict_is_said_in_sentences(outcome, gates, kind, queries, said):
    assert said in headline(outcome, gates, kind, queries)
