"""A night and a search with what this machine finds best, as it is without SLIPWAY_BACKEND: a tiny transformer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from slipway import serving
from slipway.encoders import forget, load_encoder, openvino
from slipway.storage.local import LocalStore
from tests.support.campaigns import NAME, TEXTS, Project
from tests.support.encoders import tiny_transformer


@pytest.mark.skipif(not openvino.is_installed(), reason="OpenVINO is not installed")
def test_a_night_and_a_search_by_text_with_what_is_chosen_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("SLIPWAY_BACKEND", "auto")
    monkeypatch.setenv("SLIPWAY_CACHE", str(cache))
    project = Project(tmp_path, LocalStore(tmp_path / "store" / NAME))
    (tmp_path / "encoders").mkdir()
    (tmp_path / "encoders" / "old.yaml").write_text(yaml.safe_dump(tiny_transformer(tmp_path / "model")))
    project.put(TEXTS)
    project.write(golden={"queries": str(project.judge(TEXTS))}, embed={"device": "cpu"})

    assert project.night("night-1")["released"]

    encoder = load_encoder(project.run("any").collection.encoder, project.run("any").collection.embed)
    (folder,) = cache.glob("_encoders/*")
    choices = [json.loads(path.read_text()) for path in folder.glob("choice-*.json")]
    assert encoder.backend in {choice["backend"] for choice in choices}
    assert list(folder.glob("openvino-*.bin"))  # it was possible here, whatever was faster
    forget()
    monkeypatch.setenv("SLIPWAY_BACKEND", "openvino")
    with serving.open(tmp_path / "store" / NAME, cache=tmp_path / "releases") as reader:
        wanted = list(TEXTS)[7]
        assert reader.search(TEXTS[wanted], k=1)[0].document_id == f"api:{wanted}"
    forget()
