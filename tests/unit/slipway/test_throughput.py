from slipway.throughput import Throughput, together, told


def test_what_a_part_tells_is_read_back() -> None:
    took = Throughput(1_000, 4.0, "cuda:1", "torch")
    assert told(took.facts()) == took
    assert took.facts()["tokens_per_second"] == 250
    assert took.kind == "cuda by torch"


def test_parts_of_older_versions_tell_no_backend_or_nothing() -> None:
    assert told({"encoder": "00ff"}) is None
    old = told({"tokens": 10, "seconds": 0.0, "device": "cpu"})
    assert old == Throughput(10, 0.0, "cpu", None)
    assert (old.kind, old.tokens_per_second) == ("cpu", None)


def test_only_what_was_made_alike_is_summed() -> None:
    parts = [
        Throughput(9_000, 1.0, "cuda:0", "torch"),
        Throughput(100, 2.0, "cpu", "openvino"),
        Throughput(50, 9.0, "cpu", "torch"),
        Throughput(300, 1.0, "cpu", "openvino"),
    ]
    assert together(parts) == Throughput(400, 3.0, "cpu", "openvino")
    assert together([]) is None


def test_a_service_is_named_once() -> None:
    assert Throughput(1, 1.0, "service", "service").kind == "service"
