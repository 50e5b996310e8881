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
