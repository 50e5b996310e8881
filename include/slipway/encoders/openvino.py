"""The OpenVINO engine: the whole model, pooling and normalisation included, as one graph for the processor.

It is converted from the module that sentence-transformers loaded, once a machine: later processes read the converted
model from the cache folder and import neither torch nor transformers.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from slipway.encoders import remembered
from slipway.encoders.base import Unsuitable
from slipway.encoders.batched import is_out_of_memory
from slipway.encoders.batches import Batch
from slipway.encoders.eight_bits import with_weights_in_eight_bits
from slipway.encoders.model import Model
from slipway.errors import EncoderError
from slipway.manifest import sha256_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from slipway.encoders.base import Vectors

logger = logging.getLogger("slipway")

BATCH_TOKENS = 2_048  # measured: larger batches leave the processor's caches, smaller ones pay for their beginning
CONVERSION = 1  # the version of how a model is converted and computed here: another one finds out all anew
_SUFFIXES = (".xml", ".bin")  # the graph, and its weights
EIGHT_BITS = "int8"
_HINTS = {EIGHT_BITS: "f32", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_CAPABILITIES = {"float32": "FP32", "bfloat16": "BF16", "float16": "FP16"}


class OpenVinoEngine:
    """A converted model on the processor. `load` gives what sentence-transformers loaded, where it must be converted.

    `dtype` is "float32", "bfloat16" or "float16", or "int8" for a model of that precision. Raises `EncoderError` when
    OpenVINO is not installed, the model cannot be converted, or the processor does not compute in `dtype`.
    """

    backend, device, batch_tokens = "openvino", "cpu", BATCH_TOKENS

    def __init__(self, model: Model, dtype: str, load: Callable[[], SentenceTransformer]) -> None:
        self.dtype = dtype
        if model.is_static:
            raise Unsuitable(f"encoder {model.encoder.name}: a static model has no layers to compute")
        if dtype not in (*dtypes(), EIGHT_BITS):
            raise Unsuitable(
                f"encoder {model.encoder.name}: OpenVINO has no {dtype} on this processor; it has {', '.join(dtypes())}"
            )
        hints = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": _HINTS[dtype],
            # or processors that multiply bytes would round what flows through the layers, too, and others would not
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        }
        try:
            self._compiled = _core().compile_model(_converted(model, load), "CPU", hints)
        except RuntimeError as error:
            raise EncoderError(f"encoder {model.encoder.name}: OpenVINO cannot compile it: {error}") from error
        self._requests: SimpleQueue[Any] = SimpleQueue()
        # one more than it computes side by side, so that it has work while the oldest one's vectors are handed over
        self._at_once = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) + 1

    def run(self, batches: Sequence[Batch], put: Callable[[Batch, Vectors], None]) -> None:
        """See slipway.encoders.base.Engine. Several batches are computed side by side, and handed over in order.

        OpenVINO calls nothing of ours back: what it keeps for that it never gives free, and its threads would want the
        interpreter when that has ended.
        """
        waiting: deque[tuple[Batch, Any]] = deque()
        for batch in batches:
            if len(waiting) == self._at_once:
                self._hand_over(*waiting.popleft(), put)
            request = self._request()
            request.start_async([batch.ids, batch.mask])
            waiting.append((batch, request))
        while waiting:
            self._hand_over(*waiting.popleft(), put)

    def _request(self) -> Any:
        try:
            return self._requests.get_nowait()
        except Empty:
            return self._compiled.create_infer_request()

    def _hand_over(self, batch: Batch, request: Any, put: Callable[[Batch, Vectors], None]) -> None:
        """Wait for a request's vectors. One that fails is not used again, nor are those that wait behind it."""
        request.wait()
        made = request.get_output_tensor(0).data.copy()
        self._requests.put(request)
        put(batch, made)


def is_installed() -> bool:
    """Whether OpenVINO can be imported."""
    return importlib.util.find_spec("openvino") is not None


@lru_cache(maxsize=1)
def dtypes() -> list[str]:
    """What this processor computes fast, by OpenVINO's word. Raises `EncoderError` where that is not installed."""
    told = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [dtype for dtype, capability in _CAPABILITIES.items() if capability in told]


@lru_cache(maxsize=1)
def _core() -> Any:
    """OpenVINO's entrance. Importing it would report the use of it to its makers: that part is kept from loading."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # so that importing it fails
    try:
        import openvino
    except ImportError as error:
        raise Unsuitable(
            f"openvino is not installed here ({error}); install it as requirements.txt pins it, or take another backend"
        ) from error
    return openvino.Core()


def _converted(model: Model, load: Callable[[], SentenceTransformer]) -> Any:
    """The model as OpenVINO reads it: what is kept, if it is whole, else converted now and kept."""
    key = remembered.key("openvino", CONVERSION, remembered.versions())
    path = remembered.place(model.fingerprint, f"openvino-{key}.xml")
    if _is_whole(path):
        remembered.used(path, *(path.with_suffix(suffix) for suffix in (".bin", ".json")))
        return _core().read_model(path)
    made = _convert(model, load())
    _keep(made, path)
    return made


def _convert(model: Model, loaded: SentenceTransformer) -> Any:
    import openvino
    import torch

    class Whole(torch.nn.Module):
        """Token ids and mask, (texts, length) int64 → (texts, dimension) float32 of unit norm."""

        def __init__(self) -> None:
            super().__init__()
            self.model = loaded

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            made = self.model({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]
            return torch.nn.functional.normalize(made, dim=1)

    example = torch.ones((2, 16), dtype=torch.int64)
    mask = example.clone()
    mask[1, 8:] = 0  # or a trace could leave out what only padding needs
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing: what it warns of shows in the comparison on the probes
            made = openvino.convert_model(Whole().eval(), example_input={"input_ids": example, "attention_mask": mask})
    except Exception as error:  # tracing and conversion raise what they like
        of_the_moment = isinstance(error, OSError) or is_out_of_memory(error)
        refused = (EncoderError if of_the_moment else Unsuitable)(
            f"encoder {model.encoder.name}: OpenVINO cannot convert it: {error}"
        )
        raise refused from error
    made.reshape({one: [-1, -1] for one in made.inputs})
    if model.encoder.precision == EIGHT_BITS:
        with_weights_in_eight_bits(made)
    return made


def _keep(made: Any, path: Path) -> None:
    """Write the graph and its weights, and their checksums last: without them they do not count."""
    import openvino

    unfinished = path.with_name(f"{path.stem}-{uuid4().hex}.xml")
    try:
        openvino.save_model(made, unfinished, compress_to_fp16=False)
        for suffix in _SUFFIXES:
            unfinished.with_suffix(suffix).replace(path.with_suffix(suffix))
        body = json.dumps(_sums(path)).encode()
    except (OSError, RuntimeError) as error:
        logger.warning("%s cannot be kept (%s); the next process will convert the model again", path, error)
        for suffix in _SUFFIXES:
            with suppress(OSError):  # there may be no such folder
                unfinished.with_suffix(suffix).unlink(missing_ok=True)
        return
    remembered.keep(path.with_suffix(".json"), lambda file: file.write(body))


def _is_whole(path: Path) -> bool:
    """Whether the graph and its weights are what was written."""
    try:
        expected = json.loads(path.with_suffix(".json").read_bytes())
        return bool(expected == _sums(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        logger.warning("%s cannot be read (%s); the model is converted anew", path, error)
        return False


def _sums(path: Path) -> dict[str, str]:
    return {suffix: sha256_of(path.with_suffix(suffix)) for suffix in _SUFFIXES}
