"""A server that forks its workers, in a process of its own: forking this one, with its threads, is not for a test."""

import re
import subprocess
import sys
from pathlib import Path

from slipway import serving
from slipway.acknowledgement import heard
from slipway.storage import LocalStore
from tests.support.releases import a_run, publish

PROGRAM = """
import os, sys
import numpy as np
from slipway import serving
from slipway.errors import InputError

query = np.ones(16, dtype=np.float32)
with serving.open(sys.argv[1], follow=0.01, name="parent") as parent, serving.open(sys.argv[1]) as still:
    child = os.fork()
    if child == 0:
        try:
            parent.search(query)
        except InputError as error:
            print(error, flush=True)
        assert not parent.poll()
        parent.close()
        os._exit(0)
    os.waitpid(child, 0)
    print(parent.search(query, 1)[0].document_id)
    print(os.listdir(sys.argv[1] + "/readers"))
"""


def test_a_forked_process_is_told_to_open_its_own(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    publish(a_run(store, tmp_path / "scratch"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"PYTHONPATH": str(Path(serving.__file__).parents[2])},
    )
    told, found, acknowledged = done.stdout.splitlines()
    assert told == ("this reader was opened before this process was forked; open another one with slipway.serving.open")
    assert found.startswith("seed0-")
    assert re.fullmatch(r"\['parent-[0-9a-f]{8}\.json'\]", acknowledged)  # which the child did not withdraw
    assert heard(store) == ([], [])
