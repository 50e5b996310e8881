import random
import subprocess
import sys
from functools import lru_cache
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from slipway.chunking import TITLE_SHARE, Chunker, Passage, chunk_hash
from slipway.errors import ConfigError
from tests.support.encoders import packaged_model

PROMPT = "passage, to be found by those who ask: "
WORDS = [
    "index",
    "vector",
    "the",
    "of",
    "DataFrame.merge(on='key')",
    "naïve",
    "日本語の文章",
    "🚀",
    "x" * 40,
    "...",
    "I/O",
]


@lru_cache(maxsize=1)
def tokenizer() -> Tokenizer:
    return packaged_model().tokenizer()


@lru_cache(maxsize=16)
def chunker(tokens: int = 32, overlap: int = 8, with_title: bool = True, prompt: str = "") -> Chunker:
    return Chunker(tokenizer(), tokens, overlap, with_title, prompt)


def cut(text: str, title: str = "", **how: object) -> list[Passage]:
    return chunker(**how).cut([title], [text])[0]  # type: ignore[arg-type]


def prose(words: int, seed: int = 1) -> str:
    """Sentences and paragraphs of words of many kinds."""
    draw = random.Random(seed)
    ends = ["", "", "", "", ",", ".", ".\n\n"]
    return " ".join(draw.choice(WORDS) + draw.choice(ends) for _ in range(words))


def longest(size: int) -> st.SearchStrategy[str]:
    """Texts as they come: any Unicode but lone surrogates, words of all scripts, and unbroken runs of one character."""
    anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=size)
    runs = st.builds(
        lambda one, times: one * times,
        st.sampled_from(["a", "漢", "🧑‍🚀", "e\u0301", "-", "\n", "9 "]),
        st.integers(1, 400),
    )
    return st.lists(anything | st.sampled_from(WORDS) | runs, max_size=12).map(" ".join) | anything


def checked(text: str, title: str, tokens: int, overlap: int, with_title: bool, prompt: str) -> None:
    made = Chunker(tokenizer(), tokens, overlap, with_title, prompt).cut([title], [text])[0]
    covered = bytearray(len(text))
    for passage in made:
        inside = text[passage.start : passage.end]
        assert passage.text.endswith(inside)
        assert passage.text == inside or (with_title and passage.text[: -len(inside)].endswith("\n"))
        assert title.startswith(passage.text[: len(passage.text) - len(inside)].removesuffix("\n"))
        assert 0 <= passage.start < passage.end <= len(text)
        assert passage.chunk_hash == chunk_hash(passage.text)
        assert passage.tokens == len(tokenizer().encode(prompt + passage.text)) <= tokens
        covered[passage.start : passage.end] = b"\1" * (passage.end - passage.start)
    assert all(covered[place] or character.isspace() for place, character in enumerate(text))
    starts = [passage.start for passage in made]
    assert starts == sorted(set(starts))


@settings(deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=longest(600),
    title=longest(40),
    tokens=st.integers(16, 96),
    share=st.floats(0, 0.5),
    with_title=st.booleans(),
)
@example(text="word " * 300, title="title " * 300, tokens=16, share=0.5, with_title=True)
@example(text="e" + "\u0301" * 3_000, title="", tokens=16, share=0, with_title=False)
@example(text="日本語" * 500, title="漢字" * 50, tokens=32, share=0.25, with_title=True)
@example(text="\u200b" * 3_000, title="\u200b", tokens=16, share=0.5, with_title=True)
@example(text="#" * 5_000, title="##", tokens=17, share=0.4, with_title=True)
def test_every_passage_fits_its_offsets_give_it_and_no_character_is_lost(
    text: str, title: str, tokens: int, share: float, with_title: bool
) -> None:
    checked(text, title, tokens, int(tokens * share), with_title, prompt="")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("tokens", "overlap"), [(24, 12), (64, 0), (256, 32)])
def test_realistic_text_fits_with_title_and_prompt(seed: int, tokens: int, overlap: int) -> None:
    checked(prose(900, seed), prose(30, seed + 100), tokens, overlap, with_title=True, prompt=PROMPT)


def test_a_short_text_is_one_passage_and_an_empty_one_none() -> None:
    assert [len(made) for made in chunker().cut(["t", "t", "t"], ["short text", "", "x"])] == [1, 0, 1]
    only = cut("short text", "title")[0]
    assert (only.start, only.end, only.text) == (0, 10, "title\nshort text")
    assert chunker().cut([], []) == []


def test_a_text_of_exactly_the_limit_is_not_cut() -> None:
    fits = " ".join(["index"] * 30)  # and two special tokens
    assert [passage.tokens for passage in cut(fits)] == [32]
    assert len(cut(f"{fits} index")) > 1


def test_overlap_is_there_and_bounded() -> None:
    text = " ".join(f"word{number}" for number in range(400))
    for overlap in (0, 4, 8, 16):
        made = cut(text, overlap=overlap, with_title=False)
        shared = [
            len(tokenizer().encode(text[later.start : earlier.end], add_special_tokens=False))
            for earlier, later in pairwise(made)
            if later.start < earlier.end
        ]
        assert all(count <= overlap for count in shared)
        assert bool(shared) == (overlap >= 4)


def test_passages_end_at_paragraphs_where_they_can() -> None:
    paragraphs = [" ".join(["index"] * 40) + "." for _ in range(6)]
    text = "\n\n".join(paragraphs)
    assert [text[passage.start : passage.end] for passage in cut(text, tokens=64, overlap=0)] == paragraphs


def test_each_passage_carries_the_title_and_a_long_title_is_cut_to_its_share() -> None:
    text, title = prose(300), "How to join two tables on a key, " * 20
    for passage in cut(text, title, tokens=64):
        prefix = passage.text.removesuffix(text[passage.start : passage.end]).removesuffix("\n")
        assert prefix
        assert title.startswith(prefix)
        assert len(tokenizer().encode(prefix, add_special_tokens=False)) <= 64 * TITLE_SHARE
    assert [passage.text for passage in cut("text", title, with_title=False)] == ["text"]


def test_a_prompt_counts() -> None:
    text = " ".join(["index"] * 300)
    prompt = PROMPT * 3
    plain, prompted = cut(text, tokens=64), cut(text, tokens=64, prompt=prompt)
    taken = len(tokenizer().encode(prompt, add_special_tokens=False))
    assert max(passage.tokens for passage in prompted) <= 64
    assert len(prompted) > len(plain)
    assert not any(prompt in passage.text for passage in prompted)
    assert cut("short", tokens=64, prompt=prompt)[0].tokens == cut("short")[0].tokens + taken


def test_a_prompt_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"field chunk.tokens: got 16, of which .* leaves \d for text; expected at"):
        Chunker(tokenizer(), 16, 0, True, PROMPT)


def test_equal_texts_have_equal_hashes_whatever_is_cut_beside_them() -> None:
    texts = [prose(200, seed) for seed in range(6)]
    alone = [cut(text, "title") for text in texts]
    assert chunker().cut(["title"] * 6, texts) == alone
    assert chunker().cut(["title"] * 6, texts[::-1]) == alone[::-1]
    assert Chunker(tokenizer(), 32, 8, True).cut(["title"] * 6, texts) == alone
    hashes = [passage.chunk_hash for made in alone for passage in made]
    assert len(set(hashes)) == len({passage.text for made in alone for passage in made})
    assert all(len(one) == 32 for one in hashes)


def test_the_hash_is_of_the_embedded_text() -> None:
    assert cut("text", "one")[0].chunk_hash != cut("text", "two")[0].chunk_hash
    assert cut("text", "one", with_title=False)[0].chunk_hash == cut("text")[0].chunk_hash == chunk_hash("text")
    assert chunk_hash("text") == "d732c6be860e019351f99173fa6ae612"  # for ever: it names vectors in stores


def test_cutting_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from tests.unit.slipway.test_chunking import cut, prose; assert len(cut(prose(200))) > 3;"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
