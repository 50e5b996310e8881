"""The torch engine: the modules that sentence-transformers loaded, in batches of our own, on a processor or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from slipway.encoders.base import Unsuitable
from slipway.encoders.batches import Batch
from slipway.encoders.model import Model
from slipway.encoders.sentence_transformers import open_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from slipway.encoders.base import Vectors

# A processor's caches want small batches; a card wants enough work that starting its kernels does not show.
BATCH_TOKENS, BATCH_TOKENS_OF_A_CARD = 2_048, 32_768


class TorchEngine:
    """All modules of a model: transformer (with torch's scaled dot-product attention), pooling, and what follows.

    `loaded` is used where it is given. Raises `EncoderError` when the model cannot be loaded, or is static.
    """

    backend = "torch"

    def __init__(
        self, model: Model, device: str, dtype: str = "float32", loaded: SentenceTransformer | None = None
    ) -> None:
        if model.is_static:
            raise Unsuitable(f"encoder {model.encoder.name}: a static model has no layers to compute")
        self._model = loaded or open_model(model, device, dtype)
        self.device, self.dtype = str(self._model.device), dtype
        self.batch_tokens = BATCH_TOKENS if self.device == "cpu" else BATCH_TOKENS_OF_A_CARD

    def run(self, batches: Sequence[Batch], put: Callable[[Batch, Vectors], None]) -> None:
        """See slipway.encoders.base.Engine. A card is given all batches before the first result is waited for."""
        import torch

        made: list[tuple[Batch, Any]] = []
        try:
            with torch.inference_mode():
                for batch in batches:
                    made.append((batch, self._forward(batch)))
                    if self.device == "cpu":
                        put(batch, made.pop()[1].numpy())
        except RuntimeError:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # or what is cached stays in the way of smaller batches
            raise
        finally:
            for batch, vectors in made:
                put(batch, vectors.cpu().numpy())

    def _forward(self, batch: Batch) -> Any:
        """(texts, dimension) float32 of unit norm, on the device."""
        import torch

        ids, mask = (
            torch.from_numpy(array).to(self._model.device, non_blocking=True) for array in (batch.ids, batch.mask)
        )
        vectors = self._model({"input_ids": ids, "attention_mask": mask})["sentence_embedding"]
        return torch.nn.functional.normalize(vectors.float(), dim=1)
