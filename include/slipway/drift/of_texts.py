"""Measures of a sample's documents: languages, lengths, and which fields are filled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from slipway.cleaning.language import Languages
from slipway.drift.measure import TEXTS, Document, Measure, Rules, Sample, percent
from slipway.drift.permutations import calibrate
from slipway.drift.shares import by_chance, most_changed, total_variation

FEWEST = 20  # documents of a sample, below which it is not compared
LANGUAGE_FLOOR = 0.02  # share of documents in another language: language identification is no surer than that
LENGTH_FLOOR = 0.05  # share of documents of another length: one edited template moves as many
FIELD_FLOOR = 0.01  # share of documents that lost or gained a field: one in a hundred
BINS = 10  # of lengths, each with as many of both samples' documents
UNTOLD = "none that can be told"

Tell = Callable[[str], str]
"""From a text to its language, as a code, or `UNTOLD`."""


def identifier() -> Tell:
    """Loads the language identifier (half a second)."""
    languages = Languages.load(())
    return lambda text: told[0] if (told := languages.other(text)) else UNTOLD


def texts(now: Sample, before: Sample | None, rules: Rules, tell: Tell) -> list[Measure]:
    """Language mix, length mix, and each field's completeness, of documents."""
    return [_languages(now, before, rules, tell), _lengths(now, before, rules), *_fields(now, before, rules)]


def _is_comparable(now: Sample, before: Sample | None) -> bool:
    return before is not None and min(len(now.documents), len(before.documents)) >= FEWEST


def _languages(now: Sample, before: Sample | None, rules: Rules, tell: Tell) -> Measure:
    here = [tell(one.text) for one in now.documents]
    if before is None or not _is_comparable(now, before):
        name, share, _ = most_changed(here, [None])
        return Measure("languages", TEXTS, None, f"{percent(share)} of the documents are in language {name}")
    there = [tell(one.text) for one in before.documents]
    statistic = total_variation(here, there)
    seen = calibrate(statistic, len(here), len(there), rules.alpha, rules.permutations, rules.seed)
    name, share, earlier = most_changed(here, there)
    said = f"{percent(share)} of the documents are in language {name}, {percent(earlier)} in {before.name}"
    threshold = max(seen.threshold, LANGUAGE_FLOOR)
    return Measure("languages", TEXTS, seen.value, said, threshold=threshold, alarm=seen.over(LANGUAGE_FLOOR))


def _lengths(now: Sample, before: Sample | None, rules: Rules) -> Measure:
    here = [len(one.text) for one in now.documents]
    middle = float(np.median(here))
    said = f"the median length of the documents is {middle:,.0f} characters"
    if before is None or not _is_comparable(now, before):
        return Measure("lengths", TEXTS, None, said)
    there = [len(one.text) for one in before.documents]
    edges = np.unique(np.quantile([*here, *there], np.arange(1, BINS) / BINS))
    first, second = (np.searchsorted(edges, lengths, side="right").tolist() for lengths in (here, there))
    statistic = total_variation(first, second)
    seen = calibrate(statistic, len(first), len(second), rules.alpha, rules.permutations, rules.seed)
    said += (
        f", {float(np.median(there)):,.0f} in {before.name}; {percent(seen.value)} of the documents would have to be "
        "of another length for the two to be alike"
    )
    threshold = max(seen.threshold, LENGTH_FLOOR)
    return Measure("lengths", TEXTS, seen.value, said, threshold=threshold, alarm=seen.over(LENGTH_FLOOR))


def _fields(now: Sample, before: Sample | None, rules: Rules) -> list[Measure]:
    """The error rate is that of all fields together, since there may be many."""
    documents = [*now.documents, *(before.documents if before else ())]
    names = ["title", *sorted({name for one in documents for name in one.metadata} - {"title"})]
    return [_field(name, now, before, rules.alpha / len(names)) for name in names]


def _field(name: str, now: Sample, before: Sample | None, alpha: float) -> Measure:
    here, count = _filled(now.documents, name), len(now.documents)
    said = f"{percent(here / count)} of the documents have {name}"
    if before is None or not _is_comparable(now, before):
        return Measure(f"has:{name}", TEXTS, here / count, said)
    there, others = _filled(before.documents, name), len(before.documents)
    limit = max(by_chance(here, count, there, others, alpha), FIELD_FLOOR)
    said += f", {percent(there / others)} in {before.name}"
    alarm = abs(here / count - there / others) > limit
    return Measure(f"has:{name}", TEXTS, here / count, said, there / others, limit, alarm)


def _filled(documents: Sequence[Document], name: str) -> int:
    return sum(_is_filled(one.title if name == "title" else one.metadata.get(name)) for one in documents)


def _is_filled(value: Any) -> bool:
    """Whether there is something: 0 and false are, null, blank text and empty lists are not."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and value not in ([], {})
