"""Finding a model's files on this machine and naming the vector space that they make."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.config.encoder import Encoder
from slipway.encoders import eight_bits
from slipway.errors import EncoderError
from slipway.manifest import fingerprint, sha256_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
# What decides the vectors: weights, architecture, pooling and further modules, and all that a tokenizer is made of (its
# configuration turns lower-casing on and off). Not: read-mes, other formats, records of how the model was trained.
_DEFINING = (
    "*.safetensors",
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "config.json",
)
_OF_THE_WHOLE = ("modules.json", "sentence_bert_config.json")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.pkl")


@dataclass(frozen=True)
class Model:
    """The files of an encoder's model, complete and checked."""

    encoder: Encoder
    folder: Path

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that name the vector space: the model's files, prompts, length and dimension.

        Where the model came from and what it is called do not count, so the same model by package, folder or hub
        shares its vectors, and so does a service that is verified by the model's weights. For one that is verified by
        its first use, the tokenizer and the name that the service has for its model stand for the files, whatever else
        lies beside the tokenizer.
        """
        described = [self.encoder.prompts.model_dump(), self.encoder.max_tokens, self.encoder.dimension]
        if self.encoder.service is not None and self.encoder.is_first_use:
            return fingerprint(
                "served-encoder", sha256_of(self.file(TOKENIZER)), *described, self.encoder.service.model
            )
        patterns = [*_DEFINING, *(f"*/{pattern}" for pattern in _DEFINING), *_OF_THE_WHOLE]
        files = sorted({path for pattern in patterns for path in self.folder.glob(pattern)})
        sums = [[path.relative_to(self.folder).as_posix(), sha256_of(path)] for path in files]
        if self.encoder.precision != "full":
            described += [self.encoder.precision, eight_bits.VERSION]
        return fingerprint("encoder", sums, *described)

    def file(self, name: str) -> Path:
        """The file of that name: the model's own, or its first module's."""
        return _placed(self.folder, name)

    @cached_property
    def is_static(self) -> bool:
        """Whether a vector is the mean of token embeddings, and nothing but its length is changed after."""
        try:
            modules = json.loads((self.folder / "modules.json").read_bytes())
            kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # what it is shows when it is loaded
            return False
        return kinds in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"])

    @cached_property
    def tokenizer_fingerprint(self) -> str:
        """16 hex digits that name the tokenizer."""
        return sha256_of(self.file(TOKENIZER))[:16]

    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, without truncation or padding. Needs neither torch nor transformers."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise EncoderError(
                f"encoder {self.encoder.name}: texts cannot be tokenised here ({error}); install tokenizers, which "
                f'pip install "slipway[text]" brings, or search by vector'
            ) from error

        file = self.file(TOKENIZER)
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers has no exception of its own
            raise EncoderError(f"encoder {self.encoder.name}: {file} is not a tokenizer: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer


def find_model(encoder: Encoder) -> Model:
    """The encoder's model on this machine, downloaded from the hub if that is where it is.

    Of a model whose service is verified by its first use, the tokenizer is enough.

    Raises `EncoderError` when it is not there, incomplete, or its weights are not the ones configured.
    """
    folder = _folder(encoder)
    needed = (TOKENIZER,) if encoder.is_first_use else (WEIGHTS, TOKENIZER)
    for name in needed:
        if not _placed(folder, name).is_file():
            raise EncoderError(f"encoder {encoder.name}: {folder} has no {name}; {_missing(encoder, name)}")
    _check_length(encoder, folder)
    if encoder.is_first_use:
        return Model(encoder, folder)
    _check_not_pickled(encoder, folder)
    if encoder.weights_sha256 is not None:
        weights = _placed(folder, WEIGHTS)
        actual = sha256_of(weights)
        if actual != encoder.weights_sha256:
            raise EncoderError(
                f"encoder {encoder.name}: {weights} has SHA-256 {actual}, weights_sha256 says "
                f"{encoder.weights_sha256}; install the model again, or correct the encoder file"
            )
    return Model(encoder, folder)


def _missing(encoder: Encoder, name: str) -> str:
    if encoder.service is not None and name == WEIGHTS:
        return (
            "its service is compared with the model's weights: put them there, or, where they are not at hand, set "
            "service.verify: first_use in the encoder's file"
        )
    return (
        "expected a sentence-transformers folder with safetensors weights and a fast tokenizer (pickled weights are "
        "not loaded)"
    )


def _placed(folder: Path, name: str) -> Path:
    """The file of that name in the model's folder, or in the first of its modules' that has one."""
    root = folder / name
    return root if root.is_file() else min(folder.glob(f"*/{name}"), default=root)


def _check_not_pickled(encoder: Encoder, folder: Path) -> None:
    """A module without safetensors would be unpickled by the library that loads it."""
    for pattern in _PICKLED:
        for pickled in sorted([*folder.glob(pattern), *folder.glob(f"[0-9]*_*/{pattern}")]):
            if not any(pickled.parent.glob("*.safetensors")):
                raise EncoderError(
                    f"encoder {encoder.name}: {pickled} has no safetensors weights beside it, and pickled weights are "
                    f"not loaded; save the model again with safetensors"
                )


def _check_length(encoder: Encoder, folder: Path) -> None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
        most = config.get("max_position_embeddings")
    except (FileNotFoundError, ValueError, AttributeError):  # not a transformer, or one that cannot be loaded anyway
        return
    if isinstance(most, int) and encoder.max_tokens > most:
        raise EncoderError(
            f"encoder {encoder.name}: field max_tokens: got {encoder.max_tokens}, but the model in {folder} has "
            f"positions for {most} tokens only"
        )


def _folder(encoder: Encoder) -> Path:
    if encoder.folder is not None:
        folder = Path(encoder.folder)
        if not folder.is_dir():
            raise EncoderError(f"encoder {encoder.name}: field folder: {folder} does not exist")
        return folder
    if encoder.package is not None:
        try:
            found = importlib.util.find_spec(encoder.package)
        except (ImportError, ValueError):  # of a dotted name whose beginning is not there; of an empty one
            found = None
        if found is None or not found.submodule_search_locations:
            raise EncoderError(f"encoder {encoder.name}: field package: {encoder.package!r} is not installed")
        return Path(found.submodule_search_locations[0]) / "model"
    return _download(encoder)


def _download(encoder: Encoder) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    assert encoder.hub is not None
    try:
        weights = [] if encoder.is_first_use else ["*.safetensors"]
        patterns = ["*.json", *weights, "*.txt", "*.model"]
        return Path(snapshot_download(encoder.hub, revision=encoder.revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise EncoderError(
            f"encoder {encoder.name}: field hub: {encoder.hub!r} could not be downloaded ({type(error).__name__}); "
            f"check the name, the revision and the network, or use a packaged model or a local folder"
        ) from error
