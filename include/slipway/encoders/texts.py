"""Texts as a model reads them: prompt before, cut at its length, as token ids. Needs neither torch nor transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from slipway.encoders.model import Model

WINDOW = 2_048  # texts tokenised at once, and sorted by length among each other
Tokens = npt.NDArray[np.int32]


class Texts:
    """A model's tokenizer. `special` says whether it adds what the model wants around a text, such as [CLS].

    Safe from any thread.
    """

    def __init__(self, model: Model, special: bool = True) -> None:
        self.pad = _configured(model, "config.json", "pad_token_id") or 0
        self._lower = bool(_configured(model, "sentence_bert_config.json", "do_lower_case"))
        self._special = special
        self._tokenizer = model.tokenizer()
        self._tokenizer.enable_truncation(model.encoder.max_tokens)

    def tokens(self, texts: Sequence[str], prompt: str) -> list[Tokens]:
        """The token ids of each text, the prompt before it."""
        told = [prompt + text for text in texts]
        if self._lower:
            told = [text.lower() for text in told]
        encoded = self._tokenizer.encode_batch_fast(told, add_special_tokens=self._special)
        return [np.asarray(one.ids, dtype=np.int32) for one in encoded]

    def windows(self, texts: Sequence[str], prompt: str) -> Iterator[tuple[int, list[Tokens]]]:
        """The texts' ids, `WINDOW` at a time with the first one's position; the next are made while these are used."""
        starts = range(0, len(texts), WINDOW)
        if len(starts) <= 1:
            yield from ((start, self.tokens(texts, prompt)) for start in starts)
            return
        with ThreadPoolExecutor(1, "tokens") as thread:
            ahead = thread.submit(self.tokens, texts[:WINDOW], prompt)
            for start in starts:
                ready, after = ahead.result(), start + WINDOW
                ahead = thread.submit(self.tokens, texts[after : after + WINDOW], prompt)
                yield start, ready


def _configured(model: Model, file: str, field: str) -> int | None:
    """A field of one of the model's JSON files; None where either is missing."""
    try:
        found = json.loads((model.folder / file).read_bytes())
    except FileNotFoundError:
        return None
    return found.get(field) if isinstance(found, dict) else None
