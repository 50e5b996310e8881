"""Which backend is chosen, what is remembered of it, and what it costs a process that comes later."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from slipway.config import Encoder
from slipway.config.collection import Embed
from slipway.encoders import candidates, choosing, find_model, load_encoder, openvino, remembered, sentence_transformers
from slipway.encoders.base import Unsuitable
from slipway.encoders.batches import padded
from slipway.encoders.candidates import Candidate, Wanted, Workbench
from slipway.encoders.choosing import choice_of, choose
from slipway.encoders.eight_bits import with_weights_in_eight_bits
from slipway.encoders.model import Model
from slipway.encoders.texts import Texts
from slipway.errors import EncoderError
from slipway_demo.static import static_model
from tests.support.encoders import FakeEncoder, loaded_minilm, minilm, model_folder, packaged_model

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder, Vectors

ROOT = Path(__file__).parents[4]
TEXTS = ["How to join two tables on a key", "merge", "日本語 🚀", "word " * 300, "The quick brown fox.", "merge"]
ON_CPU = Wanted(device="cpu")

needs_openvino = pytest.mark.skipif(not openvino.is_installed(), reason="OpenVINO is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SLIPWAY_BACKEND", raising=False)
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def found_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which this machine's best backend for the packaged model is remembered."""
    folder = tmp_path_factory.mktemp("found-out")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SLIPWAY_CACHE", str(folder))
        choose(packaged_model(), Wanted(device="cpu", backend="openvino"))
    return folder


class Backend(FakeEncoder):
    """A fake of a backend: vectors `turned` from the reference's, and so many seconds of a fake clock a call."""

    def __init__(self, model: Model, candidate: Candidate, turned: float, seconds: float, clock: Clock) -> None:
        super().__init__(model)
        self.backend, self.dtype = candidate.backend, candidate.dtype
        self._turned, self._seconds, self._clock = turned, seconds, clock

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        self._clock.now += self._seconds
        made = super().encode_documents(texts)
        made[:, 0] += self._turned
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    encode_queries = encode_documents


class Clock:
    now = 0.0

    def perf_counter(self) -> float:
        return self.now


# candidate → how far its vectors turn and its seconds, or why it fails this time; what is not named is not installed
Plan = dict[str, tuple[float, float] | str]


class Machine:
    """A fake machine: what each candidate comes to on it. `built` is what was tried."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.clock, self.built = plan, Clock(), list[str]()

    def build(self, bench: Workbench, candidate: Candidate) -> TextEncoder:
        self.built.append(str(candidate))
        if str(candidate) not in self.plan:
            raise Unsuitable(f"{candidate}: it is not installed")
        found = self.plan[str(candidate)]
        if isinstance(found, str):
            raise EncoderError(f"{candidate}: {found}")
        return Backend(bench._model, candidate, *found, self.clock)


def use(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, device: str = "cpu", dtypes: Sequence[str] = ("float32",)
) -> Machine:
    machine = Machine(plan)
    monkeypatch.setattr(Workbench, "build", lambda bench, candidate: machine.build(bench, candidate))
    monkeypatch.setattr(Workbench, "device", device)
    monkeypatch.setattr(Workbench, "reference", property(lambda bench: FakeEncoder(bench._model)))
    monkeypatch.setattr(openvino, "dtypes", lambda: list(dtypes))
    monkeypatch.setattr(openvino, "is_installed", lambda: True)
    monkeypatch.setattr(choosing, "time", machine.clock)
    return machine


def chosen(wanted: Wanted = ON_CPU) -> choosing.Choice:
    choice = choice_of(choose(packaged_model(), wanted))
    assert choice is not None
    return choice


EXACT = 0.0
FAST, SLOW = (EXACT, 1.0), (EXACT, 3.0)
STOCK = {"sentence-transformers float32": SLOW}


def test_the_fastest_that_makes_the_same_vectors_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {"openvino float32": SLOW, "torch float32": FAST, **STOCK})
    found = chosen()
    assert (found.backend, found.cosine) == ("torch", pytest.approx(1))
    assert found.tokens_per_second is not None
    assert found.others == {"openvino float32": f"{found.tokens_per_second / 3:,.0f} tokens/s"}


def test_of_those_that_are_about_as_fast_the_first_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {"openvino float32": (EXACT, 1.08), "torch float32": FAST, **STOCK})
    assert chosen().backend == "openvino"


@pytest.mark.parametrize(("seconds", "rounds"), [(1.0, 2), (100.0, 1)])
def test_backends_are_timed_on_two_batches_a_core_and_large_models_once(
    monkeypatch: pytest.MonkeyPatch, seconds: float, rounds: int
) -> None:
    asked: list[int] = []
    encode = Backend.encode_documents

    def counted(backend: Backend, texts: Sequence[str]) -> Vectors:
        asked.append(len(texts))
        return encode(backend, texts)

    use(monkeypatch, {"openvino float32": (EXACT, seconds), "torch float32": (EXACT, seconds), **STOCK})
    monkeypatch.setattr(Backend, "encode_documents", counted)
    monkeypatch.setattr(remembered, "cores", lambda: 3)
    chosen()
    tokens = [len(one) for one in packaged_model().tokenizer().encode_batch(choosing._timed(2 * 3 * 43))]
    assert asked.count(2 * 3 * 43) == 2 * rounds
    assert sum(sorted(tokens)[-43:]) <= openvino.BATCH_TOKENS  # 43 of the longest still are one batch


@pytest.mark.parametrize(
    ("said", "cores"), [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 4), ("6400000 100000", 4), ("", 4)]
)
def test_a_containers_limit_of_processor_time_counts_as_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, cores: int
) -> None:
    monkeypatch.setattr(remembered.os, "sched_getaffinity", lambda _: set(range(4)))
    limits = tmp_path / "cpu.max"
    limits.write_text(said)
    assert remembered.cores(limits) == cores
    assert remembered.cores(tmp_path / "none") == 4


def test_what_was_found_out_with_other_threads_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = use(monkeypatch, {"openvino float32": FAST, "torch float32": SLOW, **STOCK})
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        remembered.machine.cache_clear()
        chosen()
    remembered.machine.cache_clear()
    assert machine.built == ["openvino float32", "torch float32"] * 2


def test_one_that_makes_other_vectors_is_refused_and_the_next_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(monkeypatch, {"openvino float32": (0.1, 0.1), "torch float32": SLOW, **STOCK})
    with caplog.at_level(logging.INFO, "slipway"):
        found = chosen()
    assert found.backend == "torch"
    assert "would change the vector space silently" in found.others["openvino float32"]
    assert "openvino float32 is not taken" in caplog.text
    assert "encoder minilm: torch float32 on cpu, cosine 1.0000000 to the reference" in caplog.text


def test_sentence_transformers_is_left_when_nothing_else_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = use(monkeypatch, STOCK)
    found = chosen()
    assert (found.backend, found.cosine) == ("sentence-transformers", 1.0)
    assert machine.built == ["openvino float32", "torch float32", "sentence-transformers float32"]
    assert "is not installed" in found.others["torch float32"]


def test_narrow_numbers_are_tried_first_where_the_processor_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = {"openvino bfloat16": FAST, "openvino float32": SLOW, "torch float32": SLOW, **STOCK}
    machine = use(monkeypatch, plan, dtypes=["float32", "bfloat16"])
    assert chosen().dtype == "bfloat16"
    assert machine.built == ["openvino bfloat16", "torch float32"]


ROUGH = 0.025  # turns a unit vector to a cosine between 0.999 and 0.9999


def test_narrow_numbers_are_taken_by_themselves_only_where_they_are_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = {"torch float16": (ROUGH, 1.0), "torch bfloat16": (ROUGH, 1.0), "torch float32": SLOW, **STOCK}
    use(monkeypatch, plan, device="cuda")
    assert chosen(Wanted()).dtype == "float32"
    asked_for = chosen(Wanted(dtype="bfloat16"))
    assert (asked_for.dtype, 0.999 < asked_for.cosine < 0.9999) == ("bfloat16", True)


def test_the_choice_is_remembered_and_compared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = use(monkeypatch, {"openvino float32": FAST, "torch float32": SLOW, **STOCK})
    first = chosen()
    machine.built.clear()
    assert (chosen(), machine.built) == (first, ["openvino float32"])
    machine.plan["openvino float32"] = (0.1, 0.1)  # a driver was changed under it
    assert chosen().backend == "torch"


def test_a_remembered_choice_says_the_cosine_of_this_start(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = use(monkeypatch, {"openvino float32": FAST, "torch float32": SLOW, **STOCK})
    assert chosen().cosine == pytest.approx(1, abs=1e-6)
    machine.plan["openvino float32"] = (0.01, 1.0)
    again = chosen()
    assert again.cosine is not None and 0.9999 < again.cosine < 0.99998


def test_a_choice_is_not_remembered_while_something_failed_for_the_moment(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    machine = use(monkeypatch, {"openvino float32": "no space left", "torch float32": SLOW, **STOCK})
    assert chosen().backend == "torch"
    assert not list(cache.glob("_encoders/*/choice-*.json"))
    machine.plan["openvino float32"] = FAST
    assert chosen().backend == "openvino"
    assert len(list(cache.glob("_encoders/*/choice-*.json"))) == 1


def test_what_nobody_used_for_a_month_is_removed_when_a_choice_is_kept(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    use(monkeypatch, {"openvino float32": FAST, **STOCK})
    folder = cache / "_encoders" / packaged_model().fingerprint
    folder.mkdir(parents=True)
    old, recent = folder / "openvino-0123-cafe.bin", folder / "openvino-4567.bin"
    for path in (old, recent, folder / "lock"):
        path.touch()
    for path in (old, folder / "lock"):
        os.utime(path, (0, 0))
    chosen()
    assert (old.exists(), recent.exists(), (folder / "lock").exists()) == (False, True, True)


@pytest.mark.parametrize("place", ["a file", "no home"])
def test_where_nothing_can_be_remembered_the_first_that_is_the_same_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    remembered._warn_once.cache_clear()
    if place == "a file":
        (tmp_path / "file").touch()
        monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "file"))
    else:
        monkeypatch.setattr(remembered, "cache_root", Path("~nobody-of-that-name").expanduser)
    machine = use(monkeypatch, {"openvino float32": SLOW, "torch float32": FAST, **STOCK})
    assert (chosen().backend, machine.built) == ("openvino", ["openvino float32"])
    assert "set SLIPWAY_CACHE to a folder that this user may write to" in caplog.text


def test_a_file_system_without_locks_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cache: Path
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(remembered.fcntl, "flock", refuse)
    use(monkeypatch, {"openvino float32": FAST, **STOCK})
    assert chosen().backend == "openvino"
    assert "cannot be locked (No locks available); going on without" in caplog.text
    assert list(cache.glob("_encoders/*/choice-*.json"))


def test_a_card_shows_by_its_device_where_no_driver_lists_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(remembered, "_DRIVER", str(tmp_path))
    monkeypatch.setattr(remembered, "_DEVICES", ("null",))
    assert remembered.cards() == ["/dev/null", "visible: all"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    candidates._log_device.cache_clear()
    caplog.set_level(logging.INFO, "slipway")
    assert Workbench(packaged_model(), Wanted()).device == "cuda"
    assert Workbench(packaged_model(), Wanted()).device == "cuda"
    assert caplog.text.count("encoders compute on cuda: /dev/null, visible: all") == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Workbench(packaged_model(), Wanted()).device == "cpu"
    assert "encoders compute on cpu: CUDA_VISIBLE_DEVICES is empty" in caplog.text


OTHER = '{"backend": "static", "device": "cpu", "dtype": "float32", "cosine": 1.0}'


@pytest.mark.parametrize("spoiled", ["", "{", "[]", OTHER, '{"backend": "openvino"}', '{"backend": 1, "unknown": 2}'])
def test_what_is_remembered_and_cannot_be_read_is_found_out_anew(
    monkeypatch: pytest.MonkeyPatch, cache: Path, spoiled: str
) -> None:
    use(monkeypatch, {"openvino float32": FAST, **STOCK})
    first = chosen()
    (kept,) = cache.glob("_encoders/*/choice-*.json")
    kept.write_text(spoiled)
    assert chosen() == first
    assert json.loads(kept.read_text())["backend"] == "openvino"


@pytest.mark.parametrize("what", ["versions", "machine"])
def test_other_libraries_and_another_machine_are_found_out_anew(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    machine = use(monkeypatch, {"openvino float32": FAST, "torch float32": SLOW, **STOCK})
    chosen()
    monkeypatch.setattr(remembered, what, lambda: {"another": "one"})
    machine.built.clear()
    chosen()
    assert machine.built == ["openvino float32", "torch float32"]


def test_a_backend_asked_for_is_the_only_one_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = use(monkeypatch, {"openvino float32": FAST, "torch float32": SLOW, **STOCK})
    assert chosen(Wanted(backend="torch")).backend == "torch"
    assert machine.built == ["torch float32"]


def test_bad_input_a_backend_asked_for_that_is_not_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {"torch float32": SLOW, **STOCK})
    with pytest.raises(EncoderError, match="openvino float32: it is not installed"):
        choose(packaged_model(), Wanted(backend="openvino"))
    with pytest.raises(EncoderError, match="static float32: it is not installed"):
        choose(packaged_model(), Wanted(backend="static"))


def test_the_environment_decides_where_the_collection_leaves_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_BACKEND", "torch")
    assert Wanted.of(None, "torch") == Wanted(backend="torch")
    assert Wanted.of(Embed(backend="static", device="cpu", batch_tokens=64), "torch") == Wanted(
        "cpu", "static", "auto", 64
    )
    assert Wanted.of(Embed(), None) == Wanted()
    monkeypatch.setenv("SLIPWAY_BACKEND", "fastest")
    with pytest.raises(EncoderError, match="SLIPWAY_BACKEND is 'fastest'; it may be auto, sentence"):
        load_encoder(minilm())


def test_bad_input_openvino_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    openvino._core.cache_clear()
    with pytest.raises(EncoderError, match="openvino is not installed here"):
        openvino.dtypes.__wrapped__()


@needs_openvino
def test_openvino_makes_what_sentence_transformers_makes(found_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(found_out))
    encoder = load_encoder(minilm(name="converted"), Embed(device="cpu", backend="openvino"))
    assert (encoder.backend, encoder.device, encoder.fingerprint) == ("openvino", "cpu", packaged_model().fingerprint)
    for texts in (TEXTS, TEXTS[:1], ["x" * number for number in range(1, 200)]):
        made, expected = encoder.encode_documents(texts), loaded_minilm().encode_documents(texts)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, expected, atol=2e-6)
    choice = choice_of(encoder)
    assert choice is not None and choice.cosine > 0.99999


@needs_openvino
def test_a_converted_model_that_was_damaged_is_converted_anew(
    found_out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (kept,) = found_out.glob("_encoders/*/openvino-*.xml")
    assert openvino._is_whole(kept)
    copy = tmp_path / kept.name
    for suffix in (".xml", ".bin", ".json"):
        copy.with_suffix(suffix).write_bytes(kept.with_suffix(suffix).read_bytes())
    assert openvino._is_whole(copy)
    weights = bytearray(copy.with_suffix(".bin").read_bytes())
    weights[0] ^= 1
    copy.with_suffix(".bin").write_bytes(weights)
    assert not openvino._is_whole(copy)
    copy.with_suffix(".json").write_text("{")
    assert not openvino._is_whole(copy)
    copy.with_suffix(".json").unlink()
    assert not openvino._is_whole(copy)


PROGRAM = """
import sys
from slipway.config import Encoder
from slipway.encoders import load_encoder
encoder = load_encoder(Encoder.model_validate_json(sys.argv[1]))
print(encoder.backend, encoder.encode_queries(["merge", "join"]).shape)
print(*sorted({name.partition(".")[0] for name, module in sys.modules.items() if module is not None}))
"""
HEAVY = {"torch", "transformers", "sentence_transformers", "openvino_telemetry"}


def alone(encoder: Encoder, cache: Path, backend: str, program: str = PROGRAM) -> tuple[str, set[str]]:
    """What a fresh process says of the encoder, and what it imported. It must end with status 0."""
    environment = os.environ | {"SLIPWAY_CACHE": str(cache), "SLIPWAY_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""}
    told = subprocess.run(
        [sys.executable, "-c", program, encoder.model_dump_json()],
        env=environment | {"PYTHONPATH": str(ROOT / "include")},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = told.stdout.splitlines()
    return first, set(second.split())


@needs_openvino
def test_a_later_process_needs_no_torch_for_a_converted_model(found_out: Path) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SLIPWAY_CACHE", str(found_out))
        environment.setenv("CUDA_VISIBLE_DEVICES", "")
        choose(packaged_model(), Wanted(backend="openvino"))  # any device, as a reader asks
    told, imported = alone(minilm(), found_out, "openvino")
    assert (told, imported & HEAVY) == ("openvino (2, 384)", set())


LIVES = """
import gc, sys, weakref
from slipway.config import Encoder
from slipway.encoders import load_encoder, recycling
encoder = load_encoder(Encoder.model_validate_json(sys.argv[1]))
texts = [f"text {number} " * 9 for number in range(200)]
first = encoder.encode_documents(texts)
dropped = weakref.ref(encoder)
del encoder
recycling.drop_encoders()
print("alive" if dropped() else "dead")
print((load_encoder(Encoder.model_validate_json(sys.argv[1])).encode_documents(texts) == first).all())
"""


@needs_openvino
def test_a_converted_model_is_given_free_and_its_process_ends_in_order(found_out: Path) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SLIPWAY_CACHE", str(found_out))
        environment.setenv("CUDA_VISIBLE_DEVICES", "")
        choose(packaged_model(), Wanted(backend="openvino"))
    assert alone(minilm(), found_out, "openvino", LIVES) == ("dead", {"True"})


def test_a_static_model_needs_no_torch_at_all(tmp_path: Path, cache: Path) -> None:
    encoder = Encoder.model_validate(static_model(tmp_path / "model", 16))
    without = "import sys\nsys.modules.update(torch=None, sentence_transformers=None)"
    told, imported = alone(encoder, cache, "auto", without + PROGRAM)
    assert (told, imported & HEAVY) == ("static (2, 16)", set())


def test_a_static_model_is_compared_where_sentence_transformers_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = find_model(Encoder.model_validate(static_model(tmp_path / "model", 16)))
    monkeypatch.setattr(sentence_transformers, "is_installed", lambda: False)
    with caplog.at_level(logging.INFO, "slipway"):
        choice = choice_of(choose(model, Wanted(backend="static", device="cpu")))
    assert choice is not None and choice.cosine is None
    assert "are not compared, as sentence-transformers is not installed here" in caplog.text
    monkeypatch.undo()
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "another"))
    choice = choice_of(choose(model, Wanted(backend="static", device="cpu")))
    assert choice is not None and choice.cosine is not None and choice.cosine > 0.9999


def test_a_later_process_needs_no_torch_for_a_static_model(tmp_path: Path, cache: Path) -> None:
    encoder = Encoder.model_validate(static_model(tmp_path / "model", 16))
    choose(find_model(encoder), Wanted())
    told, imported = alone(encoder, cache, "auto")
    assert (told, imported & HEAVY) == ("static (2, 16)", set())


def test_the_same_folder_is_not_asked_for_twice_by_two_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {"openvino float32": FAST, "torch float32": SLOW, **STOCK})
    made = load_encoder(minilm(name="twice"), Embed(device="cpu"))
    assert load_encoder(minilm(name="twice"), Embed(device="cpu", shard_tokens=9_999)) is made


def test_a_card_is_used_in_half_precision() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")
    made = choose(packaged_model(), Wanted())
    choice = choice_of(made)
    assert choice is not None and (choice.backend, choice.device.partition(":")[0]) == ("torch", "cuda")
    np.testing.assert_allclose(made.encode_documents(TEXTS), loaded_minilm().encode_documents(TEXTS), atol=1e-3)


class Service(FakeEncoder):
    """A fake of a service: the reference's vectors, or others."""

    backend, turned = "service", 0.0

    def __init__(self, model: Model, secrets: object) -> None:
        super().__init__(model)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        made = super().encode_documents(texts)
        made[:, 0] += self.turned
        return made / np.linalg.norm(made, axis=1, keepdims=True)


def served(monkeypatch: pytest.MonkeyPatch, turned: float, verify: str = "weights", **place: Any) -> TextEncoder:
    monkeypatch.setattr("slipway.encoders.service.ServiceEncoder", type("Turned", (Service,), {"turned": turned}))
    monkeypatch.setattr(Workbench, "reference", property(lambda bench: FakeEncoder(bench._model)))
    service = {"url": f"http://tei-{turned}/v1", "model": "minilm", "verify": verify}
    return load_encoder(minilm(service=service, **place))


def test_a_service_is_compared_where_the_weights_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = choice_of(served(monkeypatch, ROUGH))
    assert choice is not None and 0.999 < choice.cosine < 0.9999
    with pytest.raises(EncoderError, match="service on cpu would change the vector space silently"):
        served(monkeypatch, 0.2)


def test_a_service_verified_by_its_first_use_is_compared_with_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="slipway")
    folder = model_folder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    assert choice_of(served(monkeypatch, 0.3, "first_use", package=None, folder=str(folder))) is None
    assert "when it was first used here (cosine 1.0000000); what they should be is not known" in caplog.text
    caplog.clear()
    served(monkeypatch, 0.3, "first_use")  # the same space, as weights that are here are not looked at
    assert "what they should be is not known" in caplog.text


def test_a_service_without_the_libraries_for_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("slipway.encoders.service", "slipway.encoders.service.encoder", "slipway.encoders.service.client"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(EncoderError, match=r'install httpx, which pip install "slipway\[text\]" brings'):
        load_encoder(minilm(service={"url": "http://tei/v1", "model": "minilm"}))


def test_other_encoders_need_no_httpx() -> None:
    code = "import sys; sys.modules['httpx'] = None; import slipway.encoders.choosing"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_eight_bits_are_computed_by_openvino_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(minilm(precision="int8"), packaged_model().folder)
    machine = use(monkeypatch, {"openvino int8": (0.1, 1.0), "openvino float32": FAST, "torch float32": FAST, **STOCK})
    choice = choice_of(choose(model, ON_CPU))
    assert choice is not None and (choice.dtype, 0.98 < choice.cosine < 0.999) == ("int8", True)
    machine.plan["openvino int8"] = (0.4, 1.0)
    with pytest.raises(EncoderError, match="would change the vector space silently"):
        choose(model, ON_CPU)
    assert set(machine.built) == {"openvino int8"}


@pytest.mark.parametrize("wanted", [Wanted(backend="torch"), Wanted(dtype="bfloat16")])
def test_bad_input_eight_bits_by_another_backend_or_in_other_numbers(wanted: Wanted) -> None:
    model = Model(minilm(precision="int8"), packaged_model().folder)
    with pytest.raises(EncoderError, match="int8 is computed by openvino from float32 numbers only, but"):
        choose(model, wanted)


@needs_openvino
def test_weights_in_eight_bits_make_nearly_the_same_vectors(found_out: Path) -> None:
    (kept,) = found_out.glob("_encoders/*/openvino-*.xml")
    graph = openvino._core().read_model(kept)
    assert with_weights_in_eight_bits(graph) == 36  # six layers of six matrices
    assert with_weights_in_eight_bits(graph) == 0
    compiled = openvino._core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    texts = Texts(packaged_model())
    for text in TEXTS:
        batch = padded(np.array([0]), texts.tokens([text], ""), texts.pad)
        cosine = float(compiled([batch.ids, batch.mask])[0][0] @ loaded_minilm().encode_documents([text])[0])
        assert 0.99 < cosine < 0.999999
