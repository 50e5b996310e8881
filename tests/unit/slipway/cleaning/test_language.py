import pytest

from slipway.cleaning.language import Languages
from slipway.errors import ConfigError


@pytest.fixture(scope="module")
def english() -> Languages:
    return Languages.load(["en"])


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Der schnelle braune Fuchs springt über den faulen Hund und läuft davon.", "de"),
        ("これは日本語で書かれた文書です。", "ja"),
        ("Cette fonction renvoie la somme des éléments du tableau selon un axe donné.", "fr"),
    ],
)
def test_another_language_is_told(english: Languages, text: str, language: str) -> None:
    other = english.other(text)
    assert other is not None
    assert other[0] == language


@pytest.mark.parametrize(
    "text",
    [
        "Return the sum of the array elements over the given axis.",
        "Bonjour",
        "x",
        "1 2 3 4 5",
        "",
        "f(x) -> y",
        "ok " * 9_999,
    ],
)
def test_the_kept_language_and_what_cannot_be_told_stay(english: Languages, text: str) -> None:
    assert english.other(text) is None


def test_a_language_nobody_can_recognise_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"clean\.languages: got 'qqq'; expected .*\ben\b"):
        Languages.load(["qqq"])
