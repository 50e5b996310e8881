import pytest

from slipway.encoders.service.cutting import Cutter
from tests.support.encoders import packaged_model

TEXTS = [
    "short",
    "",
    "word " * 300,
    "antidisestablishmentarianism " * 20,
    "日本語のテキスト" * 40,
    "def f(x):\n    return [y for y in x if y.is_integer()]\n" * 10,
    "🚀🎉" * 100,
    "Ünïcödé Ångström " * 40,
]


@pytest.mark.parametrize("most", [16, 17, 23, 64])
def test_a_cut_text_has_the_tokens_that_truncation_keeps(most: int) -> None:
    tokenizer = packaged_model().tokenizer()
    made, lengths = Cutter(tokenizer, most).cut(TEXTS)
    truncating = packaged_model().tokenizer()
    truncating.enable_truncation(most)
    for text, cut, length in zip(TEXTS, made, lengths, strict=True):
        assert text.startswith(cut)
        assert tokenizer.encode(cut).ids == truncating.encode(text).ids
        assert length == len(tokenizer.encode(cut).ids) <= most
    assert made[:2] == TEXTS[:2]
