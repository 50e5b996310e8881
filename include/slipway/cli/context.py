"""One way in and out for every command: output for people or for machines, errors with their exit status."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from slipway.errors import SlipwayError, disk_errors


class JsonOutput:
    """Prints a command's one document: as JSON, or by the command's own way of showing it."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def write(self, document: dict[str, Any], shown: Callable[[dict[str, Any]], str]) -> None:
        """Print the document."""
        click.echo(json.dumps(document, indent=1, ensure_ascii=False) if self._as_json else shown(document))

    def write_for_people(self, document: dict[str, Any], shown: Callable[[dict[str, Any]], str]) -> None:
        """Print what people are to see before an error; machines get it in the error's own document."""
        if not self._as_json:
            click.echo(shown(document))

    def error(self, error: Exception) -> None:
        """Print an error: on standard error for people, and as the one document for machines."""
        click.echo(f"{type(error).__name__}: {error}", err=True)
        if self._as_json:
            result = getattr(error, "result", None) or {}  # a run's, as far as it came
            body = {**result, "error": {"type": type(error).__name__, "message": str(error)}}
            click.echo(json.dumps(body, indent=1, ensure_ascii=False))

    def exit(self, status: int) -> NoReturn:
        """End the command with this exit status."""
        sys.exit(status)


@contextmanager
def guarded(as_json: bool) -> Iterator[JsonOutput]:
    """Runs a command; a `SlipwayError` becomes a message and its exit status.

    Any other exception is a fault of this program: its traceback is shown, and the exit status is that of an
    operation that failed, never the 1 of a refusal.
    """
    output = JsonOutput(as_json)
    try:
        with disk_errors():
            yield output
    except SlipwayError as error:
        output.error(error)
        sys.exit(error.exit_status)
    except BrokenPipeError:  # whoever read the output has seen enough; click ends the command without a word
        raise
    except Exception as error:
        traceback.print_exc()
        output.error(error)
        sys.exit(SlipwayError.exit_status)
