"""candidate → evaluation: what the index finds against exact search, and what people find against golden judgments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway import layout
from slipway.choosing import FACT
from slipway.encoders import load_encoder
from slipway.errors import EncoderError
from slipway.evaluation.demands import demands
from slipway.evaluation.gates import judge
from slipway.evaluation.golden import GoldenQuery, GoldenSet, read_golden
from slipway.evaluation.latency import undisturbed
from slipway.evaluation.opened import Opened, document_ids, fetch_files, with_vectors
from slipway.evaluation.relevance import empty_result_rate, means_by_slice, must_find_rate, relevance
from slipway.evaluation.sweep import sweep
from slipway.index import artifact
from slipway.index.build import set_parameters
from slipway.index.contract import aim
from slipway.index.spec import Spec
from slipway.index.tune import MIN_QUERIES, TARGET, tune
from slipway.manifest import Draft, Manifest, find, fingerprint
from slipway.run import Run
from slipway.serving.searcher import Searcher
from slipway.serving.smoke import smoke_queries

VERSION = 5
PROBES = 20  # smoke queries


def evaluate(run: Run, candidate: Manifest) -> Manifest:
    """Measure a candidate; skipped when the same candidate was measured with the same golden queries.

    With an index contract and fewer than `MIN_QUERIES` judging queries, recall@10 is what it was confirmed by.
    Latency depends on the machine's moment, so a measurement that failed a gate on it is taken anew in each run.
    Facts: `metrics` (by name, see slipway.config.metrics), `by_slice`, search-time `parameters` with the reason, the
    golden file's checksum, `judged_missing` (documents that golden queries name and the candidate does not hold: typos,
    deleted or rejected ones), `judged_held` (how many queries have a judged document that it holds), and `sweep` (see
    slipway.evaluation.sweep). Objects: `queries.json` (per query) and
    `smoke.json`. Raises `GoldenError`, and `EncoderError` when the model is not the candidate's.
    """
    golden = read_golden(run.collection.golden.queries) if run.collection.golden else None
    search = run.collection.index.search.model_dump(mode="json")
    contract = run.collection.index.contract
    asked = [search, *([contract.model_dump(mode="json")] if contract else [])]
    print_of = fingerprint("evaluate", VERSION, candidate.digest, golden.sha256 if golden else None, *asked)
    sealed = find(run.store, layout.evaluation(print_of))
    if sealed and _was_slow(run, sealed):
        print_of = fingerprint(print_of, run.run_id)
        sealed = find(run.store, layout.evaluation(print_of))
    if sealed:
        return sealed
    place = layout.evaluation(print_of)
    draft = Draft(run.store, place, "evaluate", print_of, {"candidate": candidate.digest})
    scratch = run.scratch / f"evaluate-{draft.attempt}"
    scratch.mkdir(parents=True)
    files = fetch_files(run, candidate)
    opened = with_vectors(run, candidate, files, Searcher(files, {}), scratch)
    facts = _Measuring(run, candidate, opened).measure(golden, draft)
    return draft.seal(dict(candidate.counts), facts)


def _was_slow(run: Run, evaluation: Manifest) -> bool:
    """Whether a gate on latency fails with what was measured."""
    metrics = evaluation.facts["metrics"]
    gates = demands(run.collection, metrics, upgrade=False)
    return not judge({name: gates[name] for name in gates if name.endswith("_ms")}, metrics, None).passed


class _Measuring:
    """One evaluation: the parts of it share the opened candidate."""

    def __init__(self, run: Run, candidate: Manifest, opened: Opened) -> None:
        self.run, self.candidate, self.opened, self.searcher = run, candidate, opened, opened.searcher
        self.spec = Spec(**candidate.facts["spec"])

    def measure(self, golden: GoldenSet | None, draft: Draft) -> dict[str, Any]:
        metrics = self._sizes()
        facts: dict[str, Any] = {
            "golden": golden.sha256 if golden else None,
            "metrics": metrics,
            "candidate": self.candidate.place,
        }
        tuning, judging = (golden.part("tuning"), golden.part("judging")) if golden else ([], [])
        tuning_vectors = self._encode(tuning)
        _, truth = self.opened.exact(tuning_vectors)
        parameters, reason = self._parameters(tuning_vectors, truth)
        facts["parameters"], facts["parameters_reason"] = parameters, reason
        set_parameters(self.searcher.index, parameters)
        queries = self._encode(judging) if judging else self._sampled(200)
        if judging:
            facts |= self._judge(judging, queries, metrics, draft, parameters)
        confirmed = self._confirmed()
        if confirmed and len(judging) < MIN_QUERIES:  # too few to hold the contract against
            metrics["recall_at_10"] = confirmed["recall_at_10"]
        metrics |= self._latency(queries)
        texts = [query.query for query in judging[:PROBES]] or None
        draft.add_json(artifact.SMOKE, smoke_queries(self.searcher, queries[:PROBES], texts))
        return facts

    def _sizes(self) -> dict[str, float]:
        counts, built = self.candidate.counts, self.candidate.facts.get("built")
        sizes = {name: float(counts[name]) for name in ("documents", "vectors", "index_bytes")}
        sizes["memory_bytes"] = sizes["index_bytes"]  # a reader maps the file, and holds what was read of it
        return sizes | ({"build_minutes": round(built["seconds"] / 60, 6)} if built else {})

    def _confirmed(self) -> Mapping[str, Any] | None:
        """What the index stage measured for the contract on held-out queries; None where there is no contract."""
        chosen: Mapping[str, Any] | None = self.candidate.facts.get(FACT)
        return chosen["confirmed"] if chosen and self.run.collection.index.contract else None

    def _parameters(self, queries: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> tuple[dict[str, int], str]:
        """Tuned on the tuning queries; those of the contract's confirmation where there are too few to tune on."""
        confirmed, contract = self._confirmed(), self.run.collection.index.contract
        if confirmed and len(queries) < MIN_QUERIES:
            reason = f"as the contract was confirmed with, by {confirmed['queries']} {confirmed['source']}"
            return dict(confirmed["parameters"]), reason
        target = aim(contract.recall_at_10 if contract else TARGET, len(queries))
        asked, search = self.run.collection.index.search, self.searcher.nearest_rows
        return tune(self.searcher.index, self.spec, asked, queries, truth, target=target, search=search)

    def _judge(
        self,
        judging: list[GoldenQuery],
        queries: npt.NDArray[np.float32],
        metrics: dict[str, float],
        draft: Draft,
        parameters: dict[str, int],
    ) -> dict[str, Any]:
        """Adds to `metrics`; returns further facts."""
        scores, truth = self.opened.exact(queries)
        recalls = {k: self.opened.recalls(queries, truth, k) for k in (1, 10, 100)}
        metrics |= {f"recall_at_{k}": round(float(each.mean()), 6) for k, each in recalls.items()}
        exact_ranked = [self.searcher.documents_of(rows, s, 10) for rows, s in zip(truth, scores, strict=True)]
        exact, _, _ = relevance(judging, [document_ids(self.searcher, ranked) for ranked in exact_ranked])
        found = self.opened.found(queries)
        overall, _, by_query = relevance(judging, found)
        for query, its_recall in zip(judging, recalls[10], strict=True):
            by_query[query.query_id]["recall_at_10"] = float(its_recall)
        metrics |= overall
        metrics["exact_ndcg_at_10"] = exact["ndcg_at_10"]
        metrics["exact_hit_rate_at_10"] = exact["hit_rate_at_10"]
        metrics["empty_result_rate"] = empty_result_rate(found)
        named = {document for query in judging for document in (*query.relevant, *query.must_find)}
        held = self.searcher.held(sorted(named))
        if (rate := must_find_rate(judging, found, held)) is not None:
            metrics["must_find_rate"] = rate
        draft.add_json("queries.json", _per_query(judging, found, by_query))
        return {
            "by_slice": means_by_slice(judging, by_query),
            "judged_queries": len(judging),
            "judged_missing": sorted(named - held),
            "judged_held": sum(any(document in held for document in query.relevant) for query in judging),
            "sweep": sweep(self.opened, self.spec, self.run.collection.index.search, parameters, queries, truth),
        }

    def _latency(self, queries: npt.NDArray[np.float32]) -> dict[str, float]:
        return undisturbed(lambda query: self.searcher.search(query, 10), queries)

    def _encode(self, queries: list[GoldenQuery]) -> npt.NDArray[np.float32]:
        if not queries:
            return np.empty((0, self.searcher.dimension), dtype=np.float32)
        encoder = load_encoder(self.run.collection.encoder, self.run.collection.embed, secrets=self.run.secrets)
        if encoder.fingerprint != self.candidate.facts["encoder"]:
            raise EncoderError(
                f"encoder {self.run.collection.encoder.name} has fingerprint {encoder.fingerprint}, the candidate was "
                f"made by {self.candidate.facts['encoder']}: the model changed during the run; start a new run"
            )
        return encoder.encode_queries([query.query for query in queries])

    def _sampled(self, count: int) -> npt.NDArray[np.float32]:
        """Some of the collection's own vectors, for timing and smoke tests only: they would flatter recall."""
        rows = np.random.default_rng(self.spec.seed).choice(
            len(self.opened.vectors), min(count, len(self.opened.vectors)), replace=False
        )
        return np.ascontiguousarray(self.opened.vectors[np.sort(rows)])


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
