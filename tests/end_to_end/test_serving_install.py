"""`pip install slipway[serving]` into a fresh environment is all that a reader needs, on a folder and on S3.

Installs from a package index, with the versions of requirements.txt.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slipway.storage import LocalStore, ObjectStore
from slipway.storage.s3 import S3Store
from tests.support.releases import a_run, again, publish
from tests.support.s3_process import s3_process
from tests.support.s3_server import make_test_client

__all__ = ["s3_process"]

PROJECT = Path(__file__).resolve().parents[2]
ABSENT = ("airflow", "torch", "pandas", "duckdb", "sentence_transformers", "transformers", "sqlalchemy", "deltalake")
SEEDS = (1, 2)

PROGRAM = """
import importlib.util, json, sys
import numpy as np
import slipway.serving

url, cache = sys.argv[1:]
query = np.eye(1, 16, dtype=np.float32)[0]

def found(reader):
    hits = reader.search(query, 3, where={"number": {"gte": 10, "lt": 20}})
    return [(hit.document_id, hit.metadata["number"], hit.title) for hit in hits]

with slipway.serving.open(url, cache=cache) as reader:
    before = found(reader)
    print("opened", flush=True)
    sys.stdin.readline()  # the next release goes live meanwhile
    changed = reader.refresh()
    after, nothing = found(reader), reader.search(query, 3, where={"number": -1})
print(json.dumps({
    "before": before, "changed": changed, "after": after, "nothing": nothing, "package": slipway.__file__,
    "imported": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which nothing is installed but slipway[serving] and what that needs."""
    folder = tmp_path_factory.mktemp("serving")
    source = folder / "checkout"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(PROJECT / name, source)
    leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(PROJECT / "include", source / "include", ignore=leave_out)
    run([sys.executable, "-m", "venv", str(folder / "venv")])
    made = folder / "venv/bin/python"
    install(made, f"{source}[serving]", source / "requirements.txt")
    return made


def install(python: Path, what: str, versions: Path) -> None:
    """As the Makefile does: with uv, and where that finds no index, with pip and its configuration."""
    by_uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "-q", "--python", str(python)]
    by_pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    named = ["--constraint", str(versions), what]
    try:
        run([*by_uv, *named])
    except (subprocess.CalledProcessError, FileNotFoundError):
        run([*by_pip, *named])


def run(command: list[str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def test_nothing_heavy_is_installed(python: Path) -> None:
    program = f"import importlib.util; print(*[n for n in {ABSENT} if importlib.util.find_spec(n)])"
    assert run([str(python), "-c", program]).split() == []
    listed = json.loads(run([str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]))
    names = {one["name"].lower() for one in listed}
    assert {"slipway", "faiss-cpu", "numpy", "pyarrow", "boto3"} <= names
    assert len(names) < 30, names


def test_a_release_in_a_folder_is_opened_filtered_and_followed(python: Path, tmp_path: Path) -> None:
    said = follow(python, LocalStore(tmp_path / "store"), tmp_path, {})
    assert "boto3" not in said["imported"]


def test_a_release_in_s3_is_opened_filtered_and_followed(python: Path, tmp_path: Path, s3_process: str) -> None:
    client = make_test_client(s3_process)
    client.create_bucket(Bucket="install")
    environment = {
        "AWS_ENDPOINT_URL": s3_process,
        "AWS_ACCESS_KEY_ID": "testing-key-id",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    said = follow(python, S3Store("s3://install/test", client=client), tmp_path, environment)
    assert "boto3" in said["imported"]


def follow(python: Path, store: ObjectStore, tmp_path: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run the program over two releases; what it printed, the answers checked."""
    this = a_run(store, tmp_path / "scratch")
    publish(this, seed=SEEDS[0])
    command = [str(python), "-c", PROGRAM, store.url, str(tmp_path / "cache")]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], **environment},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "opened\n"
        publish(again(this, "run-2"), seed=SEEDS[1])
        printed, _ = process.communicate("go on\n", timeout=120)
    assert process.returncode == 0
    said: dict[str, Any] = json.loads(printed)
    assert said["package"].startswith(str(python.parents[1]))
    assert said["changed"] is True
    assert said["nothing"] == []
    for answer, seed in zip((said["before"], said["after"]), SEEDS, strict=True):
        assert len(answer) == 3
        for document, number, title in answer:
            assert document == f"seed{seed}-{number:05d}"
            assert title == f"Title of {document}"
            assert 10 <= number < 20
    assert not set(ABSENT) & set(said["imported"])
    return said
