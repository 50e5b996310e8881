from dataclasses import replace

import pytest

from slipway.config.index import Index, SearchParameters
from slipway.errors import IndexRefused
from slipway.index.build import build, make, set_parameters
from slipway.index.exact import exact_neighbours, recall
from slipway.index.spec import check_trainable, default_parameters, resolve
from tests.support.releases import clustered_vectors, spec


@pytest.mark.parametrize(
    ("vectors", "factory"),
    [
        (1, "Flat"),
        (4_999, "Flat"),
        (5_000, "HNSW32"),
        (999_999, "HNSW32"),
        (1_000_000, "IVF4096,PQ96x4fs,Refine(SQ8)"),
        (4_000_000, "IVF8192,PQ96x4fs,Refine(SQ8)"),
        (100_000_000, "IVF32768,PQ96x4fs,Refine(SQ8)"),
    ],
)
def test_the_default_rule_goes_by_the_number_of_vectors(vectors: int, factory: str) -> None:
    found = resolve(Index(metric="l2", seed=7), vectors, 384)
    assert (found.factory, found.metric, found.seed) == (factory, "l2", 7)
    assert "vectors" in found.reason


@pytest.mark.parametrize(
    ("dimension", "codes"),
    [
        (384, "PQ96x4fs,Refine(SQ8)"),
        (768, "PQ192x4fs,Refine(SQ8)"),
        (1024, "PQ256x4fs,Refine(SQ8)"),
        (100, "PQ25x4fs,Refine(SQ8)"),
        (300, "PQ75x4fs,Refine(SQ8)"),
        (50, "PQ10x4fs,Refine(SQ8)"),  # 12 does not divide 50
        (94, "SQ8"),  # 2 x 47: two codes would keep next to nothing
        (97, "SQ8"),
        (3, "SQ8"),
    ],
)
def test_the_default_rule_gives_codes_that_divide_the_dimension(dimension: int, codes: str) -> None:
    found = resolve(Index(), 1_000_000, dimension)
    assert found.factory == f"IVF4096,{codes}"
    make(found, dimension, 40)


def test_every_dimension_has_a_default_that_faiss_understands() -> None:
    for dimension in range(1, 200):
        make(resolve(Index(), 1_000_000, dimension), dimension, 40)


@pytest.mark.parametrize("dimension", [384, 768, 100, 97])
def test_the_default_for_many_vectors_finds_what_is_near(dimension: int) -> None:
    """The rule's codes and refine, on fewer vectors and lists."""
    found = resolve(Index(), 1_000_000, dimension)
    small = replace(found, factory=found.factory.replace("IVF4096", "IVF32"))
    vectors, queries = (clustered_vectors(count, dimension, seed) for seed, count in ((0, 2_000), (1, 50)))
    index = build(vectors, small, 2_000, 40)
    set_parameters(index, default_parameters(small, SearchParameters(nprobe=32)))
    assert recall(index.search(queries, 10)[1], exact_neighbours(vectors, queries, 10)[1], 10) > 0.95


def test_a_named_spec_is_taken_as_it_is() -> None:
    found = resolve(Index(spec="IVF16,Flat", seed=3), 10, 384)
    assert (found.factory, found.seed, found.reason) == ("IVF16,Flat", 3, "named in the collection file")


@pytest.mark.parametrize(
    ("factory", "lists", "is_hnsw", "refines", "centroids"),
    [
        ("Flat", None, False, False, 0),
        ("HNSW32", None, True, False, 0),
        ("HNSW32,SQ8", None, True, False, 0),
        ("HNSW32,Flat,RFlat", None, True, True, 0),
        ("PCA64,HNSW32", None, True, False, 0),
        ("L2norm,HNSW16", None, True, False, 0),
        ("PQ16", None, False, False, 256),
        ("PQ16x4fs", None, False, False, 16),
        ("PQ16x12", None, False, False, 4096),
        ("SQ8", None, False, False, 0),
        ("IVF256,SQ8", 256, False, False, 256),
        ("IVF64,PQ8", 64, False, False, 256),
        ("IVF1024_HNSW32,PQ64x4fs,RFlat", 1024, False, True, 1024),
        ("IVF256(HNSW32),PQ16x4fs,Refine(SQ8)", 256, False, True, 256),
        ("OPQ64,IVF4096,PQ64", 4096, False, False, 4096),
        ("OPQ64_256,IVF4096,PQ64x4fsr,RFlat", 4096, False, True, 4096),
        ("OPQ16,IVF16,PQ16x4fs", 16, False, False, 16),  # OPQ learns for the codes behind it
        ("OPQ16,IVF64,PQ16", 64, False, False, 256),
        ("OPQ16,IVF64,SQ8", 64, False, False, 256),
        ("OPQ16,IVF64,SQ8,Refine(PQ16x4)", 64, False, True, 256),
        ("PCA32,IVF1k,Flat", 1024, False, False, 1024),
        ("IVF64k_HNSW32,Flat", 65536, False, False, 65536),
        ("IVF1M,Flat", 1 << 20, False, False, 1 << 20),
    ],
)
def test_a_factory_string_tells_what_it_needs(
    factory: str, lists: int | None, is_hnsw: bool, refines: bool, centroids: int
) -> None:
    found = spec(factory)
    assert (found.lists, found.is_hnsw, found.refines, found.centroids) == (lists, is_hnsw, refines, centroids)


@pytest.mark.parametrize(("factory", "needed"), [("IVF100,Flat", 100), ("IVF16,PQ8", 256), ("OPQ8,IVF16,PQ8", 256)])
def test_too_few_vectors_are_refused_with_the_numbers(factory: str, needed: int) -> None:
    check_trainable(spec(factory), needed, needed)
    with pytest.raises(IndexRefused, match=rf"{factory} needs at least {needed}.*there are {needed - 1}"):
        check_trainable(spec(factory), needed - 1, 1_000)


def test_a_training_sample_smaller_than_the_spec_needs_is_named() -> None:
    with pytest.raises(IndexRefused, match=r"at least 4,096 vectors .*index.train_vectors is 1,000; raise it"):
        check_trainable(spec("IVF4096,Flat"), 1_000_000, 1_000)


def test_no_vectors_are_refused_by_every_spec() -> None:
    with pytest.raises(IndexRefused, match="needs at least 1 vectors"):
        check_trainable(spec("Flat"), 0, 100)


@pytest.mark.parametrize(
    ("factory", "parameters"),
    [
        ("Flat", {}),
        ("HNSW32,SQ8", {"efSearch": 128}),
        ("HNSW32,Flat,RFlat", {"efSearch": 128, "k_factor_rf": 10}),
        ("IVF4096,Flat", {"nprobe": 256}),
        ("IVF64,Flat", {"nprobe": 8}),
        ("IVF4,Flat", {"nprobe": 4}),
        ("IVF1024_HNSW32,PQ64x4fs,RFlat", {"nprobe": 64, "k_factor_rf": 10}),
    ],
)
def test_defaults_by_kind_of_spec(factory: str, parameters: dict[str, int]) -> None:
    assert default_parameters(spec(factory), SearchParameters()) == parameters


def test_what_was_asked_for_comes_before_the_defaults() -> None:
    asked = SearchParameters(ef_search=40, nprobe=99, refine_factor=3)
    assert default_parameters(spec("HNSW32"), asked) == {"efSearch": 40}
    assert default_parameters(spec("IVF64,PQ8,RFlat"), asked) == {"nprobe": 64, "k_factor_rf": 3}
