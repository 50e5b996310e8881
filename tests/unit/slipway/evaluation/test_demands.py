from slipway.config.collection import Collection, Gate
from slipway.evaluation.demands import demands


def a_collection(**gates: dict[str, float]) -> Collection:
    return Collection.model_validate(
        {
            "name": "test",
            "sources": [{"name": "api", "kind": "lake", "path": "/lake", "id": "id", "text": "{body}"}],
            "encoder": {"name": "none", "folder": "/model", "dimension": 8, "max_tokens": 512},
            "golden": {"queries": "/golden.jsonl"},
            "gates": gates,
            "reindex": {"margin": 0.03},
        }
    )


def test_a_night_is_judged_by_the_gates_of_the_file_alone() -> None:
    collection = a_collection(p95_ms={"max": 20})
    assert demands(collection, {"ndcg_at_10": 0.5}, upgrade=False) == {"p95_ms": Gate(max=20)}


def test_documents_that_must_be_found_must_all_be_found_unless_the_file_says_otherwise() -> None:
    metrics = {"must_find_rate": 0.5}
    assert demands(a_collection(), metrics, upgrade=False) == {"must_find_rate": Gate(min=1.0)}
    lenient = a_collection(must_find_rate={"min": 0.4})
    assert demands(lenient, metrics, upgrade=False) == {"must_find_rate": Gate(min=0.4)}


def test_an_upgrade_is_always_judged_against_what_is_live() -> None:
    found = demands(a_collection(recall_at_10={"min": 0.9}), {}, upgrade=True)
    assert found == {"recall_at_10": Gate(min=0.9, max_drop=0.01), "ndcg_at_10": Gate(max_drop=0.03)}


def test_an_upgrade_is_judged_by_the_margin_of_the_file_where_it_has_one() -> None:
    gates = {"recall_at_10": {"max_drop": 0.1}, "ndcg_at_10": {"min": 0.3, "max_drop": 0.2}}
    found = demands(a_collection(**gates), {}, upgrade=True)
    assert found == {name: Gate(**gate) for name, gate in gates.items()}


CONTRACT = {"recall_at_10": 0.95, "p95_ms": 10, "memory": "1MiB", "build_minutes": 3}


def with_contract(**gates: dict[str, float]) -> Collection:
    return Collection.model_validate(a_collection(**gates).model_dump() | {"index": {"contract": CONTRACT}})


def test_every_clause_of_a_contract_is_demanded() -> None:
    assert demands(with_contract(), {}, upgrade=False) == {
        "recall_at_10": Gate(min=0.95),
        "p95_ms": Gate(max=10),
        "memory_bytes": Gate(max=2**20),
        "build_minutes": Gate(max=3),
    }


def test_a_bound_of_the_file_stands_before_the_contracts() -> None:
    found = demands(with_contract(p95_ms={"max": 20}, recall_at_10={"max_drop": 0.1}), {}, upgrade=False)
    assert found["p95_ms"] == Gate(max=20)
    assert found["recall_at_10"] == Gate(min=0.95, max_drop=0.1)


def test_a_clause_that_is_not_there_is_not_demanded() -> None:
    values = a_collection().model_dump() | {"index": {"contract": {"recall_at_10": 0.9}}}
    assert demands(Collection.model_validate(values), {}, upgrade=False) == {"recall_at_10": Gate(min=0.9)}
