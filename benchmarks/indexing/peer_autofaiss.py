"""autofaiss, in an environment of its own, since it needs older NumPy and FAISS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.indexing.corpus import Vectors
from benchmarks.indexing.systems import Rows

PYTHON = "python3.11"
WORKER = Path(__file__).with_name("autofaiss_worker.py")
INSTALLED = ("autofaiss", "faiss-cpu<1.8", "numpy<2", "pyarrow<18")  # what it names of newer FAISS is no more
LIMIT_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class Peer:
    """Seconds of tuning and building, recall@10 at what it tuned, and the index's size; or why it did not run."""

    seconds: float | None = None
    recall: float | None = None
    bytes: int = 0
    index: str = ""
    failed: str = ""


def environment(folder: Path) -> Path:
    """The Python of an environment with autofaiss, made where it is not there. Raises CalledProcessError."""
    python = folder / "bin/python"
    if not (folder / ".installed").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        for command in (
            [PYTHON, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "-q", *INSTALLED],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_SECONDS)
        (folder / ".installed").touch()
    return python


def run(
    folder: Path, work: Path, vectors: Vectors, queries: Vectors, truth: Rows, memory_bytes: int, cores: int
) -> Peer:
    """autofaiss with that memory and so many threads, asked these queries; what it says when it cannot be run."""
    for name, array in (("vectors", vectors), ("queries", queries), ("truth", truth)):
        (work / name).mkdir(parents=True, exist_ok=True)
        np.save(work / name / "part.npy", array)
    try:
        python = environment(folder)
        ended = subprocess.run(
            [str(python), str(WORKER), str(work), str(memory_bytes), str(cores)],
            env={**os.environ, "OMP_NUM_THREADS": str(cores)},
            capture_output=True, text=True, check=True, timeout=LIMIT_SECONDS,
        )  # fmt: skip
    except FileNotFoundError as error:
        return Peer(failed=f"{error.filename} is not there")
    except subprocess.TimeoutExpired:
        return Peer(failed=f"it took more than {LIMIT_SECONDS / 60:.0f} minutes")
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "").strip().splitlines()[-1:]
        return Peer(failed=f"{' '.join(error.cmd[1:3])} … ended with {error.returncode}: {' '.join(last)[-300:]}")
    return Peer(**json.loads(ended.stdout.strip().splitlines()[-1]))
