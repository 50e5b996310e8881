"""Cutting texts to the length that a model reads, for services that get text and not tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Cutter:
    """Cuts texts so that they have at most so many tokens, special tokens included."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._tokenizer, self._most = tokenizer, max_tokens
        self._special = tokenizer.num_special_tokens_to_add(False)

    def cut(self, texts: Sequence[str]) -> tuple[list[str], list[int]]:
        """The texts, those too long without their end, and the tokens of each."""
        made, lengths = list(texts), []
        for row, encoding in enumerate(self._tokenizer.encode_batch_fast(made)):
            length = len(encoding.ids)
            if length > self._most:
                made[row], length = self._shortened(made[row])
            lengths.append(length)
        return made, lengths

    def _shortened(self, text: str) -> tuple[str, int]:
        """The longest beginning of a text that ends with one of its tokens and is short enough, and its tokens.

        A word that was cut may be tokenised in another way, and into more tokens: then one token more goes.
        """
        whole = self._tokenizer.encode(text, add_special_tokens=False)
        for kept in range(self._most - self._special, 0, -1):
            beginning = text[: whole.offsets[kept - 1][1]]
            length = len(self._tokenizer.encode(beginning).ids)
            if length <= self._most:
                return beginning, length
        return "", self._special
