"""What benchmarks say of themselves."""

import pytest

from benchmarks.machine import command


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "python b.py"),
        (["--rounds", "3", "--data", "/a/folder", "--no-fastembed"], "python b.py --rounds 3 --no-fastembed"),
        (["--data=/a/folder", "--rounds=3"], "python b.py --rounds=3"),
        (["--data", "../shared/data"], "python b.py --data ../shared/data"),
    ],
)
def test_folders_of_one_machine_are_not_told(given: list[str], told: str) -> None:
    assert command("b.py", given) == told
