"""fastembed, in an environment and a process of its own, with the same weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.encoding.systems import MAX_TOKENS, MINILM, Absent, System, Vectors
from slipway.encoders import find_model

PINNED = ("fastembed==0.9.1", "onnx==1.23.2")  # onnx is what torch exports with
WORKER = Path(__file__).with_name("fastembed_worker.py")
NAMES = ("input_ids", "attention_mask", "token_type_ids")


@contextmanager
def fastembed(environment: Path, batch: int) -> Iterator[System | Absent]:
    """fastembed with batches of so many texts, on all cores; its process ends with the block.

    `environment` is made where it is not there yet, with the model as ONNX beside it.
    """
    name = f"fastembed, batch {batch}"
    try:
        python = installed(environment)
        model = exported(environment)
    except (OSError, subprocess.CalledProcessError) as error:
        yield Absent(name, f"{PINNED[0]} cannot be installed beside us: {error}")
        return
    command = [str(python), str(WORKER), str(model), str(os.cpu_count() or 1), str(batch)]
    with (
        tempfile.TemporaryDirectory(prefix="slipway-fastembed-") as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            try:
                _answer(process)  # it has loaded
            except (OSError, ValueError) as error:
                yield Absent(name, str(error))
                return
            yield System(name, "float32", _Asking(process, Path(folder)).encode)
        finally:
            assert process.stdin is not None
            process.stdin.close()


class _Asking:
    """Hands texts to the worker and reads its vectors. Its own clock counts, so the way between costs nothing."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder

    def encode(self, texts: Sequence[str]) -> tuple[Vectors, float]:
        assert self._process.stdin is not None
        asked, made = self._folder / "texts.json", self._folder / "vectors.npy"
        asked.write_text(json.dumps(list(texts)), encoding="utf-8")
        self._process.stdin.write(json.dumps({"texts": str(asked), "vectors": str(made)}) + "\n")
        self._process.stdin.flush()
        seconds = _answer(self._process)["seconds"]
        return np.load(made, allow_pickle=False), seconds


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise OSError(f"fastembed's process ended with status {process.wait()}; see above what it said")
    answer: dict[str, Any] = json.loads(line)
    return answer


def installed(environment: Path) -> Path:
    """The Python of an environment that has fastembed. Raises `OSError` and `CalledProcessError`."""
    python = environment / "bin" / "python"
    receipt = environment / "fastembed.txt"
    if not receipt.is_file() or receipt.read_text() != " ".join(PINNED):
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        pip = [str(uv), "pip", "install", "-q", "--python", str(python)]
        install = pip if uv.is_file() else [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*install, *PINNED], check=True)
        receipt.write_text(" ".join(PINNED))
    return python


def exported(environment: Path) -> Path:
    """MiniLM as fastembed reads it: our weights as ONNX with dynamic shapes, our tokenizer, cut at our length.

    As torch traces the module: nothing optimised ahead, which the page says."""
    folder = environment / "minilm-onnx"
    if not (folder / "model.onnx").is_file():
        source, partial, before = find_model(MINILM).folder, folder.with_name(f"{folder.name}.partial"), sys.path[:]
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in ("tokenizer.json", "config.json", "special_tokens_map.json"):
            shutil.copyfile(source / name, partial / name)
        tokenizer = json.loads((source / "tokenizer_config.json").read_bytes())
        (partial / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"model_max_length": MAX_TOKENS}))
        sys.path.extend(str(found) for found in environment.glob("lib*/python*/site-packages"))  # torch wants its onnx
        try:
            _export(source, partial / "model.onnx")
        finally:
            sys.path[:] = before
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    return folder


def _export(source: Path, file: Path) -> None:
    import torch
    from transformers import AutoModel

    class Hidden(torch.nn.Module):
        """The last hidden states, which fastembed pools itself."""

        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(source, attn_implementation="eager").eval()

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            asked = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
            return self.model(**asked).last_hidden_state

    ones = torch.ones(2, 16, dtype=torch.int64)
    axes = {name: {0: "texts", 1: "tokens"} for name in (*NAMES, "last_hidden_state")}
    torch.onnx.export(
        Hidden(),
        (ones, ones.clone(), torch.zeros_like(ones)),
        str(file),
        input_names=list(NAMES),
        output_names=["last_hidden_state"],
        dynamic_axes=axes,
        dynamo=False,
    )
