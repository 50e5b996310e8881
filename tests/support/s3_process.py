"""The S3 server of `s3_server` in a process of its own, for clients that hold Python's lock while they wait for it
(the Delta library does when it reads a change feed): in one process, client and server would wait for each other.

As a program, it prints the server's address and serves until its standard input is closed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.s3_server import running


@pytest.fixture(scope="session")
def s3_process() -> Iterator[str]:
    """The address of a server for the whole test session."""
    with serving() as endpoint_url:
        yield endpoint_url


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server, for a `with` block."""
    command = [sys.executable, "-m", "tests.support.s3_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


if __name__ == "__main__":
    with running() as server:
        print(server.endpoint_url, flush=True)
        sys.stdin.read()
