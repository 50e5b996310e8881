from slipway import layout
from slipway.storage.keys import check_key


def test_every_place_is_a_key_of_its_own() -> None:
    places = [
        layout.SERVING,
        layout.LEASE,
        layout.start("run"),
        layout.checkpoint("20260130T021500Z", "run"),
        layout.raw("run", "api"),
        layout.plan("run"),
        layout.result("run"),
        layout.documents("ab"),
        layout.snapshot("ab"),
        layout.difference(None, "ab"),
        layout.difference("cd", "ab"),
        layout.chunks("ab"),
        layout.vectors("ab"),
        layout.vector_part("ab", "part"),
        layout.candidate("ab"),
        layout.evaluation("ab"),
        layout.release("ab"),
        layout.audit(7),
    ]
    assert len(set(places)) == len(places)
    assert [check_key(place) for place in places] == places


def test_the_docstring_draws_every_place() -> None:
    drawn = layout.__doc__ or ""
    for place in (
        layout.start("<run_id>"),
        layout.checkpoint("<time>", "<run_id>"),
        layout.raw("<run_id>", "<source>"),
        layout.plan("<run_id>"),
        layout.result("<run_id>"),
        layout.documents("<fingerprint>"),
        layout.snapshot("<fingerprint>"),
        layout.difference("<old>", "<new>"),
        layout.chunks("<fingerprint>"),
        layout.vector_part("<encoder>", "<part>"),
        layout.candidate("<fingerprint>"),
        layout.evaluation("<fingerprint>"),
        layout.release("<release_id>"),
        layout.SERVING,
    ):
        assert f"\n  {place}" in drawn


def test_audit_records_are_listed_in_order() -> None:
    keys = [layout.audit(generation) for generation in (1, 2, 9, 10, 99, 100, 12_345)]
    assert keys == sorted(keys)
