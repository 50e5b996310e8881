"""How the cost of an index grows: 25,000 to 200,000 vectors of paragraphs, and a million made ones.

    python benchmarks/growth.py
    python benchmarks/growth.py --quick

The vectors are those of benchmarks/index.py, and are kept where it keeps them. The million is drawn with their mean and
covariance (seeded), and has no clusters, so that its neighbours lie farther off than those of texts do: what is found
there is not compared with the rest, and only inverted files are built of it, as a graph would take too long. Each
index is built in a process of its own, so that its peak is its own, with all cores; it is tuned to a recall@10 of 0.95
on half of the queries, and its latency on one thread is that of the other half.

Writes growth.md and growth.svg into --output and ends with one JSON object. --quick is a test, not a measurement.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.growths import report  # noqa: E402
from benchmarks.indexing import corpus as corpora  # noqa: E402
from benchmarks.machine import INDEXING, command, libraries, machine  # noqa: E402

SIZES, MADE = (25_000, 50_000, 100_000, 200_000), 1_000_000
WORKER = ROOT / "benchmarks/growths/one.py"
GRAPH, FAMILIES = "HNSW32_SQ8", ("HNSW32_SQ8", "IVF,PQ fast scan,Refine(SQ8)")


def spec(family: str, vectors: int, dimension: int) -> str:
    """The factory string of a family for so many vectors: lists grow with twice the root of their number."""
    if family == GRAPH:
        return family
    return f"IVF{2 ** round(math.log2(2 * math.sqrt(vectors)))},PQ{dimension // 4}x4fs,Refine(SQ8)"


def run(corpus: corpora.Corpus, sizes: list[int], made: int, cores: int, seed: int, work: Path) -> list[dict[str, Any]]:
    """One row an index; real vectors first, in rising order."""
    np.save(work / "queries.npy", corpus.queries)
    np.save(work / "real.npy", corpus.vectors)
    rows = [
        _one(work, "real.npy", "queries.npy", size, family, corpus.vectors.shape[1], cores) | {"real": True}
        for size in sizes
        for family in FAMILIES
    ]
    if made:
        drawn = corpora.drawn(corpus.vectors, made + len(corpus.queries), seed)
        np.save(work / "made.npy", drawn[len(corpus.queries) :])
        np.save(work / "asked.npy", drawn[: len(corpus.queries)])
        family, dimension = FAMILIES[1], drawn.shape[1]
        del drawn
        rows.append(_one(work, "made.npy", "asked.npy", made, family, dimension, cores) | {"real": False})
    return rows


def _one(work: Path, vectors: str, queries: str, count: int, family: str, dimension: int, cores: int) -> dict[str, Any]:
    asked = {"vectors": str(work / vectors), "queries": str(work / queries), "count": count, "cores": cores}
    asked["spec"] = spec(family, count, dimension)
    print(f"{count:,} vectors, {asked['spec']} …", flush=True)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'include'}{os.pathsep}{ROOT}"}
    worker = [sys.executable, str(WORKER), json.dumps(asked)]
    ended = subprocess.run(worker, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told | {"family": family}


def arguments() -> argparse.ArgumentParser:
    """What the command understands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--made", type=int, default=MADE, help="made vectors; 0 leaves them out")
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--tokens", type=int, default=24, help="of each paragraph, special tokens included")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data/enwiki_paras")
    parser.add_argument("--cache", type=Path, default=ROOT / ".slipway/bench", help="folder that vectors are kept in")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/benchmarks", help="folder of the page and the plot")
    parser.add_argument("--quick", action="store_true", help="few made-up vectors")
    return parser


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, write; the last line's object."""
    asked = arguments().parse_args(given)
    if asked.quick:
        corpus, sizes, made = corpora.made_up(2_000, 100, 64, asked.seed), [500, 1_000, 2_000], 4_000
    else:
        file = asked.data / "corpus.parquet"
        if not file.is_file():
            raise SystemExit(f"there is no {file}; say where the data are with --data, or try --quick")
        corpus = corpora.embedded(file, asked.cache, max(asked.sizes), asked.queries, asked.tokens, ROOT)
        sizes, made = sorted({min(size, len(corpus.vectors)) for size in asked.sizes}), asked.made
    with tempfile.TemporaryDirectory() as work:
        rows = run(corpus, sizes, made, asked.cores, asked.seed, Path(work))
    called = command("benchmarks/growth.py", given if given is not None else sys.argv[1:])
    here = f"{machine()}, {libraries(*INDEXING)}"
    said = f"Written by `{called}`, which says what is measured and how. {here}. {corpus.what}."
    report.write(asked.output, rows, [said])
    told = {"rows": rows, "predictions": report.predictions(rows)}
    print("\n".join([said, report.table(rows), report.arithmetic(rows), json.dumps(told)]))
    return told


if __name__ == "__main__":
    main()
