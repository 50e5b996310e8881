"""Which collection a page is about."""

from __future__ import annotations

import re

from slipway_airflow.runs import NIGHTLY, REINDEX, dag_id

KINDS = (NIGHTLY, REINDEX)  # of DAGs whose runs have a result or a report
_COLLECTION = re.compile(r"[a-z][a-z0-9_]{0,62}")


def collection_of(dag: str) -> str | None:
    """The collection whose runs a DAG's pages show, or None: the page's address can be anything."""
    name, _, kind = dag.rpartition("__")
    return name if kind in KINDS and is_collection(name) else None


def is_collection(name: str) -> bool:
    """Whether `name` can be a collection's. What cannot is no part of a key in the store either."""
    return _COLLECTION.fullmatch(name) is not None


def dag_of(collection: str) -> str:
    """The DAG whose readers may see a collection."""
    return dag_id(collection, NIGHTLY)
