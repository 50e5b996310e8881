"""A hundred thousand real texts as an index with documents: Open English WordNet under the static encoder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slipway.config.collection import Embed
from slipway.config.encoder import Encoder
from slipway.config.index import SearchParameters
from slipway.encoders import load_encoder
from slipway.index import artifact
from slipway.index.build import build, write
from slipway.index.spec import Spec, default_parameters
from slipway_demo.static import static_model
from tests.support.releases import write_arrow

DIMENSION = 384
BUCKETS = 10_000  # a number in the metadata of each document, drawn at random: a filter of any selectivity
EF_CONSTRUCTION = 200
TRAIN_VECTORS = 262_144

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Corpus:
    """`vectors` and `queries` ((n, 384) float32, unit norm), and the documents' titles, texts and metadata."""

    vectors: Vectors
    queries: Vectors
    documents: list[dict[str, Any]]

    @classmethod
    def read(cls, data: Path, folder: Path, rows: int, queries: int) -> Corpus:
        """The first entries of the newest edition by id, and as many of its usage examples as queries."""
        described = static_model(folder / "static", DIMENSION)
        encoder = load_encoder(Encoder(**described), Embed(device="cpu"))
        entries = pq.read_table(data / "corpus.parquet").sort_by("doc_id").slice(0, rows).to_pylist()
        asked = pq.read_table(data / "queries.parquet")
        texts = asked[next(name for name in ("text", "query") if name in asked.column_names)].to_pylist()
        drawn = np.random.default_rng(1)
        documents = [
            {
                "title": entry["title"],
                "text": entry["text"],
                "metadata": {"pos": entry["pos"], "category": entry["category"], "bucket": int(bucket)},
            }
            for entry, bucket in zip(entries, drawn.integers(0, BUCKETS, len(entries)), strict=True)
        ]
        vectors = encoder.encode_documents([f"{one['title']}\n{one['text']}" for one in documents])
        chosen = drawn.choice(len(texts), queries, replace=False)
        return cls(vectors, encoder.encode_queries([texts[number] for number in chosen]), documents)

    def index(self, factory: str, folder: Path) -> tuple[dict[str, Path], dict[str, int]]:
        """An index's files by name, and its default search parameters."""
        spec = Spec(factory, "inner_product", 1, "named in the benchmark")
        folder.mkdir(parents=True)
        files = {name: folder / name for name in (artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS)}
        write(build(self.vectors, spec, TRAIN_VECTORS, EF_CONSTRUCTION), files[artifact.INDEX])
        count = len(self.documents)
        rows = {
            "chunk_hash": [f"{row:032x}" for row in range(count)],
            "documents": [[row] for row in range(count)],
            "starts": [[0]] * count,
            "ends": [[len(one["text"])] for one in self.documents],
        }
        columns = {
            "document_id": [f"oewn:{row}" for row in range(count)],
            **{name: [one[name] for one in self.documents] for name in ("title", "text")},
            "metadata": [json.dumps(one["metadata"]) for one in self.documents],
        }
        write_arrow(files[artifact.ROWS], pa.table(rows, artifact.ROWS_SCHEMA))
        write_arrow(files[artifact.DOCUMENTS], pa.table(columns, artifact.DOCUMENTS_SCHEMA))
        return files, default_parameters(spec, SearchParameters())
