"""Cutting a document's text into passages that fit the encoder, at sentence and paragraph boundaries."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from slipway.errors import ConfigError

if TYPE_CHECKING:
    from semantic_text_splitter import TextSplitter
    from tokenizers import Tokenizer

TITLE_SHARE = 0.25  # of a chunk's tokens, behind the prompt, that a title may take at most
CAPACITY_STEP = 16  # capacities are rounded down to this, so that few splitters serve all titles
MIN_ROOM = 8  # tokens that a prompt must leave


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk: its embedded text, the hash of that text, its tokens, and where it lies in the document's text."""

    chunk_hash: str
    start: int
    end: int
    tokens: int
    text: str


def chunk_hash(text: str) -> str:
    """32 hex digits that identify a chunk by its embedded text."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Chunker:
    """Cuts texts into passages of at most `tokens` tokens, special tokens and `prompt` included.

    Neighbouring passages of a text share up to `overlap` tokens. With `with_title` each passage is embedded with the
    document's title on a line before it. Raises `ConfigError` when the prompt leaves no room for text.
    """

    def __init__(self, tokenizer: Tokenizer, tokens: int, overlap: int, with_title: bool, prompt: str = "") -> None:
        self._tokenizer, self._overlap, self._with_title = tokenizer, overlap, with_title
        self._prompt_tokens = len(tokenizer.encode(prompt, add_special_tokens=False)) if prompt else 0
        self._tokens = tokens
        self._room = tokens - self._prompt_tokens - tokenizer.num_special_tokens_to_add(is_pair=False)
        if self._room < MIN_ROOM:
            raise ConfigError(
                f"field chunk.tokens: got {tokens}, of which the encoder's document prompt leaves {self._room} for "
                f"text; expected at least {tokens - self._room + MIN_ROOM}"
            )
        self._splitter = lru_cache(maxsize=64)(self._make_splitter)

    def cut(self, titles: Sequence[str], texts: Sequence[str]) -> list[list[Passage]]:
        """The passages of each text, in order; none for an empty text."""
        prefixes = self._prefixes(titles)
        whole = [prefix + text for prefix, text in zip(prefixes, texts, strict=True)]
        counts = self._count(whole)
        made = [
            [Passage(chunk_hash(full), 0, len(text), count, full)] if text else []
            for full, text, count in zip(whole, texts, counts, strict=True)
        ]
        long = [number for number, count in enumerate(counts) if count > self._tokens]
        split = self._passages([prefixes[n] for n in long], [texts[n] for n in long])
        for number, passages in zip(long, split, strict=True):
            made[number] = passages
        return made

    def embedded_text(self, title: str, text: str, start: int, end: int) -> str:
        """What is embedded of a passage that lies from `start` to `end` in a document's text."""
        return self._prefixes([title])[0] + text[start:end]

    def _prefixes(self, titles: Sequence[str]) -> list[str]:
        """The line put before each passage of a text: its title, cut to its share of the chunk; "" without one."""
        if not self._with_title:
            return [""] * len(titles)
        counted = self._tokenizer.encode_batch_fast(list(titles), add_special_tokens=False)
        most = int(self._room * TITLE_SHARE)
        shown = (
            self._begun(title, most) if len(one) > most else title for title, one in zip(titles, counted, strict=True)
        )
        return [f"{title}\n" if title else "" for title in shown]

    def _begun(self, title: str, tokens: int) -> str:
        """The title up to the end of that many tokens."""
        return title[: self._tokenizer.encode(title, add_special_tokens=False).offsets[tokens - 1][1]]

    def _passages(self, prefixes: Sequence[str], texts: Sequence[str]) -> list[list[Passage]]:
        """The passages of texts that are too long for one."""
        spans = self._split(prefixes, texts)
        full = [prefix + text[a:b] for prefix, text, cuts in zip(prefixes, texts, spans, strict=True) for a, b in cuts]
        made = iter(zip(full, self._count(full), strict=True))
        return [
            [Passage(chunk_hash(one), a, b, count, one) for (a, b), (one, count) in zip(cuts, made, strict=False)]
            for cuts in spans
        ]

    def _split(self, prefixes: Sequence[str], texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Offsets of the passages of texts that are too long; texts of one capacity are split in parallel."""
        by_capacity: dict[int, list[int]] = defaultdict(list)
        for number, prefix in enumerate(prefixes):
            by_capacity[self._capacity(prefix)].append(number)
        spans: list[list[tuple[int, int]]] = [[] for _ in texts]
        for capacity, members in by_capacity.items():
            pieces = self._splitter(capacity).chunk_all_indices([texts[number] for number in members])
            for number, cuts in zip(members, pieces, strict=True):
                spans[number] = [(start, start + len(piece)) for start, piece in cuts if piece]
        return spans

    def _capacity(self, prefix: str) -> int:
        """Tokens left for a passage behind `prefix`, rounded down."""
        taken = len(self._tokenizer.encode(prefix, add_special_tokens=False)) if prefix else 0
        left = max(1, self._room - taken)
        return left // CAPACITY_STEP * CAPACITY_STEP or left

    def _make_splitter(self, capacity: int) -> TextSplitter:
        from semantic_text_splitter import TextSplitter

        return TextSplitter.from_huggingface_tokenizer(
            self._tokenizer, capacity, overlap=min(self._overlap, capacity // 2)
        )

    def _count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the encoder reads it: special tokens and prompt included."""
        if not texts:
            return []
        return [len(encoding) + self._prompt_tokens for encoding in self._tokenizer.encode_batch_fast(list(texts))]
