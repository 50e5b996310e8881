"""The machine and the libraries that something was measured with, in words."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

TELLING = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "sve")
ENCODING = ("torch", "sentence-transformers", "transformers", "openvino", "tokenizers")
AIRFLOW = ("apache-airflow",)
INDEXING = ("faiss-cpu", "hnswlib", "usearch", "numpy")


def machine() -> str:
    """Processor, cores, instruction sets and memory: "AMD EPYC, 2 cores (avx2), 23 GiB"."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.is_file() else []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    sets = ", ".join(name for name in TELLING if name in flags) or "instruction sets not known"
    name = facts.get("model name") or platform.processor() or platform.machine()
    memory = psutil.virtual_memory().total / 2**30
    return f"{name}, {os.cpu_count()} logical cores ({sets}), {memory:.0f} GiB, Python {platform.python_version()}"


def libraries(*names: str) -> str:
    """The versions of what is installed of these: "torch 2.13.0, …"."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def command(script: str, given: Sequence[str]) -> str:
    """How a benchmark was called, for its page: without options that name folders of this machine alone."""
    kept: list[str] = []
    for word in given:
        option, _, value = word.partition("=")
        if option.startswith("--") and Path(value).is_absolute():
            continue
        if Path(word).is_absolute():
            if kept and kept[-1].startswith("--"):
                kept.pop()
        else:
            kept.append(word)
    return " ".join(["python", script, *kept])
