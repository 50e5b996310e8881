"""Indexes at the limit of the machine: what Slipway builds against hnswlib, usearch, plain FAISS and autofaiss.

    python benchmarks/index.py
    python benchmarks/index.py --quick

The vectors are MiniLM's, of the paragraphs in ../shared/data/enwiki_paras, each cut to its first tokens (--tokens), so
that embedding them takes minutes; they are kept under --cache by their content. The queries are paragraphs that are
not indexed. All systems are built first and searched in turns, round by round, in one process. Queries per second at a
recall lie on the line between the two settings around it, medians of the rounds.

Every graph is built with the same efConstruction, ours as well (a collection's default is more), with 16 and with 32
links a node; usearch with 32 only in 16-bit numbers, since the other takes minutes more to build.

Also measured: the time that a night pays for building, from the vectors' file to the index's with all that it measures
beside, over that of a bare FAISS script with the same spec; exact search over the bare matrix product; and an index
contract with an eighth of the raw vectors' memory. autofaiss, which makes the most of the same memory in an environment
of its own (--environment, made where it is not there), goes first, and the contract is given the recall that it was
measured with, or 0.90 where that is more. Where the contract is refused, it is given what the refusal says is possible,
and the time of both counts. Half of the queries judge both; neither chooses anything on them.

Writes index.md and index.svg into --output and ends with one JSON object. --quick is a test, not a measurement: few
made-up vectors, no autofaiss.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.indexing import corpus as corpora  # noqa: E402
from benchmarks.indexing import measuring, peer_autofaiss, report, systems  # noqa: E402
from benchmarks.indexing.building import Ratios, build_ratios  # noqa: E402
from benchmarks.indexing.eighth import LEAST_RECALL, Led, contract, judging  # noqa: E402
from benchmarks.indexing.sweep import speed_at  # noqa: E402
from benchmarks.machine import INDEXING, command, libraries, machine  # noqa: E402
from slipway.index.exact import exact_neighbours  # noqa: E402


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was measured in one run."""

    measured: list[measuring.Measured]
    build: Ratios
    build_spec: str
    truth: list[float]
    led: Led
    peer: peer_autofaiss.Peer

    @property
    def tuning_ratio(self) -> float | None:
        """Our contract's time over autofaiss's; None where either has none."""
        if self.peer.seconds is None or self.led.recall is None:
            return None
        return self.led.seconds / self.peer.seconds


def run(asked: argparse.Namespace) -> tuple[Results, corpora.Corpus]:
    """Measure everything."""
    corpus = _corpus(asked)
    print(f"{corpus.what}; {len(corpus.queries):,} queries", flush=True)
    truth = exact_neighbours(corpus.vectors, corpus.queries, measuring.K)[1]
    chosen = systems.systems(*corpus.vectors.shape)
    measured = measuring.measure(chosen, corpus, truth, asked.rounds, asked.cores)
    spec = systems.specs(*corpus.vectors.shape)[0]
    with tempfile.TemporaryDirectory() as work:
        build = build_ratios(spec, corpus.vectors, asked.rounds, asked.cores, Path(work))
    print(f"building over bare FAISS: {_spread(build.whole)}", flush=True)
    exact = measuring.truth_ratios(corpus.vectors, corpus.queries, asked.rounds, asked.cores)
    print(f"exact search over the matrix product: {_spread(exact)}", flush=True)
    memory = corpus.vectors.nbytes // 8
    peer = _peer(asked, corpus, memory)
    print(f"autofaiss: {_theirs(peer)}", flush=True)
    led = contract(corpus, memory, asked.cores, max(LEAST_RECALL, round(peer.recall or 0, 3)))
    return Results(measured, build, spec, exact, led, peer), corpus


def _peer(asked: argparse.Namespace, corpus: corpora.Corpus, memory: int) -> peer_autofaiss.Peer:
    if not asked.autofaiss:
        return peer_autofaiss.Peer(failed="left out")
    judges = judging(corpus)
    truth = exact_neighbours(corpus.vectors, judges, measuring.K)[1]
    with tempfile.TemporaryDirectory() as work:
        place = Path(work)
        return peer_autofaiss.run(asked.environment, place, corpus.vectors, judges, truth, memory, asked.cores)


def paragraphs(results: Results, corpus: corpora.Corpus, called: str) -> list[str]:
    """What is said above the table."""
    led, peer = results.led, results.peer
    refused = f" ({led.refused})" if led.refused else ""
    kept = f"no index{refused}"
    if led.recall is not None:
        size = f"{led.bytes / 1e6:.1f} MB"
        kept = f"recall@10 {led.recall:.3f} by {led.spec} of {size}, asked for {led.asked:g}{refused}"
    ratio = "" if results.tuning_ratio is None else f" Time over time: {results.tuning_ratio:.2f}."
    return [
        f"Written by `{called}`. {machine()}, {libraries(*INDEXING)}. "
        f"{corpus.what}; {len(corpus.queries):,} queries apart from them. "
        f"Every graph, ours as well, is built with efConstruction {systems.EF_CONSTRUCTION}; usearch with 32 links a "
        "node and 32-bit numbers is left out, as it takes longest to build. "
        "Spread: how far the slowest round of a setting lies from its fastest, the median of all settings.",
        f"Building {results.build_spec} as a night does over a bare FAISS script: {_spread(results.build.whole)}; "
        f"training and adding alone: {_spread(results.build.adding)}. "
        f"Exact search over the bare matrix product: {_spread(results.truth)}.",
        f"A contract of {led.memory_bytes / 1e6:.1f} MB, an eighth of the vectors: {kept}, "
        f"found, built and tuned in {led.seconds:.0f} s. autofaiss with the same memory: {_theirs(peer)}.{ratio}",
    ]


def _theirs(peer: peer_autofaiss.Peer) -> str:
    if peer.seconds is None:
        return peer.failed
    return f"recall@10 {peer.recall:.3f} in {peer.seconds:.0f} s by {peer.index} of {peer.bytes / 1e6:.1f} MB"


def _spread(ratios: list[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)"


def last_line(results: Results) -> dict[str, Any]:
    """The figures that scripts read."""
    told: dict[str, Any] = {}
    for aim in measuring.AIMS:
        speeds = {}
        for one in results.measured:
            speeds[one.name] = speed_at(one.one, aim)
            speeds[f"{one.name}_all_cores"] = speed_at(one.all_cores, aim)
        told[f"qps_at_recall_{aim * 100:.0f}"] = speeds
    return told | {
        "build_ratio_to_bare_faiss": median(results.build.whole),
        "train_and_add_ratio_to_bare_faiss": median(results.build.adding),
        "recall_at_eighth_memory": results.led.recall,
        "ground_truth_ratio_to_gemm": median(results.truth),
        "tuning_ratio_to_autofaiss": results.tuning_ratio,
        "autofaiss_recall": results.peer.recall,
    }


def _corpus(asked: argparse.Namespace) -> corpora.Corpus:
    if asked.quick:
        return corpora.made_up(asked.vectors or 3_000, 200, 64, asked.seed)
    file = asked.data / "corpus.parquet"
    if not file.is_file():
        raise SystemExit(f"there is no {file}; say where the data are with --data, or try --quick")
    return corpora.embedded(file, asked.cache, asked.vectors or 200_000, asked.queries, asked.tokens, ROOT)


def arguments() -> argparse.ArgumentParser:
    """What the command understands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, help="at most so many; all of the data unless named")
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--tokens", type=int, default=24, help="of each paragraph, special tokens included")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data/enwiki_paras")
    parser.add_argument("--cache", type=Path, default=ROOT / ".slipway/bench", help="folder that vectors are kept in")
    parser.add_argument("--environment", type=Path, default=ROOT / ".slipway/bench-env-autofaiss", help="autofaiss's")
    parser.add_argument("--no-autofaiss", dest="autofaiss", action="store_false", help="leave it out")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/benchmarks", help="folder of the page and the plot")
    parser.add_argument("--quick", action="store_true", help="few made-up vectors")
    return parser


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, write; the last line's object."""
    asked = arguments().parse_args(given)
    asked.autofaiss = asked.autofaiss and not asked.quick
    called = command("benchmarks/index.py", given if given is not None else sys.argv[1:])
    results, corpus = run(asked)
    said = paragraphs(results, corpus, called)
    report.write(asked.output, results.measured, said)
    told = last_line(results)
    print("\n".join([*said, report.table(results.measured), json.dumps(told)]))
    return told


if __name__ == "__main__":
    main()
