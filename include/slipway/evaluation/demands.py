"""The gates that a candidate is judged by: those of the collection file, and those that hold without being written."""

from __future__ import annotations

from collections.abc import Mapping

from slipway.config.collection import Collection, Gate

RECALL_DROP = 0.01  # largest loss of recall@10 that an upgrade may bring, where its gate does not say
MUST_FIND = "must_find_rate"


def demands(collection: Collection, metrics: Mapping[str, float], upgrade: bool) -> dict[str, Gate]:
    """The gates by metric, those of the file first.

    Documents that must be found must all be found, unless the file says otherwise. In an `upgrade`, of the encoder or
    of the index, nDCG@10 and recall@10 are always judged against the live release's as well.
    """
    gates = dict(collection.gates)
    if MUST_FIND in metrics and MUST_FIND not in gates:
        gates[MUST_FIND] = Gate(min=1.0)
    if upgrade:
        gates["ndcg_at_10"] = _with_drop(gates.get("ndcg_at_10"), collection.reindex.margin)
        gates["recall_at_10"] = _with_drop(gates.get("recall_at_10"), RECALL_DROP)
    return gates


def _with_drop(gate: Gate | None, margin: float) -> Gate:
    if gate is None:
        return Gate(max_drop=margin)
    return gate if gate.max_drop is not None else gate.model_copy(update={"max_drop": margin})
