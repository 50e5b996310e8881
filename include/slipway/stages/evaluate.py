"""candidate → evaluation: what the index finds against exact search, and what people find against golden judgments."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slipway import layout
from slipway.encoders import load_encoder
from slipway.errors import EncoderError
from slipway.evaluation.gates import judge
from slipway.evaluation.golden import GoldenQuery, GoldenSet, read_golden
from slipway.evaluation.latency import latency
from slipway.evaluation.relevance import relevance
from slipway.index import artifact, payload
from slipway.index.build import set_parameters
from slipway.index.exact import exact_neighbours, recall
from slipway.index.spec import Spec
from slipway.index.tune import tune
from slipway.manifest import Draft, Manifest, fetch, find, fingerprint
from slipway.run import Run
from slipway.serving.searcher import Searcher
from slipway.serving.smoke import smoke_queries

VERSION = 2
PROBES = 20  # smoke queries
DEPTH = 100  # exact neighbours computed per query


def evaluate(run: Run, candidate: Manifest) -> Manifest:
    """Measure a candidate; skipped when the same candidate was measured with the same golden queries.

    Latency depends on the machine's moment, so a measurement that failed a gate on it is taken anew in each run.
    Facts: `metrics` (by name, see slipway.config.metrics), `by_slice`, search-time `parameters` with the reason, and
    the golden file's checksum. Objects: `queries.json` (per query) and `smoke.json`. Raises `GoldenError`, and
    `EncoderError` when the model is not the candidate's.
    """
    golden = read_golden(run.collection.golden.queries) if run.collection.golden else None
    search = run.collection.index.search.model_dump(mode="json")
    print_of = fingerprint("evaluate", VERSION, candidate.digest, golden.sha256 if golden else None, search)
    sealed = find(run.store, layout.evaluation(print_of))
    if sealed and _was_slow(run, sealed):
        print_of = fingerprint(print_of, run.run_id)
        sealed = find(run.store, layout.evaluation(print_of))
    if sealed:
        return sealed
    place = layout.evaluation(print_of)
    draft = Draft(run.store, place, "evaluate", print_of, {"candidate": candidate.digest})
    files = {o.name: fetch(run.store, o, run.scratch) for o in candidate.objects}
    searcher = Searcher(files, {}, mapped=False)  # the first to read it: a file that is cut short ends here
    scratch = run.scratch / f"evaluate-{draft.attempt}"
    scratch.mkdir(parents=True)
    vectors = payload.gather(
        run.store, candidate.facts["encoder"], files[artifact.ROWS], scratch / "vectors.npy", run.scratch
    )
    live = artifact.live_rows(artifact.open_arrow(files[artifact.ROWS], artifact.ROWS_SCHEMA))
    facts = _Measuring(run, candidate, searcher, vectors, np.flatnonzero(live)).measure(golden, draft)
    return draft.seal(dict(candidate.counts), facts)


def _was_slow(run: Run, evaluation: Manifest) -> bool:
    """Whether a gate on latency fails with what was measured."""
    gates = {name: gate for name, gate in run.collection.gates.items() if name.endswith("_ms")}
    return not judge(gates, evaluation.facts["metrics"], None).passed


class _Measuring:
    """One evaluation: the parts of it share the opened candidate, its live vectors, and the row number of each."""

    def __init__(
        self,
        run: Run,
        candidate: Manifest,
        searcher: Searcher,
        vectors: npt.NDArray[np.float32],
        numbers: npt.NDArray[np.int64],
    ) -> None:
        self.run, self.candidate, self.searcher = run, candidate, searcher
        self.vectors, self.numbers = vectors, numbers
        self.spec = Spec(**candidate.facts["spec"])

    def measure(self, golden: GoldenSet | None, draft: Draft) -> dict[str, Any]:
        metrics: dict[str, float] = {
            name: float(self.candidate.counts[name]) for name in ("documents", "vectors", "index_bytes")
        }
        facts: dict[str, Any] = {
            "golden": golden.sha256 if golden else None,
            "metrics": metrics,
            "candidate": self.candidate.place,
        }
        asked = self.run.collection.index.search
        tuning, judging = (golden.part("tuning"), golden.part("judging")) if golden else ([], [])
        tuning_vectors = self._encode(tuning)
        _, truth = self._exact(tuning_vectors)
        parameters, reason = tune(
            self.searcher.index, self.spec, asked, tuning_vectors, truth, search=self.searcher.nearest_rows
        )
        facts["parameters"], facts["parameters_reason"] = parameters, reason
        set_parameters(self.searcher.index, parameters)
        queries = self._encode(judging) if judging else self._sampled(200)
        if judging:
            facts |= self._judge(judging, queries, metrics, draft)
        metrics |= self._latency(queries)
        texts = [query.query for query in judging[:PROBES]] or None
        draft.add_json(artifact.SMOKE, smoke_queries(self.searcher, queries[:PROBES], texts))
        return facts

    def _judge(
        self, judging: list[GoldenQuery], queries: npt.NDArray[np.float32], metrics: dict[str, float], draft: Draft
    ) -> dict[str, Any]:
        """Adds to `metrics`; returns further facts."""
        scores, truth = self._exact(queries)
        for k in (1, 10, 100):  # each as a search for k asks: the more rows are asked for, the harder an index looks
            found = self.searcher.nearest_rows(queries, self.searcher.rows_asked(k))[1]
            metrics[f"recall_at_{k}"] = round(recall(found, truth, k), 6)
        exact_ranked = [self.searcher.documents_of(rows, s, 10) for rows, s in zip(truth, scores, strict=True)]
        exact, _, _ = relevance(judging, [self._ids(ranked) for ranked in exact_ranked])
        ranked_ids = [self._ids(ranked) for ranked in self.searcher.nearest_documents(queries, 10)]
        overall, by_slice, by_query = relevance(judging, ranked_ids)
        metrics |= overall
        metrics["exact_ndcg_at_10"] = exact["ndcg_at_10"]
        metrics["exact_hit_rate_at_10"] = exact["hit_rate_at_10"]
        draft.add_json("queries.json", _per_query(judging, ranked_ids, by_query))
        return {"by_slice": by_slice, "judged_queries": len(judging), "judged_missing": self._missing(judging)}

    def _missing(self, judging: list[GoldenQuery]) -> list[str]:
        """Judged document ids that the candidate does not hold: typos, deleted or rejected documents."""
        judged = {document for query in judging for document in query.relevant}
        return sorted(judged - self.searcher.held(sorted(judged)))

    def _ids(self, ranked: list[tuple[int, float, int]]) -> list[str]:
        return self.searcher.document_ids([ordinal for ordinal, _, _ in ranked])

    def _exact(self, queries: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Scores and row numbers of the exact neighbours among the live rows, best first."""
        scores, places = exact_neighbours(self.vectors, queries, DEPTH, self.spec.metric)
        return scores, self.numbers[places]

    def _latency(self, queries: npt.NDArray[np.float32]) -> dict[str, float]:
        return latency(lambda query: self.searcher.search(query, 10), queries)

    def _encode(self, queries: list[GoldenQuery]) -> npt.NDArray[np.float32]:
        if not queries:
            return np.empty((0, self.searcher.dimension), dtype=np.float32)
        encoder = load_encoder(self.run.collection.encoder, self.run.collection.embed.device)
        if encoder.fingerprint != self.candidate.facts["encoder"]:
            raise EncoderError(
                f"encoder {self.run.collection.encoder.name} has fingerprint {encoder.fingerprint}, the candidate was "
                f"made by {self.candidate.facts['encoder']}: the model changed during the run; start a new run"
            )
        return encoder.encode_queries([query.query for query in queries])

    def _sampled(self, count: int) -> npt.NDArray[np.float32]:
        """Some of the collection's own vectors, for timing and smoke tests only: they would flatter recall."""
        rows = np.random.default_rng(self.spec.seed).choice(
            len(self.vectors), min(count, len(self.vectors)), replace=False
        )
        return np.ascontiguousarray(self.vectors[np.sort(rows)])


def _per_query(
    queries: list[GoldenQuery], ranked: list[list[str]], by_query: dict[str, dict[str, float]]
) -> list[dict[str, Any]]:
    return [
        {
            "query_id": query.query_id,
            "query": query.query,
            "slice": query.slice,
            "found": found,
            **by_query[query.query_id],
        }
        for query, found in zip(queries, ranked, strict=True)
    ]
