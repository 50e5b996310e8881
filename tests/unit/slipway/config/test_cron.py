import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.config.cron import PRESETS, check_cron


@pytest.mark.parametrize(
    "expression",
    [
        *PRESETS,
        "15 2 * * *",
        "*/15 * * * *",
        "0 0,12 1-15 jan-MAR mon",
        "5/10 1-5/2 31 12 7",
        "0 22-2 * * fri-mon",
        " 0  0 * * 0 ",
    ],
)
def test_sound_expressions_stay_as_they_are(expression: str) -> None:
    assert check_cron(expression) == expression


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("@midnight", "five fields"),
        ("60 * * * *", "'60' is no minute; expected 0 to 59"),
        ("* 24 * * *", "'24' is no hour"),
        ("* * 0 * *", "'0' is no day of month"),
        ("* * 32 * *", "'32' is no day of month"),
        ("* * * 13 *", "'13' is no month"),
        ("* * * mon *", "'mon' is no month"),
        ("* * * * 8", "'8' is no day of week"),
        ("*/0 * * * *", "no minute"),
        ("1- * * * *", "no minute"),
        ("1,, * * * *", "'' is no minute"),
        ("-1 * * * *", "no minute"),
        ("a * * * *", "no minute"),
        ("１ * * * *", "no minute"),
    ],
)
def test_unsound_expressions_say_which_field(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_cron(expression)


ITEMS = st.builds(
    "".join, st.lists(st.sampled_from([*"0123456789*/-,", "jan", "sun", "L", "#"]), min_size=1, max_size=4)
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(ITEMS, min_size=5, max_size=5))
def test_what_is_accepted_here_is_accepted_by_the_scheduler(fields: list[str]) -> None:
    croniter = pytest.importorskip("croniter")
    expression = " ".join(fields)
    try:
        check_cron(expression)
    except ValueError:
        return
    assert croniter.croniter.is_valid(expression)
