"""What is encoded: real docstrings, and the paragraphs and questions of squad_dev."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from slipway.evaluation.golden import GoldenQuery

SHORTEST = 40  # characters: the demo's collection leaves out what is shorter


def docstrings(folder: Path, count: int, seed: int) -> list[str]:
    """So many different texts of the demo's API documents, as its collection words them, drawn at random.

    `folder` gets the demo's sources where they are not there yet.
    """
    from slipway_demo.fill import fill

    fill(folder)
    connection = sqlite3.connect(folder / "pydocs.db")
    try:
        rows = connection.execute("SELECT name, signature, doc FROM documents ORDER BY id").fetchall()
    finally:
        connection.close()
    texts = sorted({f"{name}{signature}\n\n{doc}" for name, signature, doc in rows})
    return random.Random(seed).sample([text for text in texts if len(text) >= SHORTEST], count)


@dataclass(frozen=True, slots=True)
class Judged:
    """Paragraphs by id, and questions with the paragraph that answers each."""

    names: list[str]
    paragraphs: list[str]
    questions: list[GoldenQuery]


def squad(data: Path, questions: int, paragraphs: int | None, seed: int) -> Judged:
    """A sample of squad_dev's answerable questions, and the first `paragraphs` (None: all), those with answers before.

    Raises `FileNotFoundError` where the data is not there.
    """
    corpus = pq.read_table(data / "corpus.parquet", columns=["doc_id", "text"])
    asked = pq.read_table(data / "queries.parquet", columns=["query_id", "text"])
    wording = dict(zip(asked["query_id"].to_pylist(), asked["text"].to_pylist(), strict=True))
    judged = pq.read_table(data / "qrels.parquet", columns=["query_id", "doc_id", "relevance"]).to_pylist()
    answerable = sorted((one["query_id"], one["doc_id"]) for one in judged if one["relevance"] == 1)
    drawn = random.Random(seed).sample(answerable, min(questions, len(answerable)))
    answers = {document for _, document in drawn}
    rows = list(zip(corpus["doc_id"].to_pylist(), corpus["text"].to_pylist(), strict=True))
    rows.sort(key=lambda row: row[0] not in answers)
    kept = rows[: max(paragraphs or len(rows), len(answers))]
    return Judged(
        [name for name, _ in kept],
        [text for _, text in kept],
        [GoldenQuery(query, wording[query], {document: 1}, "all", "judging") for query, document in drawn],
    )
