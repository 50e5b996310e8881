"""What a filter costs and loses: recall@10 and latency of filtered searches over a hundred thousand real texts.

    python benchmarks/filters.py                    # ten minutes and more on two CPU cores
    python benchmarks/filters.py --rows 5000        # a test of the benchmark

Definitions of Open English WordNet (--data, or oewn below SLIPWAY_TEST_DATA) under the static encoder, 384 numbers a
vector, searched by usage examples, one at a time on one thread: without a filter; with filters on a number drawn at
random, which leave from a half down to a two-thousandth; and with filters that have to do with what is asked (part of
speech, subject). The truth is an exact search among the documents that match. "As it is" is what FAISS gives when it
is handed the filter and nothing else; "Slipway" is `Searcher.nearest_documents`.

Prints Markdown. Then what a filter costs at its first use, and the memory and loading time of mapped indexes against
loaded ones, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from benchmarks.served.corpus import Corpus
    from slipway.serving.searcher import Searcher

PROJECT = Path(__file__).resolve().parents[1]
SPECS = ("HNSW32", "IVF1024,PQ96x4fs,Refine(SQ8)")
MAPPED = ("Flat", "HNSW32", "HNSW32,SQ8", "IVF1024,SQ8", "IVF1024,PQ96x4fs,Refine(SQ8)")
QUERIES, K = 200, 10

MEMORY = """
import json, sys, time
from pathlib import Path
import faiss, numpy as np
from slipway.index.build import read

def kib(name):
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

faiss.omp_set_num_threads(1)
queries = np.load(sys.argv[2])
before = kib("Rss"), kib("Anonymous")
began = time.perf_counter()
index = read(Path(sys.argv[1]), mapped=sys.argv[3] == "mapped")
loading = time.perf_counter() - began
times = []
for query in queries:
    began = time.perf_counter()
    index.search(query[None, :], 10)
    times.append(time.perf_counter() - began)
print(json.dumps({
    "load_ms": loading * 1e3, "own_mib": (kib("Anonymous") - before[1]) / 1024,
    "resident_mib": (kib("Rss") - before[0]) / 1024, "p50_ms": float(np.median(times)) * 1e3,
}))
"""


def selections(buckets: int) -> dict[str, Mapping[str, Any]]:
    """Filters by what people are told of them."""
    shares = {"50 %": 0.5, "5 %": 0.05, "0.5 %": 0.005, "0.05 %": 0.0005}
    at_random = {f"{name} at random": {"bucket": {"lt": int(share * buckets)}} for name, share in shares.items()}
    return {
        **at_random,
        "verbs": {"pos": "v"},
        "adverbs": {"pos": "r"},
        "plants": {"category": "noun.plant"},
        "weather": {"category": "verb.weather"},
    }


def measure(searcher: Searcher, corpus: Corpus, where: Mapping[str, Any] | None) -> list[str]:
    """One line of the table, its cells."""
    from slipway.index.exact import exact_neighbours, recall

    chosen = searcher.filters.matching(where) if where else None
    kept = np.arange(len(corpus.vectors))
    if chosen is not None:
        kept = kept[[ordinal in chosen for ordinal in kept]]
    count = min(K, len(kept))
    truth = kept[exact_neighbours(np.ascontiguousarray(corpus.vectors[kept]), corpus.queries, count)[1]]

    def ours(query: npt.NDArray[np.float32]) -> list[int]:
        return [row for _, _, row in searcher.nearest_documents(query, K, where)[0]]

    plain = (lambda query: _plainly(searcher.index, chosen, query)) if chosen is not None else ours
    cells = [f"{len(kept):,}"]
    for search in (plain, ours):
        found, times = _timed(search, corpus.queries)
        p50, p95 = np.percentile(times, [50, 95])
        cells += [f"{recall(found, truth, count):.3f}", f"{p50:.2f}", f"{p95:.2f}"]
    return [*cells, "-" if chosen is None else "scan" if chosen.selection.scans else "search"]


def _plainly(index: Any, chosen: Any, query: npt.NDArray[np.float32]) -> list[int]:
    """What FAISS finds with a selector and the index's own parameters."""
    import faiss

    from slipway.index.anatomy import core, refinement

    api: Any = faiss
    part = core(index)
    bits = np.zeros((chosen.selection.rows + 7) // 8, np.uint8)
    bits[: len(chosen.documents)] = chosen.documents  # document n is row n here
    selector = api.IDSelectorBitmap(bits)
    if isinstance(part, faiss.IndexHNSW):
        parameters = api.SearchParametersHNSW(sel=selector, efSearch=part.hnsw.efSearch)
    else:
        parameters = api.SearchParametersIVF(sel=selector, nprobe=part.nprobe)
    if refinement(index) is not None:
        parameters = api.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=parameters)
    rows: list[int] = index.search(query, K, params=parameters)[1][0].tolist()
    return rows


def _timed(
    search: Callable[[npt.NDArray[np.float32]], list[int]], queries: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], list[float]]:
    """Rows found by each query, filled up with -1, and the milliseconds of each."""
    found, times = np.full((len(queries), K), -1, np.int64), []
    search(queries[:1])
    for number in range(len(queries)):
        began = time.perf_counter()
        rows = search(queries[number : number + 1])
        times.append((time.perf_counter() - began) * 1_000)
        found[number, : len(rows)] = rows
    return found, times


def first_use(searcher: Searcher) -> None:
    """What filters cost before anything is kept."""
    steps = {
        "the first filter of a release, reading all metadata": {"pos": "v"},
        "a new filter on a field of few values": {"pos": "r"},
        "a new filter on a field of ten thousand": {"bucket": {"gte": 9_000}},
        "a filter that is kept": {"bucket": {"gte": 9_000}},
    }
    print("\n| | ms |\n|---|---|")
    for what, where in steps.items():
        began = time.perf_counter()
        searcher.filters.matching(where)
        print(f"| {what} | {(time.perf_counter() - began) * 1_000:.3f} |", flush=True)


def memory(corpus: Corpus, folder: Path) -> None:
    """Loaded and mapped side by side."""
    print("\n| index | | load, ms | memory of its own, MiB | resident after the queries, MiB | p50, ms |")
    print("|---|---|---|---|---|---|")
    np.save(folder / "queries.npy", corpus.queries)
    for number, factory in enumerate(MAPPED):
        files, _ = corpus.index(factory, folder / f"mapped{number}")
        for way in ("loaded", "mapped"):
            command = [sys.executable, "-c", MEMORY, str(files["index.faiss"]), str(folder / "queries.npy"), way]
            made = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            numbers = [made["load_ms"], made["own_mib"], made["resident_mib"]]
            cells = [f"{value:,.0f}" for value in numbers] + [f"{made['p50_ms']:.2f}"]
            print(f"| {factory} | {way} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    import faiss

    from benchmarks.night import data_folder
    from benchmarks.served.corpus import BUCKETS, Corpus
    from slipway.serving.searcher import Searcher

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of Open English WordNet")
    parser.add_argument("--rows", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slipway-filters-") as name:
        folder = Path(name)
        corpus = Corpus.read(data_folder(asked.data), folder, asked.rows, QUERIES)
        for number, factory in enumerate(SPECS):
            files, parameters = corpus.index(factory, folder / f"index{number}")
            faiss.omp_set_num_threads(1)
            searcher = Searcher(files, parameters)
            print(f"\n{factory}, {len(corpus.vectors):,} vectors, {parameters}\n")
            print(
                "| filter | matching | as it is: recall@10 | p50 ms | p95 ms | Slipway: recall@10 | p50 ms | p95 ms | |"
            )
            print("|---|---|---|---|---|---|---|---|---|")
            for what, where in {"none": None, **selections(BUCKETS)}.items():
                print(f"| {what} | {' | '.join(measure(searcher, corpus, where))} |", flush=True)
            faiss.omp_set_num_threads(2)
        first_use(Searcher(files, parameters))
        memory(corpus, folder)


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    main()
