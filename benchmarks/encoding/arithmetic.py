"""What encoding costs in floating-point operations, and how many of them the machine can do."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIZE = 1_536  # of the square matrices on a CPU: some 70 ms on two cores
SIZE_ON_GPU = 8_192


def flops(lengths: Sequence[int], folder: Path) -> float:
    """Operations of a BERT on texts of these tokens, padding not counted; a multiplication and an addition are two.

    By layer, with width d and inner width f: 8 d² for the four projections of attention and 4 d f for the two of the
    feed-forward net, for each token; 4 n² d for scores and weighted sums of a text of n tokens. Embeddings, norms and
    activations are left out: under 1 %.
    """
    config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    width, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    each = 8 * width**2 + 4 * width * inner
    return float(layers * sum(each * length + 4 * width * length**2 for length in lengths))


def peak(device: str = "cpu", dtype: str = "float32") -> float:
    """Operations per second of a large matrix product, by torch, the faster of two."""
    import torch

    size = SIZE if device == "cpu" else SIZE_ON_GPU
    left = torch.randn(size, size, device=device).to(getattr(torch, dtype))
    best = float("inf")
    for _ in range(3):  # the first warms up
        began = time.perf_counter()
        left @ left
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
