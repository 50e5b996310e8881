"""Opening a collection's store with the settings that its file has for it: whoever writes there opens it here."""

from __future__ import annotations

from pathlib import Path

from slipway import settings
from slipway.config import Collection, load_collection
from slipway.errors import ConfigError
from slipway.storage import open_store
from slipway.storage.base import ObjectStore


def collection_store(collection: Collection, option: str | None = None) -> ObjectStore:
    """The store of a collection, below the root that `option`, the environment or its file names.

    `release.encryption` goes with every write. Raises `InputError` for a URL that is none, and where encryption is set
    and the store is not S3.
    """
    url = settings.store_url(collection.name, settings.store_root(collection, option))
    return open_store(url, encryption=encryption_of(collection))


def named_collection_store(name: str, folder: Path, option: str | None = None) -> ObjectStore:
    """The store of the collection of that name, with its settings where `folder` holds its file.

    Without the file it is what `option` or the environment names, without settings: a machine that only serves has no
    collection files. Raises `ConfigError` when the file is wrong, or is missing and nothing else names the store.
    """
    named = settings.named_store(option)
    if named and not (folder / f"{name}.yaml").is_file():
        return open_store(settings.store_url(name, named))
    try:
        described = load_collection(folder, name)
    except ConfigError as error:
        raise ConfigError(
            f"{error}. Where it cannot wait until that is mended: --collections with an empty folder and --store with "
            f"the store's root go on without the settings of that file"
        ) from error
    return collection_store(described, option)


def backup_store(collection: Collection) -> ObjectStore | None:
    """The store that the collection's releases are copied to, with its encryption; None where none is configured."""
    root = collection.release.backup
    if root is None:
        return None
    encryption = encryption_of(collection) if root.startswith("s3://") else {}  # another medium has another way
    return open_store(settings.store_url(collection.name, root), encryption=encryption)


def encryption_of(collection: Collection) -> dict[str, str]:
    """The collection's server-side encryption settings, as `open_store` takes them."""
    return {str(name): value for name, value in collection.release.encryption.items()}
