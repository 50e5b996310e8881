"""The gates that a candidate is judged by: those of the collection file, and those that hold without being written."""

from __future__ import annotations

from collections.abc import Mapping

from slipway.config.collection import Collection, Gate
from slipway.config.index import Contract

RECALL_DROP = 0.01  # largest loss of recall@10 that an upgrade may bring, where its gate does not say
MUST_FIND = "must_find_rate"


def demands(collection: Collection, metrics: Mapping[str, float], upgrade: bool) -> dict[str, Gate]:
    """The gates by metric, those of the file first.

    Documents that must be found must all be found, unless the file says otherwise. What an index contract says is
    demanded where the file has no bound for it. In an `upgrade`, of the encoder or
    of the index, nDCG@10 and recall@10 are always judged against the live release's as well.
    """
    gates = dict(collection.gates)
    if MUST_FIND in metrics and MUST_FIND not in gates:
        gates[MUST_FIND] = Gate(min=1.0)
    for metric, bound in of_contract(collection.index.contract).items():
        gates[metric] = _with_bound(gates.get(metric), bound)
    if upgrade:
        gates["ndcg_at_10"] = _with_drop(gates.get("ndcg_at_10"), collection.reindex.margin)
        gates["recall_at_10"] = _with_drop(gates.get("recall_at_10"), RECALL_DROP)
    return gates


def of_contract(contract: Contract | None) -> dict[str, Gate]:
    """A gate a clause, by metric."""
    if contract is None:
        return {}
    most = {"p95_ms": contract.p95_ms, "memory_bytes": contract.memory, "build_minutes": contract.build_minutes}
    bounds = {metric: Gate(max=float(value)) for metric, value in most.items() if value is not None}
    return {"recall_at_10": Gate(min=contract.recall_at_10), **bounds}


def _with_bound(gate: Gate | None, bound: Gate) -> Gate:
    """The file's gate, with the bound where it has none."""
    if gate is None:
        return bound
    return (
        gate if (gate.min, gate.max) != (None, None) else gate.model_copy(update={"min": bound.min, "max": bound.max})
    )


def _with_drop(gate: Gate | None, margin: float) -> Gate:
    if gate is None:
        return Gate(max_drop=margin)
    return gate if gate.max_drop is not None else gate.model_copy(update={"max_drop": margin})
