"""Which language a text is in, as far as it can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slipway.errors import ConfigError

SEEN_CHARACTERS = 2_000  # the beginning tells as much as the whole, and costs the same for every text
SURE = 0.5  # below it the identifier is guessing: texts of a few words, code, names
NO_LANGUAGE = "zxx"  # ISO 639: no linguistic content


@dataclass(frozen=True, slots=True)
class Languages:
    """The languages to keep, and the identifier that tells them apart."""

    kept: frozenset[str]
    identifier: Any

    @classmethod
    def load(cls, kept: Sequence[str]) -> Languages:
        """Load the identifier (half a second). Raises `ConfigError` for a language that it does not know."""
        from py3langid import langid

        identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
        known = sorted(set(identifier.labels) - {NO_LANGUAGE})
        for language in kept:
            if language not in known:
                raise ConfigError(
                    f"field clean.languages: got {language!r}; "
                    f"expected languages that can be recognised: {', '.join(known)}"
                )
        return cls(frozenset(kept), identifier)

    def other(self, text: str) -> tuple[str, float] | None:
        """The language and its probability when the text is surely in none of the languages kept, else None.

        What is too short to tell, or has no language (numbers, code), is None: it stays.
        """
        language, sure = self.identifier.classify(text[:SEEN_CHARACTERS])
        if language in self.kept or language == NO_LANGUAGE or sure < SURE:
            return None
        return str(language), float(sure)
