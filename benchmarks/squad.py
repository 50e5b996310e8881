"""Real questions over real paragraphs: SQuAD's dev set as a collection of its own, through every stage of a run.

Each of the 2,067 paragraphs is one document and, but for nine long ones, one chunk. The answerable questions are the
golden queries, each with the paragraph it was asked about. Prints a Markdown table: the index against exact search
with the same encoder.

    python benchmarks/squad.py /path/to/squad_dev --spec HNSW32 "IVF64,PQ96x4fs,RFlat"

The folder holds corpus.parquet, queries.parquet and qrels.parquet. With --tuning N, N of the questions tune and are
not judged; without, all are judged with the default search parameters.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from slipway.cli.progress import Bars
from slipway.config import load_collection
from slipway.connections import environment_connections
from slipway.pipeline import Options, run_pipeline
from slipway.progress import Progress, no_progress
from slipway.run import Run
from slipway.storage.local import LocalStore

SOURCE = "squad"
SHOWN = ("recall_at_1", "recall_at_10", "recall_at_100", "hit_rate_at_1", "hit_rate_at_10", "exact_hit_rate_at_10")
SHOWN_TOO = ("ndcg_at_10", "exact_ndcg_at_10", "mrr_at_10", "p50_ms", "p95_ms", "index_bytes")


def write_collection(folder: Path, data: Path, spec: str, tuning: int = 0, judging: int | None = None) -> None:
    """Write `<folder>/squad.yaml` and its golden queries: all answerable questions, or so many drawn at random."""
    texts = _columns(data / "queries.parquet", "query_id", "text")
    judged = _columns(data / "qrels.parquet", "query_id", "doc_id", "relevance")
    wording = dict(texts)
    answerable = [(query, document) for query, document, relevance in judged if relevance == 1]
    random.Random(1).shuffle(answerable)
    chosen = answerable[: None if judging is None else tuning + judging]
    lines = [
        {
            "query_id": query,
            "query": wording[query],
            "relevant": {f"{SOURCE}:{document}": 1},
            "part": "tuning" if number < tuning else "judging",
        }
        for number, (query, document) in enumerate(chosen)
    ]
    (folder / "squad.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    values = {
        "sources": [{"name": SOURCE, "kind": "lake", "path": str(data / "corpus.parquet"), "id": "doc_id"}],
        "text": "{text}",
        "chunk": {"tokens": 512, "overlap": 0, "title": False},
        "encoder": "minilm",
        "index": {"spec": spec},
        "golden": {"queries": "squad.jsonl"},
        "gates": {"recall_at_10": 0.9},
    }
    (folder / "squad.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def run_squad(
    folder: Path, data: Path, spec: str, progress: Progress = no_progress, **questions: Any
) -> dict[str, Any]:
    """The result of a run; in the same folder, a second run reuses every vector of the first."""
    write_collection(folder, data, spec, **questions)
    collection = load_collection(folder, "squad")
    number = sum(1 for _ in folder.glob("scratch-*"))
    run = Run(
        collection,
        LocalStore(folder / "store"),
        f"run-{number}",
        folder / f"scratch-{number}",
        environment_connections,
        progress,
    )
    return run_pipeline(run, Options("benchmark", f"measure {spec}"))


def _columns(path: Path, *names: str) -> list[tuple[Any, ...]]:
    table = pq.read_table(path, columns=list(names))
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def main() -> None:
    """Run every spec and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of corpus.parquet, queries.parquet and qrels.parquet")
    parser.add_argument("--spec", nargs="+", default=["Flat", "HNSW32"], help="FAISS factory strings")
    parser.add_argument("--tuning", type=int, default=0, help="questions that tune instead of being judged")
    parser.add_argument("--judging", type=int, help="questions that are judged (default: all that are left)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slipway-squad-") as folder, Bars() as bars:
        made = [
            run_squad(Path(folder), asked.data.resolve(), spec, bars, tuning=asked.tuning, judging=asked.judging)
            for spec in asked.spec
        ]
    columns = [*SHOWN, *SHOWN_TOO]
    print(f"| index | parameters | {' | '.join(columns)} |")
    print(f"|---|---|{'---|' * len(columns)}")
    for one in made:
        values = [f"{one['metrics'][name]:.4g}" for name in columns]
        print(f"| {one['index']['spec']} | {one['index']['parameters']} | {' | '.join(values)} |")
    for one in made:
        print(f"\n{one['index']['spec']}: {one['verdict']}, seconds by stage {one['seconds']}")


if __name__ == "__main__":
    main()
