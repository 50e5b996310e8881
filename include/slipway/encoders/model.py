"""Finding a model's files on this machine and naming the vector space that they make."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.config.encoder import Encoder
from slipway.errors import EncoderError
from slipway.manifest import fingerprint, sha256_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
# What decides the vectors: weights, architecture, pooling and further modules, tokenizer. Not: read-mes, other formats.
_DEFINING = (
    WEIGHTS,
    TOKENIZER,
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "*/config.json",
    f"*/{WEIGHTS}",
)


@dataclass(frozen=True)
class Model:
    """The files of an encoder's model, complete and checked."""

    encoder: Encoder
    folder: Path

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that name the vector space: the model's files, prompts, length and dimension.

        Where the model came from and what it is called do not count, so the same model by package, folder or hub
        shares its vectors.
        """
        files = sorted({path for pattern in _DEFINING for path in self.folder.glob(pattern)})
        sums = [[path.relative_to(self.folder).as_posix(), sha256_of(path)] for path in files]
        prompts = self.encoder.prompts.model_dump()
        return fingerprint("encoder", sums, prompts, self.encoder.max_tokens, self.encoder.dimension)

    @cached_property
    def tokenizer_fingerprint(self) -> str:
        """16 hex digits that name the tokenizer."""
        return hashlib.sha256((self.folder / TOKENIZER).read_bytes()).hexdigest()[:16]

    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, without truncation or padding. Needs neither torch nor transformers."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer


def find_model(encoder: Encoder) -> Model:
    """The encoder's model on this machine, downloaded from the hub if that is where it is.

    Raises `EncoderError` when it is not there, incomplete, or its weights are not the ones configured.
    """
    folder = _folder(encoder)
    for name in (WEIGHTS, TOKENIZER):
        if not (folder / name).is_file() and not any(folder.glob(f"*/{name}")):
            raise EncoderError(
                f"encoder {encoder.name}: {folder} has no {name}; expected a sentence-transformers folder with "
                f"safetensors weights and a fast tokenizer (pickled weights are not loaded)"
            )
    if encoder.weights_sha256 is not None:
        actual = sha256_of(folder / WEIGHTS)
        if actual != encoder.weights_sha256:
            raise EncoderError(
                f"encoder {encoder.name}: {folder / WEIGHTS} has SHA-256 {actual}, weights_sha256 says "
                f"{encoder.weights_sha256}; install the model again, or correct the encoder file"
            )
    return Model(encoder, folder)


def _folder(encoder: Encoder) -> Path:
    if encoder.folder is not None:
        folder = Path(encoder.folder)
        if not folder.is_dir():
            raise EncoderError(f"encoder {encoder.name}: field folder: {folder} does not exist")
        return folder
    if encoder.package is not None:
        found = importlib.util.find_spec(encoder.package)
        if found is None or not found.submodule_search_locations:
            raise EncoderError(f"encoder {encoder.name}: field package: {encoder.package!r} is not installed")
        return Path(found.submodule_search_locations[0]) / "model"
    return _download(encoder)


def _download(encoder: Encoder) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    assert encoder.hub is not None
    try:
        patterns = ["*.json", "*.safetensors", "*.txt", "*.model"]
        return Path(snapshot_download(encoder.hub, revision=encoder.revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise EncoderError(
            f"encoder {encoder.name}: field hub: {encoder.hub!r} could not be downloaded ({type(error).__name__}); "
            f"check the name, the revision and the network, or use a packaged model or a local folder"
        ) from error
