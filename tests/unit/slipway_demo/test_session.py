"""A detached tree of processes: started once, found again, ended as a whole."""

import os
import subprocess
import sys
import time

import pytest

from slipway_demo.session import AlreadyRunning, Session, members

# A parent and a child that has left its parent's process group, as Airflow's tasks do, and ignores the first signal.
CHILD = "import os, signal, time; os.setpgid(0, 0); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
TREE = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {CHILD!r}]); print('up'); time.sleep(60)"


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setattr("slipway_demo.session.TERM_GRACE_S", 1.0)
    made = Session(tmp_path / "home" / "up.pid")
    yield made
    made.stop()


def start(session, tmp_path):
    started = session.start([sys.executable, "-c", TREE], dict(os.environ), tmp_path / "log", "http://here")
    until = time.monotonic() + 20
    while len(members(started.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    return started


def test_nothing_runs_at_first(session):
    assert not session.running()
    assert not session.stop()


def test_a_tree_is_found_again_and_ended_as_a_whole(session, tmp_path):
    started = start(session, tmp_path)
    again = Session(tmp_path / "home" / "up.pid")
    assert again.running()
    assert again.note() == "http://here"
    assert len(members(started.pid)) == 2
    with pytest.raises(AlreadyRunning):
        session.start([sys.executable, "-c", ""], dict(os.environ), tmp_path / "log", "other")
    assert again.note() == "http://here"
    assert again.stop()
    assert not again.running()
    assert members(started.pid) == []
    started.wait()


def test_what_an_ended_parent_left_behind_is_still_found(session, tmp_path):
    started = start(session, tmp_path)
    started.kill()
    started.wait()
    assert session.running()
    assert session.stop()
    assert members(started.pid) == []


def test_a_record_of_processes_long_gone_harms_nobody(session, tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "up.pid").write_text(f"{other.pid}\nhttp://here\n")  # its number was given out again
        assert not session.running()
        assert not session.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
