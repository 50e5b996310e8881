"""What a system's vectors find: nDCG@10 of exact search over squad_dev's paragraphs."""

from __future__ import annotations

from benchmarks.encoding.systems import System
from benchmarks.encoding.texts import Judged
from slipway.evaluation.relevance import relevance
from slipway.index.exact import exact_neighbours

METRIC = "ndcg_at_10"


def ndcg(system: System, judged: Judged) -> float:
    """Mean nDCG@10 over the questions, from 0 to 1."""
    paragraphs, _ = system.encode(judged.paragraphs)
    questions, _ = system.encode([question.query for question in judged.questions])
    _, nearest = exact_neighbours(paragraphs, questions, 10)
    means, _, _ = relevance(judged.questions, [[judged.names[row] for row in rows] for rows in nearest])
    return means[METRIC]
