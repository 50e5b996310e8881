import errno
import inspect
import re

import pytest

from slipway import errors
from slipway.errors import DiskFull, InputError, OperationError, Refused, SlipwayError, disk_errors


def classes() -> dict[str, type[SlipwayError]]:
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: one for name, one in found if issubclass(one, SlipwayError)}


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    tree = (errors.__doc__ or "").split("\n\n", 1)[1]
    for line in tree.splitlines():
        if found := re.match(r"^((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)", line):
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else "Exception"
    assert drawn == {name: one.__bases__[0].__name__ for name, one in classes().items()}


def test_the_exit_status_says_what_its_reader_does_next() -> None:
    for one in classes().values():
        if one is SlipwayError:
            continue
        expected = {InputError: 2, Refused: 1, OperationError: 3}
        assert one.exit_status == next(status for base, status in expected.items() if issubclass(one, base))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_bad_input_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    with pytest.raises(DiskFull, match="device of /data/file; free some"), disk_errors():
        raise OSError(number, "No space left on device", "/data/file")
    monkeypatch.setenv("SLIPWAY_SCRATCH", "/fast")
    with pytest.raises(DiskFull, match="device of /fast; free"), disk_errors():
        raise OSError(number, "No space left on device")
    monkeypatch.delenv("SLIPWAY_SCRATCH")
    with pytest.raises(DiskFull, match=r"the scratch folder \(SLIPWAY_SCRATCH\)"), disk_errors():
        raise OSError(number, "No space left on device")


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(PermissionError), disk_errors():
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(InputError), disk_errors():
        raise InputError("x")
