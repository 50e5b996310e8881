"""Stages one by one: which calls a process lets through."""

import pytest

from benchmarks.pipeline_stages import around_stages, stage_functions
from benchmarks.stages_apart import _Left, _Turnstile, peak_mib
from slipway import pipeline


def test_calls_of_one_stage_in_a_row_pass_together() -> None:
    turnstile = _Turnstile(2)
    for stage in ("plan", "embed", "embed", "embed"):
        with turnstile.passing(stage):
            pass
    assert (turnstile.number, turnstile.stage) == (2, "embed")
    with pytest.raises(_Left), turnstile.passing("index"):
        pass


def test_a_stage_that_comes_again_is_another() -> None:
    turnstile = _Turnstile(4)
    for stage in ("extract", "clean", "extract", "clean"):
        with turnstile.passing(stage):
            pass
    assert turnstile.number == 4


def test_the_pipeline_has_its_stages_and_gets_them_back() -> None:
    before = {name: getattr(pipeline, name) for name in stage_functions()}
    assert {"extract", "clean", "snapshot", "chunk", "plan", "embed", "index", "release"} <= set(
        stage_functions().values()
    )
    with around_stages(_Turnstile(1).passing):
        assert all(getattr(pipeline, name) is not function for name, function in before.items())
        assert set(stage_functions()) == set(before)
    assert {name: getattr(pipeline, name) for name in before} == before


def test_peak_memory_is_that_of_this_process() -> None:
    assert 10 < peak_mib() < 100_000
