from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.config.collection import Gate
from slipway.evaluation.gates import GateResult, judge
from slipway.evaluation.losses import Against, Outcome, differences
from slipway.evaluation.signs import signed

METRIC = "ndcg_at_10"
RESAMPLES = 1_000
ORDER = [Outcome.FAIL, Outcome.UNDECIDED, Outcome.PASS]


def against(
    apart: list[float],
    slices: dict[str, list[float]] | None = None,
    floor: float = 0.0,
    same_encoder: bool = True,
    min_queries: int = 20,
    upgrade: bool = False,
) -> Against:
    """A comparison whose live release has 0.5 for each query."""

    def measured(values: list[float], alpha: float) -> dict:
        live = np.full((len(values), 1), 0.5)
        return differences([METRIC], live + np.array(values)[:, None], live, RESAMPLES, alpha, min_queries)

    by_slice = {name: measured(values, 0.05 / len(slices or [1])) for name, values in (slices or {}).items()}
    slice_alpha = 0.05 / max(len(by_slice), 1)
    return Against(
        measured(apart, 0.05), by_slice, 0.05, slice_alpha, {METRIC: floor}, same_encoder, min_queries, upgrade
    )


def judged(found: Against, **gate: float) -> GateResult:
    value = found.overall[METRIC].candidate
    return judge({METRIC: Gate(**(gate or {"max_drop": 0.02}))}, {METRIC: value}, None, found).gates[0]


def outcome(found: Against, margin: float = 0.02) -> Outcome:
    return found.judge(METRIC, margin)[0]


LOSS = [-0.2, 0.0, 0.0, -0.1] * 25
WIN = [-value for value in LOSS]
UNCLEAR = [-0.4, 0.3, 0.0, 0.05] * 10


def test_a_certain_loss_fails_and_says_how_large_it_is() -> None:
    found = judged(against(LOSS))
    assert not found.passed
    assert not found.undecided
    assert found.kind == "relevance"
    assert found.reason.startswith("ndcg_at_10 0.425: −0.075 against the live 0.5 (90 % interval −0.0")
    assert found.reason.endswith(", 100 queries), allowed is a loss of 0.02: worse")


def test_queries_that_neither_side_can_answer_are_said_to_be_left_out() -> None:
    found = judged(replace(against(LOSS), dropped=27))
    assert ", 100 queries) without 27 of the queries, whose judged documents are gone, allowed is a" in found.reason


def test_what_cannot_be_told_is_undecided_and_says_what_to_do() -> None:
    found = judged(against(UNCLEAR))
    assert (found.passed, found.undecided) == (False, True)
    assert "undecided, too few golden queries to tell: add some, or allow it" in found.reason


@pytest.mark.parametrize(("values", "says"), [(WIN, "better"), ([0.0] * 50, "no win and no loss")])
def test_what_did_not_lose_passes(values: list[float], says: str) -> None:
    found = judged(against(values))
    assert found.passed
    assert says in found.reason


def test_a_loss_within_the_margin_passes() -> None:
    found = judged(against([-0.02, 0.0] * 50))
    assert found.passed
    assert found.reason.endswith("not worse")


def test_a_difference_within_the_noise_is_neither_won_nor_lost() -> None:
    found = judged(against([0.004, 0.0] * 50, floor=0.01))
    assert found.passed
    assert "no win and no loss, as building the same index again changes up to 0.01" in found.reason


def test_a_certain_loss_within_the_noise_is_undecided() -> None:
    assert outcome(against(LOSS)) is Outcome.FAIL
    assert outcome(against(LOSS, floor=0.2)) is Outcome.UNDECIDED


def test_a_few_queries_that_differ_prove_no_loss() -> None:
    """Three that got worse may be chance: of three equal ones, all would get worse in one case of eight."""
    assert outcome(against([-1.0] * 3 + [0.0] * 17)) is Outcome.UNDECIDED
    assert outcome(against([-1.0] * 8 + [0.0] * 12)) is Outcome.FAIL


@pytest.mark.parametrize(
    ("values", "same_encoder", "expected"),
    [
        ([0.0] * 5, True, Outcome.PASS),
        ([0.5] * 5, True, Outcome.PASS),
        ([-0.001, 0.5, 0.5], True, Outcome.UNDECIDED),
        ([-0.5] * 19, True, Outcome.UNDECIDED),
        ([0.5] * 5, False, Outcome.UNDECIDED),
    ],
)
def test_with_too_few_queries_only_a_night_in_which_nothing_got_worse_passes(
    values: list[float], same_encoder: bool, expected: Outcome
) -> None:
    found = against(values, same_encoder=same_encoder)
    assert found.overall[METRIC].low is None
    assert outcome(found) is expected
    assert f"{len(values)} queries, of which" in found.judge(METRIC, 0.02)[1]


def test_an_upgrade_with_too_few_queries_is_undecided_even_where_nothing_got_worse() -> None:
    assert outcome(against([0.0] * 19)) is Outcome.PASS
    assert outcome(against([0.0] * 19, upgrade=True)) is Outcome.UNDECIDED


def test_an_upgrade_may_lose_in_what_was_not_asked() -> None:
    """Of 50 queries none differs: 1 − 0.05^(1/50) = 5.8 % of all may be of a kind that loses its whole 0.5."""
    found = judged(against([0.0] * 50, upgrade=True))
    assert (found.passed, found.undecided) == (False, True)
    assert "too few queries to rule out a loss of 0.0291 in what was not asked: add some" in found.reason
    assert judged(against([0.0] * 50)).passed
    assert judged(against([0.0] * 50, upgrade=True), max_drop=0.03).passed
    assert judged(against([0.0] * 80, upgrade=True)).passed


def test_a_kind_of_query_that_the_draw_missed_does_not_pass_an_upgrade() -> None:
    """4 % of all queries lose everything. Passed is at most alpha of the draws, though many hold none of them."""
    drawn, made = np.random.default_rng(7), []
    for _ in range(200):
        lost = np.where(drawn.random(30) < 0.04, -0.5, 0.0)
        made.append(lost.any())
        assert outcome(against(lost.tolist(), upgrade=True)) is not Outcome.PASS
    assert 0.2 < 1 - np.mean(made) < 0.4


def test_a_loss_within_the_margin_is_no_failure_for_what_was_not_asked() -> None:
    assert outcome(against([-0.01] * 30, upgrade=True)) is Outcome.UNDECIDED
    assert outcome(against(LOSS, upgrade=True)) is Outcome.FAIL


def test_in_a_slice_of_an_upgrade_what_was_not_asked_counts_too() -> None:
    slices = {"names": [0.0] * 400, "few": [0.0] * 30}
    found = judged(against([0.0] * 430, slices, upgrade=True), max_drop_in_slice=0.05)
    assert found.undecided
    assert "slice few" in found.reason
    assert "slice names" not in found.reason
    assert "a loss of 0.0579 in what was not asked" in found.reason


def test_each_slice_is_judged_and_the_bad_ones_are_named() -> None:
    slices = {"names": [0.0] * 40, "tasks": [-0.3, 0.0] * 20, "traps": [-0.2, 0.0] * 20}
    found = judged(against([0.0] * 120, slices), max_drop_in_slice=0.05)
    assert not found.passed
    assert "slice tasks −0.150 against the live 0.5 (96.67 % interval" in found.reason
    assert "slice traps" in found.reason
    assert "slice names" not in found.reason
    good = judged(against([0.0] * 40, {"names": [0.0] * 40}), max_drop_in_slice=0.05)
    assert good.passed
    assert good.reason.endswith("allowed is a loss of 0.05 in a slice, and none of 1 lost more")


def test_the_noise_of_a_slice_is_that_of_fewer_queries() -> None:
    """A fourth of the queries: twice the noise, which the slice's loss does not pass."""
    values = [-0.1, -0.06] * 20
    found = against([0.0] * 120 + values, {"few": values}, floor=0.03)
    assert found.by_slice["few"][METRIC].high == pytest.approx(-0.075, abs=0.005)
    assert found.judge_slices(METRIC, 0.05)[0] is Outcome.FAIL
    assert against([0.0] * 120 + values, {"few": values}, floor=0.045).judge_slices(METRIC, 0.05)[0] is (
        Outcome.UNDECIDED
    )


def test_a_small_slice_that_got_worse_leaves_the_gate_undecided() -> None:
    found = judged(against([0.0] * 40, {"names": [0.0] * 35, "few": [-0.4] * 5}), max_drop_in_slice=0.05)
    assert (found.passed, found.undecided) == (False, True)
    assert "slice few" in found.reason


def test_a_bound_that_is_not_kept_fails_whatever_is_undecided() -> None:
    found = judged(against(UNCLEAR), min=0.9, max_drop=0.02)
    assert (found.passed, found.undecided) == (False, False)


def test_a_live_release_known_by_its_mean_alone_is_judged_by_that() -> None:
    found = against([0.0] * 30)
    for difference, expected in ((-0.03, Outcome.FAIL), (-0.01, Outcome.PASS)):
        overall = {METRIC: found.overall[METRIC].__class__(0.5 + difference, 0.5, difference, None, None, 30, 0, 0)}
        recorded = Against(overall, {}, 0.05, 0.05, {}, False, 20)
        assert recorded.judge(METRIC, 0.02)[0] is expected
        assert "as it was measured before its release" in recorded.judge(METRIC, 0.02)[1]
        upgrade = Against(overall, {}, 0.05, 0.05, {}, False, 20, upgrade=True)
        assert upgrade.judge(METRIC, 0.02)[0] is (Outcome.UNDECIDED if expected is Outcome.PASS else expected)


def test_a_live_release_that_could_not_be_searched_leaves_losses_undecided() -> None:
    verdict = judge({METRIC: Gate(min=0.3, max_drop=0.02)}, {METRIC: 0.5}, {METRIC: 0.5}, None, uncompared="damaged")
    assert verdict.outcome == "undecided"
    assert "damaged" in verdict.gates[0].reason
    allowed = verdict.allowing_undecided()
    assert allowed.outcome == "pass"
    assert allowed.gates[0].undecided
    assert allowed.gates[0].reason.endswith("(undecided gates are allowed in this run)")


def test_allowing_what_is_undecided_allows_no_failure() -> None:
    verdict = judge({METRIC: Gate(max_drop=0.02)}, {METRIC: 0.4}, None, against(LOSS))
    assert verdict.outcome == verdict.allowing_undecided().outcome == "fail"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0412, "+0.041"), (-0.0412, "−0.041"), (-0.00042, "−0.0004"), (0.0, "0")]
)
def test_signs(value: float, text: str) -> None:
    assert signed(value) == text


values = st.lists(st.sampled_from([-1.0, -0.37, -0.1, 0.0, 0.0, 0.0, 0.1, 0.37, 1.0]), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(values, st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.2), st.booleans(), st.booleans())
def test_a_larger_margin_never_makes_an_answer_worse(
    values: list[float], one: float, other: float, floor: float, same: bool, upgrade: bool
) -> None:
    found = against(values, floor=floor, same_encoder=same, upgrade=upgrade)
    strict, mild = outcome(found, min(one, other)), outcome(found, max(one, other))
    assert ORDER.index(strict) <= ORDER.index(mild)


@settings(max_examples=60, deadline=None)
@given(values, st.floats(0, 0.5), st.floats(0, 0.2))
def test_two_systems_are_never_each_worse_than_the_other(values: list[float], margin: float, floor: float) -> None:
    there = outcome(against(values, floor=floor), margin)
    back = outcome(against([-value for value in values], floor=floor), margin)
    assert not (there is Outcome.FAIL and back is Outcome.FAIL)
    if there is Outcome.FAIL:
        assert back is Outcome.PASS


@settings(max_examples=60, deadline=None)
@given(values, st.floats(0, 0.5), st.floats(0, 0.2))
def test_an_upgrade_is_judged_no_milder_than_a_night(values: list[float], margin: float, floor: float) -> None:
    night, upgrade = (outcome(against(values, floor=floor, upgrade=which), margin) for which in (False, True))
    assert upgrade is night or (night is Outcome.PASS and upgrade is Outcome.UNDECIDED)


@given(st.integers(1, 60), st.floats(0, 0.5), st.floats(0, 0.2), st.booleans())
@settings(max_examples=30, deadline=None)
def test_identical_systems_never_fail(queries: int, margin: float, floor: float, same: bool) -> None:
    expected = Outcome.PASS if same or queries >= 20 else Outcome.UNDECIDED
    assert outcome(against([0.0] * queries, floor=floor, same_encoder=same), margin) is expected


@given(values.filter(lambda drawn: len(drawn) >= 20), st.floats(0, 0.5))
@settings(max_examples=30, deadline=None)
def test_more_noise_never_turns_an_answer_into_a_loss(values: list[float], margin: float) -> None:
    quiet, loud = outcome(against(values), margin), outcome(against(values, floor=0.1), margin)
    assert not (loud is Outcome.FAIL and quiet is not Outcome.FAIL)
    assert (loud is Outcome.PASS) == (quiet is Outcome.PASS)
