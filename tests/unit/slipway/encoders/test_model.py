import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from slipway.config import Encoder
from slipway.encoders import Model, eight_bits, find_model
from slipway.encoders.model import TOKENIZER, WEIGHTS
from slipway.errors import EncoderError
from tests.support.encoders import PACKAGE, minilm, model_folder, packaged_model


def small(folder: Path, **changes: Any) -> Encoder:
    values = {"name": "small", "folder": str(folder), "dimension": 8, "max_tokens": 256} | changes
    return Encoder.model_validate(values)


def found(folder: Path, **changes: Any) -> Model:
    return find_model(small(folder, **changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "model")


def test_the_packaged_model_is_found_with_its_published_weights() -> None:
    model = find_model(minilm(weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"))
    assert (model.folder / WEIGHTS).is_file()
    assert len(model.fingerprint) == 16


@pytest.mark.parametrize("name", ["no_such_package", "no_such.package", "numpy.no_such", "os.path", "json", ""])
def test_bad_input_a_missing_package(name: str) -> None:
    with pytest.raises(EncoderError, match="encoder minilm: "):
        find_model(minilm(package=name))


def test_bad_input_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"encoder small: field folder: .*none does not exist"):
        found(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(EncoderError, match="does not exist"):
        found(tmp_path / "file")


@pytest.mark.parametrize("hub", ["no-such-owner/no-such-model", "not a name", "a/b/c"])
def test_bad_input_a_hub_model_that_is_not_here_and_cannot_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: str
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # HF_HUB_OFFLINE=1, which is read at import
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderError, match=f"encoder minilm: field hub: {hub!r} could not be downloaded .*; check the"):
        find_model(minilm(package=None, hub=hub))


def test_a_hub_model_that_is_here_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    import huggingface_hub

    asked: list[tuple[str, str | None]] = []

    def snapshot_download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        assert not any(pattern.endswith((".bin", "*")) for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    hub = Encoder(name="h", hub="owner/model", revision="abc", dimension=8, max_tokens=256)
    assert find_model(hub).fingerprint == found(folder).fingerprint
    assert asked == [("owner/model", "abc")]


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER])
def test_bad_input_an_incomplete_model(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(EncoderError, match=f"has no {name}; expected a sentence-transformers folder"):
        found(folder)


def test_bad_input_weights_of_another_sum(folder: Path) -> None:
    right = hashlib.sha256(b"weights").hexdigest()
    assert found(folder, weights_sha256=right).folder == folder
    with pytest.raises(EncoderError, match=f"has SHA-256 {right}, weights_sha256 says {'0' * 64}; install the model"):
        found(folder, weights_sha256="0" * 64)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "pytorch_model-00001-of-00002.bin"])
def test_bad_input_pickled_weights_alone_are_refused(folder: Path, name: str) -> None:
    (folder / WEIGHTS).rename(folder / name)
    with pytest.raises(EncoderError, match="pickled weights are not loaded"):
        found(folder)


def test_bad_input_pickled_weights_of_one_module_are_refused(folder: Path) -> None:
    (folder / "2_Dense").mkdir()
    pickled = folder / "2_Dense/pytorch_model.bin"
    pickled.touch()
    with pytest.raises(EncoderError, match=r"2_Dense/pytorch_model.bin has no safetensors weights beside it"):
        found(folder)
    (folder / "2_Dense" / WEIGHTS).touch()
    assert found(folder)
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"model/pytorch_model.bin has no safetensors weights beside it"):
        found(folder)


def test_bad_input_more_tokens_than_the_model_has_positions_for(folder: Path) -> None:
    with pytest.raises(EncoderError, match=r"field max_tokens: got 513, but the model in .* for 512 tokens only"):
        found(folder, max_tokens=513)
    assert found(folder, max_tokens=512)
    for config in ("{", "[]", "{}"):
        (folder / "config.json").write_text(config)
        assert found(folder, max_tokens=513)


def test_bad_input_a_tokenizer_that_is_none(folder: Path) -> None:
    (folder / TOKENIZER).unlink()
    (folder / TOKENIZER).write_text("{}")
    with pytest.raises(EncoderError, match=r"encoder small: .*tokenizer.json is not a tokenizer"):
        found(folder).tokenizer()


def test_without_the_library_a_tokenizer_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(EncoderError, match=r'install tokenizers, which pip install "slipway\[text\]" brings'):
        found(folder).tokenizer()


def test_name_and_place_do_not_make_another_space(folder: Path, tmp_path: Path) -> None:
    other = model_folder(tmp_path / "elsewhere")
    assert found(other, name="other").fingerprint == found(folder).fingerprint
    packaged = packaged_model()
    by_folder = minilm(package=None, folder=str(packaged.folder), name="other")
    assert find_model(by_folder).fingerprint == packaged.fingerprint


@pytest.mark.parametrize(
    "changes", [{"prompts": {"query": "q: "}}, {"prompts": {"document": "q: "}}, {"max_tokens": 255}, {"dimension": 9}]
)
def test_prompts_length_and_dimension_make_another_space(folder: Path, changes: dict[str, Any]) -> None:
    assert found(folder, **changes).fingerprint != found(folder).fingerprint


@pytest.mark.parametrize(
    "file",
    [
        WEIGHTS,
        "config.json",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer_config.json",
        "vocab.txt",
        "1_Pooling/config.json",
        f"2_Dense/{WEIGHTS}",
        f"0_StaticEmbedding/{TOKENIZER}",
        "model-00001-of-00002.safetensors",
    ],
)
def test_every_file_that_decides_the_vectors_makes_another_space(folder: Path, file: str) -> None:
    before = found(folder).fingerprint
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps({"changed": True}))
    assert found(folder).fingerprint != before


@pytest.mark.parametrize("file", ["README.md", "onnx/model.onnx", ".gitattributes", "data_config.json"])
def test_other_files_do_not(folder: Path, file: str) -> None:
    before = found(folder).fingerprint
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text("changed")
    assert found(folder).fingerprint == before


def test_a_model_whose_files_lie_in_its_module(folder: Path) -> None:
    module = folder / "0_StaticEmbedding"
    module.mkdir()
    for name in (WEIGHTS, TOKENIZER):
        (folder / name).rename(module / name)
    model = found(folder, weights_sha256=hashlib.sha256(b"weights").hexdigest())
    assert len(model.tokenizer().encode("two words", add_special_tokens=False)) == 2
    assert model.tokenizer_fingerprint == packaged_model().tokenizer_fingerprint


def test_the_tokenizer_neither_cuts_nor_pads() -> None:
    tokenizer = packaged_model().tokenizer()
    lengths = [len(one) for one in tokenizer.encode_batch(["word " * 2_000, "word"])]
    assert lengths == [2_002, 3]


def test_no_two_models_of_one_package_name_are_mixed() -> None:
    assert packaged_model().folder.parent.name == PACKAGE


def test_vector_spaces_that_exist_keep_their_names() -> None:
    """A new setting of encoders must not make a store's vectors those of another space."""
    assert packaged_model().fingerprint == "0100be1f14974ba7"
    described = minilm().model_dump(mode="json")
    assert "precision" not in described and "service" not in described
    assert Encoder.model_validate(described) == minilm()


def test_eight_bits_are_a_space_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(folder, precision="int8").fingerprint != found(folder).fingerprint
    before = found(folder, precision="int8").fingerprint
    monkeypatch.setattr(eight_bits, "VERSION", eight_bits.VERSION + 1)
    assert found(folder, precision="int8").fingerprint != before
    assert small(folder, precision="int8").model_dump()["precision"] == "int8"


def served(folder: Path, **changes: Any) -> Model:
    return found(folder, service={"url": "http://tei:8080/v1", "model": "minilm"} | changes)


def test_a_service_shares_the_space_of_the_weights_that_are_here(folder: Path) -> None:
    assert served(folder).fingerprint == found(folder).fingerprint
    assert served(folder, url="http://other/v1", model="other").fingerprint == found(folder).fingerprint


def test_bad_input_a_service_without_the_weights_that_verify_it(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(EncoderError, match=f"has no {WEIGHTS}; .* put them there, or, .* service.verify: first_use"):
        served(folder)


def test_a_service_verified_by_its_first_use_needs_the_tokenizer_only(folder: Path) -> None:
    made = served(folder, verify="first_use")
    assert made.fingerprint != found(folder).fingerprint
    for name in (WEIGHTS, "config.json"):  # whatever lies there
        (folder / name).unlink()
        assert served(folder, verify="first_use").fingerprint == made.fingerprint
    (folder / "pytorch_model.bin").touch()
    assert served(folder, verify="first_use", url="http://other/v1").fingerprint == made.fingerprint
    assert served(folder, verify="first_use", model="other").fingerprint != made.fingerprint
    (folder / TOKENIZER).unlink()
    with pytest.raises(EncoderError, match=f"has no {TOKENIZER}"):
        served(folder, verify="first_use")


def test_weights_that_are_never_looked_at_are_not_downloaded(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    import huggingface_hub

    asked: list[str] = []

    def snapshot_download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.extend(allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    service: Any = {"url": "http://tei:8080/v1", "model": "m", "verify": "first_use"}
    hub: dict[str, Any] = {"name": "h", "hub": "owner/model", "dimension": 8, "max_tokens": 256}
    find_model(Encoder(**hub, service=service))
    assert asked == ["*.json", "*.txt", "*.model"]
    find_model(Encoder(**hub, service=service | {"verify": "weights"}))
    assert "*.safetensors" in asked


def test_bad_input_a_sum_of_weights_that_are_never_looked_at(folder: Path) -> None:
    with pytest.raises(ValueError, match="first_use never looks at"):
        small(folder, weights_sha256="0" * 64, service={"url": "http://tei/v1", "model": "m", "verify": "first_use"})


def test_bad_input_eight_bits_of_a_service(folder: Path) -> None:
    with pytest.raises(ValueError, match="a service has its own"):
        small(folder, precision="int8", service={"url": "http://tei/v1", "model": "m"})
