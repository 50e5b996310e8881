"""Ceph's object gateway (RGW) on this machine: a real S3 server, whose conditional writes are its own.

One monitor, one storage daemon that keeps everything in memory, and one gateway, all on loopback and on free ports, in
a folder that is removed at the end. tools/install_ceph.sh installs the programs. As a program, this module prints the
server's address and serves until its standard input is closed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin", "setpriv")
ACCESS_KEY, SECRET_KEY = "slipway", "slipway-testing"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
STARTS_WITHIN_S = 120
STOPS_WITHIN_S = 10

# Authentication stays on, because the gateway does not work without; the file is the whole configuration.
CONFIGURATION = """
[global]
fsid = {cluster}
keyring = {folder}/keyring
mon_host = [v2:127.0.0.1:{monitor},v1:127.0.0.1:{monitor_v1}]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
mon_data_avail_warn = 2
run_dir = {folder}
crash_dir = {folder}
admin_socket = {folder}/$name.asok
log_file = {folder}/$name.log
[mon.a]
mon_data = {folder}/mon
[osd.0]
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
enable_experimental_unrecoverable_data_corrupting_features = memstore
[client.rgw]
rgw_data = {folder}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{gateway}
"""


class CephUnavailable(Exception):
    """Ceph cannot be run here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class CephServer:
    """A running gateway."""

    endpoint_url: str

    def client(self, attempts: int = 1) -> S3Client:
        """Slipway's own client for this server."""
        return make_ceph_client(self.endpoint_url, attempts)

    def new_bucket(self) -> str:
        """A bucket of its own."""
        name = f"test-{uuid.uuid4().hex}"
        self.client().create_bucket(Bucket=name)
        return name


def make_ceph_client(endpoint_url: str, attempts: int = 1) -> S3Client:
    """Slipway's client settings with this server's credentials."""
    import pytest

    from slipway.storage.s3_client import make_client

    with pytest.MonkeyPatch.context() as environment:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        environment.delenv("AWS_SESSION_TOKEN", raising=False)
        environment.delenv("AWS_PROFILE", raising=False)
        return make_client(endpoint_url, attempts)


def why_not() -> str | None:
    """Why Ceph cannot be run here; None when it can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"Ceph RGW is not installed ({', '.join(missing)} missing): sudo tools/install_ceph.sh"
    if os.geteuid() != 0:
        return "Ceph's daemons need root here: run this as root, or leave the store out"
    return None


@contextmanager
def running() -> Iterator[CephServer]:
    """A server for a `with` block, in some fifteen seconds. Raises `CephUnavailable`."""
    if reason := why_not():
        raise CephUnavailable(reason)
    with (
        tempfile.TemporaryDirectory(prefix="slipway-ceph-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        cluster = _Cluster(Path(folder), stack)
        try:
            endpoint_url = cluster.start()
        except (OSError, subprocess.SubprocessError) as error:
            raise CephUnavailable(f"Ceph RGW did not start: {error}; {cluster.last_words()}") from error
        yield CephServer(endpoint_url)


class _Cluster:
    """The daemons, started in their order and stopped in the reverse one with `stack`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._keyring = folder / "keyring"

    def start(self) -> str:
        gateway, monitor, monitor_v1 = _free_ports(3)
        names = {"folder": self._folder, "gateway": gateway, "monitor": monitor, "monitor_v1": monitor_v1}
        cluster = str(uuid.uuid4())
        (self._folder / "ceph.conf").write_text(CONFIGURATION.format(cluster=cluster, **names))
        for name in ("mon", "osd", "rgw"):
            (self._folder / name).mkdir()
        self._start_monitor(cluster, f"[v2:127.0.0.1:{monitor},v1:127.0.0.1:{monitor_v1}]")
        self._start_storage()
        endpoint_url = f"http://127.0.0.1:{gateway}"
        self._daemon("radosgw", "-n", "client.rgw", "--no-mon-config")
        _wait_until_it_answers(endpoint_url)
        self._command(
            "radosgw-admin", "user", "create", "--uid=slipway", "--display-name=slipway",
            f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}",
        )  # fmt: skip
        return endpoint_url

    def last_words(self) -> str:
        """The ends of the daemons' logs."""
        logs = sorted(self._folder.glob("*.log"))
        return (
            " | ".join(f"{log.name}: {log.read_text(errors='replace')[-300:]}" for log in logs) or "no log was written"
        )

    def _start_monitor(self, cluster: str, addresses: str) -> None:
        self._key("mon.", "--create-keyring", mon="allow *")
        self._key("client.admin", mon="allow *", osd="allow *", mgr="allow *")
        self._key("client.rgw", mon="allow rwx", osd="allow rwx")
        self._key("osd.0", mon="allow profile osd", osd="allow *")
        monmap = str(self._folder / "monmap")
        self._run("monmaptool", "--create", "--clobber", "--fsid", cluster, "--addv", "a", addresses, monmap)
        self._command("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", str(self._keyring))
        self._daemon("ceph-mon", "-i", "a", "--keyring", str(self._keyring))

    def _start_storage(self) -> None:
        name = str(uuid.uuid4())
        self._command("ceph", "osd", "new", name)
        self._command("ceph", "auth", "import", "-i", str(self._keyring))
        self._command("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", name)
        self._daemon("ceph-osd", "-i", "0")

    def _key(self, name: str, *options: str, **may: str) -> None:
        rights = [word for area, right in may.items() for word in ("--cap", area, right)]
        self._run("ceph-authtool", *options, str(self._keyring), "--gen-key", "-n", name, *rights)

    def _command(self, program: str, *arguments: str) -> None:
        self._run(program, "-c", str(self._folder / "ceph.conf"), *arguments)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=STARTS_WITHIN_S)
        if done.returncode != 0:
            raise OSError(f"{' '.join(command[:4])} ended with status {done.returncode}: {done.stderr[-500:]}")

    def _daemon(self, program: str, *arguments: str) -> None:
        # The kernel stops it when this process dies, however it dies.
        command = ["setpriv", "--pdeathsig", "KILL", program, "-c", str(self._folder / "ceph.conf"), "-f", *arguments]
        with (self._folder / f"{program}.out.log").open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self._stack.callback(_stop, process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_until_it_answers(endpoint_url: str) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(endpoint_url, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers, whatever it says
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{endpoint_url} did not answer within {STARTS_WITHIN_S} s ({error})") from error
            time.sleep(0.1)


def main(arguments: Sequence[str]) -> None:
    """Serve until standard input is closed."""
    with running() as server:
        print(server.endpoint_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
