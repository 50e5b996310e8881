"""A reader installs and runs with few packages: this is proven in a fresh process that may import nothing else."""

import os
import re
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest

from slipway.storage import LocalStore
from slipway.storage.s3 import S3Store
from tests.support.releases import a_run, publish
from tests.support.s3_server import S3Server

INSTALLED = ("numpy", "pyarrow", "pydantic", "pyyaml", "faiss-cpu", "boto3")
INCLUDE = Path(__file__).parents[4] / "include"

PROGRAM = """
import sys

FORBIDDEN = set(sys.argv[2].split(","))

class NotThese:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r} (this test forbids it)", name=name)

sys.meta_path.insert(0, NotThese())
import slipway.serving
with slipway.serving.open(sys.argv[1]) as reader:
    import numpy as np
    print(reader.search(np.eye(1, 16, dtype=np.float32)[0], 3)[0].document_id)
print(",".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@lru_cache(maxsize=1)
def forbidden() -> set[str]:
    """The top-level modules of all installed distributions but a reader's and what those need."""
    needed: set[str] = set()
    waiting = [_normal(name) for name in INSTALLED]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            plain = [line for line in distribution(name).requires or [] if ";" not in line]
            waiting += [_normal(re.split(r"[^\w.-]", line)[0]) for line in plain]
    owned = packages_distributions()
    found = {module for module, owners in owned.items() if not needed & {_normal(owner) for owner in owners}}
    return found - {"slipway"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def search_alone(url: str, tmp_path: Path, **environment: str) -> list[str]:
    """What the program prints, with nothing but a reader's packages to import."""
    assert {"torch", "pandas", "duckdb", "airflow", "click", "sqlalchemy"} <= forbidden()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url, ",".join(forbidden())],
        capture_output=True,
        text=True,
        env={
            "PYTHONPATH": str(INCLUDE),
            "SLIPWAY_CACHE": str(tmp_path / "cache"),
            "HOME": str(tmp_path),
            **environment,
        },
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout.splitlines()


def test_a_local_release_is_searched_by_vector(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    publish(a_run(store, tmp_path / "scratch"))
    found, modules = search_alone(store.url, tmp_path)
    assert found.startswith("seed0-")
    heavy = {"airflow", "torch", "sentence_transformers", "transformers", "pandas", "duckdb", "ir_measures", "boto3"}
    assert heavy & set(modules.split(",")) == set()


def test_a_release_in_s3_is_searched_by_vector(tmp_path: Path, s3_server: S3Server) -> None:
    url = f"s3://{s3_server.new_bucket()}/test"
    publish(a_run(S3Store(url, client=s3_server.client()), tmp_path / "scratch"))
    found, modules = search_alone(
        url,
        tmp_path,
        AWS_ENDPOINT_URL=s3_server.endpoint_url,
        AWS_ACCESS_KEY_ID="testing-key-id",
        AWS_SECRET_ACCESS_KEY="testing-secret",
        AWS_DEFAULT_REGION="us-east-1",
    )
    assert found.startswith("seed0-")
    assert "boto3" in modules.split(",")
    assert (tmp_path / "cache" / "test").is_dir()


@pytest.mark.parametrize("module", ["slipway.serving", "slipway.serving.catalogue", "slipway.pointer"])
def test_importing_it_stays_light(module: str) -> None:
    program = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"PYTHONPATH": str(INCLUDE)},
    )
    heavy = {"airflow", "torch", "sentence_transformers", "transformers", "pandas", "duckdb", "ir_measures", "boto3"}
    assert heavy & set(done.stdout.split()) == set()
