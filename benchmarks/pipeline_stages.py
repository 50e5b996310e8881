"""The stages that the pipeline calls, found by where they come from, so that a benchmark can look at each of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from slipway import pipeline

PACKAGE = "slipway.stages."


def stage_functions() -> dict[str, str]:
    """Stage by the name that the pipeline calls it by, for every stage it imports. Raises RuntimeError for none."""
    found = {
        name: value.__module__.removeprefix(PACKAGE)
        for name, value in vars(pipeline).items()
        if inspect.isfunction(value) and value.__module__.startswith(PACKAGE)
    }
    if not found:
        raise RuntimeError(f"{pipeline.__name__} imports no function of {PACKAGE}*; say here where its stages are")
    return found


@contextmanager
def around_stages(around: Callable[[str], AbstractContextManager[None]]) -> Iterator[None]:
    """For a `with` block, every call of a stage by the pipeline happens inside `around(stage)`."""
    original = {name: getattr(pipeline, name) for name in stage_functions()}
    for name, stage in stage_functions().items():
        setattr(pipeline, name, _surrounded(original[name], stage, around))
    try:
        yield
    finally:
        for name, function in original.items():
            setattr(pipeline, name, function)


def _surrounded(
    function: Callable[..., Any], stage: str, around: Callable[[str], AbstractContextManager[None]]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        with around(stage):
            return function(*arguments, **named)

    return called
