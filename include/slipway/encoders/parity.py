"""Whether a backend makes the vectors that sentence-transformers makes, on texts that show where backends differ.

Backends go wrong in pooling, truncation, prompts, casing, padding and precision. The probes make each of them visible;
that they do is tested.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast
from zipfile import BadZipFile

import numpy as np

from slipway.encoders import remembered
from slipway.encoders.base import Unsuitable
from slipway.encoders.model import Model
from slipway.errors import EncoderError

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder, Vectors

logger = logging.getLogger("slipway")

LEAST = 0.9999  # cosine; float32 in another order of summing keeps 0.9999999
# A narrower type is taken by itself only where it keeps that too. Asked for by name it may be a little worse, as much
# as `slipway doctor` lets stored vectors differ: bfloat16 has 8 bits of precision, float16 11.
# Weights in 8 bits are a vector space of their own, but what is further off is not a coarser model but a broken one.
LEAST_ASKED_FOR = {"float32": LEAST, "float16": 0.999, "bfloat16": 0.999, "int8": 0.98}
LEAST_SERVED = 0.999  # services compute in half precision as a rule

_SHORT = 160  # characters; longer probes are encoded apart, or a stock batch pads every probe to the longest of them
_LONG = "The index is built anew every night, judged against the one that serves, and released when it is better. "
PROBES = (
    "merge",
    "x",
    "A",
    "",
    " ",
    "42",
    "?!",
    "How to join two tables on a key",
    "HOW TO JOIN TWO TABLES ON A KEY",
    "how do I undo the last commit without losing my changes",
    "The quick brown fox jumps over the lazy dog.",
    "  leading and trailing space  ",
    "tabs\tand\nline\n\nbreaks",
    "naïve café, Ærøskøbing, Straße, İstanbul",
    "ﬁne ligatures and ｆｕｌｌ ｗｉｄｔｈ",
    "日本語の文章を検索する",
    "поиск по документам",
    "البحث في الوثائق",
    "🚀🔥 emoji 👩‍👩‍👧",
    "e\u0301 composed or not: \u00e9",
    "def merge(left, right, how='inner', on=None):\n    return MergeOperation(left, right, how, on).result()",
    "SELECT id, title FROM papers WHERE year > 2020 ORDER BY cited DESC",
    "https://example.org/a/very/long/path?with=parameters&and=more#fragment",
    "Pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism",
    "[CLS] special [SEP] tokens [PAD] in the text <s> </s> <pad>",
    "0.0001 1e-9 3,141.59 -273.15 °C €100 50%",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    _LONG * 2,
    _LONG * 5,
    "volcano eruption " * 40 + _LONG * 3,
)


def probes(model: Model) -> tuple[str, ...]:
    """The probe texts; the last two differ only beyond the model's length, where nothing is read, and before it."""
    cut = model.encoder.max_tokens
    texts = (*PROBES, "word " * cut + "volcano " * cut, "volcano " * (cut // 2) + "word " * cut)
    if model.encoder.service is None:
        return texts
    return tuple(text for text in texts if text.strip())  # services refuse texts of nothing


def reference(model: Model, make: Callable[[], TextEncoder]) -> Vectors:
    """Vectors of the probes as documents, then as queries, by sentence-transformers in float32: (2 n, dimension).

    Remembered for the model and the libraries' versions; `make` gives the encoder where they are not.
    """
    return _remembered(remembered.place(model.fingerprint, f"reference-{_key(model)}.npz"), model, make)


def check_unchanged(encoder: TextEncoder, model: Model) -> float:
    """The smallest cosine on the probes between a service's vectors now and when it was first used on this machine.

    For services that are verified by their first use. Raises `EncoderError` when it is below `LEAST_SERVED`.
    """
    path = remembered.place(model.fingerprint, f"served-{probe_key(model)}.npz")
    kept = _remembered(path, model, lambda: encoder)
    return check_same(model, probe_vectors(encoder, model), kept, str(path))


def check_same(model: Model, made: Vectors, kept: Vectors, where: str) -> float:
    """The smallest cosine between what a service makes of the probes and what it made at first, kept at `where`.

    Raises `EncoderError` when it is below `LEAST_SERVED`.
    """
    cosine = _least(made, kept)
    if not cosine >= LEAST_SERVED:
        raise EncoderError(
            f"encoder {model.encoder.name}: its service makes other vectors than when it was first used here: cosine "
            f"{cosine:.5f} on a probe text, the least allowed is {LEAST_SERVED}; put the model back that it served, or "
            f"give the new one a name of its own (encoder.service.model), which is an upgrade. Where nothing was "
            f"embedded with the old one, remove {where}"
        )
    return cosine


def probe_key(model: Model) -> str:
    """16 hex digits that name the probe texts of a model."""
    return remembered.key("served", probes(model))


def _remembered(path: Path, model: Model, make: Callable[[], TextEncoder]) -> Vectors:
    """The vectors of the probes kept in a file; made, and kept there, where there are none."""
    found = _read(path, model)
    if found is None:
        made = found = probe_vectors(make(), model)
        if not np.isfinite(made).all():
            raise EncoderError(
                f"encoder {model.encoder.name}: vectors of probe texts hold numbers that are none (NaN or infinity): "
                f"nothing can be compared with them; the model's weights are damaged, or too large for what computes it"
            )
        remembered.keep(path, lambda file: np.savez(file, vectors=made))
    return found


def least_cosine(encoder: TextEncoder, model: Model, expected: Vectors) -> float:
    """The smallest cosine of the encoder's vectors of the probes with the reference's; -1 for vectors unlike them.

    Vectors of no length, which static models make of empty texts, are equal to each other.
    """
    return _least(probe_vectors(encoder, model), expected)


def _least(made: Vectors, expected: Vectors) -> float:
    if made.shape != expected.shape or not (np.isfinite(made).all() and np.isfinite(expected).all()):
        return -1.0
    lengths = np.linalg.norm(made, axis=1), np.linalg.norm(expected, axis=1)
    empty = (lengths[0] < 1e-6) & (lengths[1] < 1e-6)
    cosines = np.sum(made * expected, axis=1) / np.maximum(lengths[0] * lengths[1], 1e-12)
    return float(np.min(np.where(empty, 1.0, cosines)))


_ADVICE = "take another backend or dtype (embed.backend, embed.dtype), or report the model that shows it"
_ADVICE_SERVED = (
    "the service has another model or pooling, or cuts texts elsewhere: some probes are longer than max_tokens, so set "
    "that to what the service reads, or the service to it"
)


def check(encoder: TextEncoder, model: Model, expected: Vectors, least: float) -> float:
    """The smallest cosine on the probes. Raises `EncoderError` when it is below `least`."""
    cosine = least_cosine(encoder, model, expected)
    if not cosine >= least:  # also of what is no number
        raise Unsuitable(
            f"encoder {model.encoder.name}: {encoder.backend} on {encoder.device} would change the vector space "
            f"silently: cosine {cosine:.5f} to sentence-transformers on a probe text, the least allowed is {least}; "
            f"{_ADVICE if model.encoder.service is None else _ADVICE_SERVED}"
        )
    return cosine


def probe_vectors(encoder: TextEncoder, model: Model) -> Vectors:
    """Vectors of the probes as documents, then as queries: (2 n, dimension)."""
    texts = probes(model)
    parts = [[text for text in texts if (len(text) > _SHORT) == is_long] for is_long in (False, True)]
    order = np.argsort([len(text) > _SHORT for text in texts], kind="stable")
    prompts = model.encoder.prompts
    made = [np.concatenate([encoder.encode_documents(part) for part in parts])]
    made.append(
        made[0]
        if prompts.query == prompts.document
        else np.concatenate([encoder.encode_queries(part) for part in parts])
    )
    return np.concatenate([one[np.argsort(order)] for one in made])


def _key(model: Model) -> str:
    return remembered.key("reference", probes(model), remembered.versions())


def _read(path: Path, model: Model) -> Vectors | None:
    """The vectors kept there; None where there are none, or nothing that can be used."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            found = kept["vectors"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        logger.warning("%s cannot be read (%s); it is made anew", path, error)
        return None
    if found.shape != (2 * len(probes(model)), model.encoder.dimension) or found.dtype != np.float32:
        logger.warning("%s holds something else than probe vectors; it is made anew", path)
        return None
    if not np.isfinite(found).all():
        logger.warning("%s holds numbers that are none; it is made anew", path)
        return None
    remembered.used(path)
    return cast("Vectors", found)
