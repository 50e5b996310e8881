"""`slipway keygen`, and that what it prints works where it says to put it."""

import json

import pytest
from click.testing import CliRunner

from slipway.cli import main
from slipway.connections import environment_secrets
from slipway.signing import Trusted, private_key


def test_what_is_printed_for_people_works_where_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(main, ["keygen"])
    assert done.exit_code == 0, done.output
    [connection] = [line for line in done.stdout.splitlines() if "AIRFLOW_CONN_" in line]
    monkeypatch.setenv("AIRFLOW_CONN_SLIPWAY_SIGNING", connection.partition("=")[2].strip("'"))
    [public] = [line.partition("=")[2] for line in done.stdout.splitlines() if "SLIPWAY_PUBLIC_KEY=" in line]
    key = private_key(environment_secrets("slipway_signing"))
    assert Trusted.of(public).keys == {key.key_id: key.public}


def test_machines_get_one_document_and_two_calls_two_keys() -> None:
    one, two = (json.loads(CliRunner().invoke(main, ["keygen", "--json"]).stdout) for _ in range(2))
    assert set(one) == {"private_key", "public_key", "key_id"}
    assert one["private_key"] != two["private_key"]
    assert private_key(one["private_key"]).public_text == one["public_key"]
