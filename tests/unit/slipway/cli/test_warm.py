"""`slipway warm` on a small static model: no store, and what it found out is in the cache."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from slipway.cli import main
from slipway_demo.static import static_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIPWAY_BACKEND", "auto")
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    described = {
        "sources": [{"name": "api", "kind": "lake", "path": "lake", "id": "id", "text": "{body}"}],
        "encoder": static_model(tmp_path / "model", 16),
        "embed": {"device": "cpu"},
    }
    (tmp_path / "docs.yaml").write_text(yaml.safe_dump(described))
    return tmp_path


def test_what_was_found_out_is_said_and_kept(folder: Path) -> None:
    done = CliRunner().invoke(main, ["warm", "docs", "--collections", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["backend"], told["device"]) == ("static", "cpu")
    assert told["chosen"].startswith("static float32 on cpu, cosine ")
    assert list(Path(told["kept"]).glob("choice-*.json"))
    said = CliRunner().invoke(main, ["warm", "docs", "--collections", str(folder)]).stdout
    assert said.startswith(f"docs: encoder {told['encoder']} by static float32 on cpu")


def test_bad_input_a_model_that_is_not_there_is_an_error(folder: Path) -> None:
    (folder / "model" / "modules.json").unlink()
    (folder / "model" / "0_StaticEmbedding" / "model.safetensors").unlink()
    done = CliRunner().invoke(main, ["warm", "docs", "--collections", str(folder)])
    assert done.exit_code == 2
    assert "has no model.safetensors" in done.stderr
