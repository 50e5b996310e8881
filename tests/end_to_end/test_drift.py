"""Drift on texts that people wrote: docstrings of the standard library and names of characters, by a static model."""

import ast
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from slipway.chunking import chunk_hash
from slipway.config import Encoder
from slipway.drift import Document, Measure, Rules, Sample
from slipway.drift.fidelity import fidelity
from slipway.drift.of_texts import UNTOLD, texts
from slipway.drift.of_vectors import moved, sound
from slipway.encoders import load_encoder
from slipway.encoders.base import TextEncoder
from slipway_demo.static import static_model
from tests.support.releases import Vectors

COUNT, RESAMPLES = 1_200, 20
RULES = Rules(permutations=999)
EVERY = np.arange(COUNT)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    described = static_model(tmp_path_factory.mktemp("static") / "model")
    return load_encoder(Encoder.model_validate(described))


@pytest.fixture(scope="module")
def docstrings() -> list[str]:
    """First paragraphs of docstrings of the standard library, each once, in an order drawn at random."""
    found: dict[str, None] = {}
    for path in sorted(Path(ast.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and (text := ast.get_docstring(node)):
                found[text.split("\n\n")[0][:300]] = None
    long = [text for text in found if len(text) > 20]
    return [long[place] for place in np.random.default_rng(1).permutation(len(long))[:COUNT]]


@pytest.fixture(scope="module")
def vectors(encoder: TextEncoder, docstrings: list[str]) -> Vectors:
    return encoder.encode_documents(docstrings)


def a_sample(name: str, held: list[str], vectors: Vectors) -> Sample:
    documents = [Document(text, "a title", text, {}) for text in held]
    return Sample(name, documents, [chunk_hash(text) for text in held], vectors, "e" * 16, len(held), {})


def alarms(now: Sample, before: Sample, encoder: TextEncoder) -> set[str]:
    some = slice(None, None, max(1, len(now.documents) // 64))
    passages = [one.text for one in now.documents[some]]
    found: list[Measure] = [*sound(now, before, RULES), *moved(now, before, RULES)]
    found += fidelity(now.hashes[some], passages, now.vectors[some], encoder)
    found += texts(now, before, RULES, lambda text: UNTOLD)
    return {one.name for one in found if one.alarm}


def halves(docstrings: list[str], vectors: Vectors, seed: int) -> tuple[Sample, Sample]:
    order = np.random.default_rng(seed).permutation(EVERY)
    here, there = order[: COUNT // 2], order[COUNT // 2 :]
    return tuple(  # type: ignore[return-value]
        a_sample(name, [docstrings[place] for place in places], vectors[places])
        for name, places in (("the candidate", here), ("release r1", there))
    )


def test_resamples_of_one_collection_raise_no_alarm(
    encoder: TextEncoder, docstrings: list[str], vectors: Vectors
) -> None:
    raised = [alarms(*halves(docstrings, vectors, seed), encoder) for seed in range(1, RESAMPLES + 1)]
    assert raised == [set()] * RESAMPLES


def test_a_fifth_of_other_texts_raises_an_alarm(encoder: TextEncoder, docstrings: list[str], vectors: Vectors) -> None:
    now, before = halves(docstrings, vectors, 1)
    named = [name.lower() for code in range(0x100, 0x400) if (name := unicodedata.name(chr(code), ""))]
    others = named[: COUNT // 10]
    held = [*others, *(one.text for one in now.documents[len(others) :])]
    mixed = np.vstack([encoder.encode_documents(others), now.vectors[len(others) :]])
    assert {"centroid_shift", "mmd"} <= alarms(a_sample("the candidate", held, mixed), before, encoder)


def test_cut_and_shuffled_vectors_raise_an_alarm(encoder: TextEncoder, docstrings: list[str], vectors: Vectors) -> None:
    before = a_sample("release r1", docstrings, vectors)
    cut = vectors.copy()
    cut[:, cut.shape[1] // 2 :] = 0
    cut /= np.linalg.norm(cut, axis=1, keepdims=True)
    assert {"fidelity", "centroid_shift"} <= alarms(a_sample("the candidate", docstrings, cut), before, encoder)
    shuffled = np.random.default_rng(1).permutation(vectors)
    assert alarms(a_sample("the candidate", docstrings, shuffled), before, encoder) == {"fidelity"}
