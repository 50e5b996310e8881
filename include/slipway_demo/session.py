"""One detached process tree: started in a session of its own, recorded in a file, ended as a whole.

The record is a file that the tree holds locked through its standard input, which its processes inherit. So "is it
running?" is "is the file locked?", which is right after a crash or a restart of the machine too, when a process id
alone could be somebody else's. All processes of the session are ended: Airflow's tasks leave their parent's process
group, but not its session.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TERM_GRACE_S = 20.0
KILL_GRACE_S = 5.0
POLL_S = 0.2


class AlreadyRunning(Exception):
    """Another tree holds the record."""


class Session:
    """The process tree whose record is the file `record`: the session's id on the first line, a note on the second."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, note: str
    ) -> subprocess.Popen[bytes]:
        """Start the tree, its output appended to `log`. Raises `AlreadyRunning`."""
        self._record.parent.mkdir(parents=True, exist_ok=True)
        with self._record.open("a+") as held, log.open("ab") as output:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AlreadyRunning(str(self._record)) from error
            started = subprocess.Popen(
                command, stdin=held, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
            held.truncate(0)
            held.write(f"{started.pid}\n{note}\n")
        return started

    def running(self) -> bool:
        """Whether any process of the tree is alive."""
        try:
            with self._record.open("rb") as record:
                fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def note(self) -> str:
        """What was noted when the tree was started."""
        return self._lines()[1]

    def stop(self) -> bool:
        """End every process of the tree: asked first, then forced. False when nothing was running."""
        if not self.running():
            return False
        session = int(self._lines()[0])
        self._signal(session, signal.SIGTERM)
        if not self._wait(session, TERM_GRACE_S):
            self._signal(session, signal.SIGKILL)
            self._wait(session, KILL_GRACE_S)
        return True

    def _lines(self) -> list[str]:
        lines = self._record.read_text().splitlines()
        return [*lines, "", ""][:2] if lines else ["0", ""]

    def _signal(self, session: int, number: signal.Signals) -> None:
        for process in members(session):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue  # it ended meanwhile

    def _wait(self, session: int, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while members(session):
            if time.monotonic() > until:
                return False
            time.sleep(POLL_S)
        return True


def members(session: int) -> list[int]:
    """The processes of a session; none for 0, which is no session."""
    return [process for process in _processes() if session and _session_of(process) == session]


def _processes() -> list[int]:
    """All processes that are at work; those that only wait to be collected by their parent are left out."""
    proc = Path("/proc")
    if (proc / "self" / "stat").exists():
        return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit() and _is_at_work(entry)]
    listed = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True)  # macOS
    return [int(line) for line in listed.stdout.split()]


def _is_at_work(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False  # it ended meanwhile


def _session_of(process: int) -> int | None:
    try:
        return os.getsid(process)
    except (ProcessLookupError, PermissionError):
        return None
