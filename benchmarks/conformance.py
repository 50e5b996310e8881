"""Whether a store's conditional writes are what releases rest on: exactly one winner, and the winner's bytes.

    python benchmarks/conformance.py --rounds 50 --stores local,s3,ceph

On each store, 8 processes race: first for one object (created in the first round, replaced in those after), then with
whole swaps of serving.json, through the code that a release uses, where generations may have no gap and each winner one
audit record. The stores are a local folder, an S3 server in a process of its own (moto, which checks a condition and
writes without holding anything in between, behind one lock around every write), and Ceph's object gateway, whose
conditional writes are its own.

The last line is one JSON object: stores (those that ran), rounds (of each race on each store), double_winners (rounds
that had not exactly one winner) and wrong_bodies (stored bodies and audit records that were not the winner's). The exit
status is 1 when either is not 0, or when a store could not be started.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.racing import Place, Tally

ROUNDS = 50
STORES = ("local", "s3", "ceph")


@contextmanager
def local_place() -> Iterator[Place]:
    """A store in a folder of its own."""
    from tests.support.racing import Place

    with tempfile.TemporaryDirectory(prefix="slipway-conformance-") as folder:
        yield Place(Path(folder).as_uri())


@contextmanager
def s3_place() -> Iterator[Place]:
    """A bucket on moto, in a process of its own."""
    from tests.support.s3_process import serving
    from tests.support.s3_server import CREDENTIALS, make_test_client

    with serving() as endpoint_url:
        yield s3_place_at(endpoint_url, make_test_client(endpoint_url), CREDENTIALS)


@contextmanager
def ceph_place() -> Iterator[Place]:
    """A bucket on Ceph's gateway. Raises `CephUnavailable`."""
    from tests.support import ceph

    with ceph.running() as server:
        yield s3_place_at(server.endpoint_url, server.client(), ceph.CREDENTIALS)


def s3_place_at(endpoint_url: str, client: Any, credentials: Mapping[str, str]) -> Place:
    """A new bucket on that server."""
    from tests.support.racing import Place

    bucket = f"conformance-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return Place(f"s3://{bucket}/races", {**credentials, "AWS_ENDPOINT_URL_S3": endpoint_url})


PLACES: Mapping[str, Callable[[], Any]] = {"local": local_place, "s3": s3_place, "ceph": ceph_place}


def race_at(place: Place, rounds: int) -> Tally:
    """Both races at one place; what was wrong in them together."""
    from tests.support import racing

    found = racing.tally(racing.in_processes(place, racing.race, rounds))
    laps = racing.in_processes(place, racing.swaps, rounds)
    swapped = racing.tally_swaps(laps, place.open())
    return racing.Tally(
        found.double_winners + swapped.double_winners,
        found.wrong_bodies + swapped.wrong_bodies,
    )


def conform(stores: Sequence[str], rounds: int) -> tuple[dict[str, Any], list[str]]:
    """The last line's object, and what could not be started."""
    from tests.support.ceph import CephUnavailable

    made: dict[str, Any] = {"stores": [], "rounds": rounds, "double_winners": 0, "wrong_bodies": 0}
    failed: list[str] = []
    for name in stores:
        began = time.monotonic()
        try:
            with PLACES[name]() as place:
                found = race_at(place, rounds)
        except CephUnavailable as error:
            failed.append(f"{name}: {error}; or leave it out: make conformance STORES=local,s3")
            continue
        made["stores"].append(name)
        made["double_winners"] += found.double_winners
        made["wrong_bodies"] += found.wrong_bodies
        print(f"{name}: {rounds} rounds of each race in {time.monotonic() - began:.1f} s, {found}", flush=True)
    return made, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of each race on each store")
    parser.add_argument("--stores", default=",".join(STORES), help=f"some of {','.join(STORES)}")
    asked = parser.parse_args()
    stores = [name for name in asked.stores.split(",") if name]
    if asked.rounds < 1 or not stores or not set(stores) <= set(STORES):
        parser.error(f"--rounds is 1 or more, --stores some of {','.join(STORES)}")
    made, failed = conform(stores, asked.rounds)
    for message in failed:
        print(message, file=sys.stderr, flush=True)
    print(json.dumps(made))
    sys.exit(bool(failed or made["double_winners"] or made["wrong_bodies"]))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for tests.support
    main()
