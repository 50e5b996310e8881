"""Every Python snippet of docs/serving.md runs, in order, against a real release."""

import re
from pathlib import Path
from typing import Any

import pytest

from slipway.config import Encoder
from slipway.serving import reader as module
from slipway.storage import LocalStore
from tests.support.encoders import FakeEncoder
from tests.support.releases import a_run, publish

PAGE = Path(__file__).parents[4] / "docs" / "serving.md"
URL = "s3://indexes/prod/helpdesk"
DIMENSION = 384


def snippets() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_every_snippet_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(tmp_path / "store")
    encoder = {"name": "none", "folder": "/model", "dimension": DIMENSION, "max_tokens": 256}
    released = publish(a_run(store, tmp_path / "scratch", encoder=encoder))

    def load_encoder(encoder: Encoder, fingerprint: str | None = None, secrets: object = None) -> Any:
        described: Any = type("Described", (), {"fingerprint": "e" * 16, "encoder": encoder})
        return FakeEncoder(described)

    def open_store(url: str, **_: Any) -> LocalStore:
        assert url == URL
        return store

    monkeypatch.setattr("slipway.encoders.load_encoder", load_encoder)
    monkeypatch.setattr(module, "open_store", open_store)
    namespace: dict[str, Any] = {}
    found = snippets()
    assert len(found) == 6
    for snippet in found:
        exec(compile(snippet, str(PAGE), "exec"), namespace)
    assert len(namespace["hits"]) == 10
    assert [len(hits) for hits in namespace["answers"]] == [3, 3]
    printed = capsys.readouterr().out
    assert printed.count(released.release_id) >= 3
    assert "still on" not in printed
    assert list(store.list("readers/")) == []
