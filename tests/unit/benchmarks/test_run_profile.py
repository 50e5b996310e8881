"""The profile of a run: what is added up, and which stages are looked into."""

import pytest

from benchmarks.run_profile import Watch


def test_calls_of_a_stage_are_one_line_and_large_stages_are_looked_into(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(plain=False)
    for stage in ("extract", "embed", "embed"):
        with watch.watching(stage):
            sum(range(1_000))
    watch.wall, watch.processor = {"extract": 1.0, "embed": 99.0}, {"extract": 0.5, "embed": 150.0}
    watch.tell("a run", share=0.05, functions=3)
    told = capsys.readouterr().out
    assert "| extract | 1.00 | 0.50 | 1% |" in told
    assert "| embed | 99.00 | 150.00 | 99% |" in told
    assert "### embed" in told
    assert "### extract" not in told


def test_a_stage_that_fails_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(plain=True)
    with pytest.raises(ZeroDivisionError), watch.watching("index"):
        1 / 0  # noqa: B018
    assert set(watch.wall) == {"index"}
    watch.tell("a run", share=0.0, functions=3)
    assert "### index" not in capsys.readouterr().out
