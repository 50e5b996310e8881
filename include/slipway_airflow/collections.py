"""Collection files as the DAG files see them: the good ones give DAGs, the broken ones give one import error."""

from __future__ import annotations

from slipway import settings
from slipway.config import Collection, collection_files, load_file
from slipway.errors import ConfigError


def good_collections() -> list[Collection]:
    """Every collection whose file is sound. Broken ones are left to `check_collections`."""
    try:
        return _load()[0]
    except ConfigError:  # no folder: check_collections says so
        return []


def check_collections() -> None:
    """Raise one `ConfigError` that names each broken file with the field, its value and what was expected."""
    problems = _load()[1]
    if problems:
        raise ConfigError(
            f"{len(problems)} broken collection file{'s' if len(problems) > 1 else ''}; the DAGs of all other "
            "collections are there. Correct what is named here:\n" + "\n".join(problems)
        )


def _load() -> tuple[list[Collection], list[str]]:
    good, problems = [], []
    for file in collection_files(settings.collections_folder()):
        try:
            good.append(load_file(file))
        except ConfigError as error:
            problems.append(str(error))
    return good, problems
