"""Every error that Slipway raises on purpose, named by what its reader does next.

SlipwayError
├── InputError          fix the configuration or the input, then run again     (exit status 2)
│   ├── ConfigError         a file, a field, a value, and what was expected
│   ├── ConnectionMissing   no connection of that name is configured
│   ├── SourceSchemaError   a table, column or file that the collection names is not there
│   ├── SourceDenied        a source refused the login, or the permission to read
│   ├── EncoderError        a model that is missing, altered, or of another dimension
│   ├── ServiceDenied       an embedding service refused the key, the model or the request
│   └── GoldenError         a golden file that cannot be judged with
├── Refused             look at what was refused; the live release is untouched  (exit status 1)
│   ├── SourceRefused       a source returned nothing, or far less than it should
│   ├── BreakerTripped      a run that would remove, change or reject more than the configured share
│   ├── BudgetExceeded      a run that would embed more than the configured budget
│   ├── ReconcileRefused    documents, chunks, vectors and index do not hold the same ids
│   ├── IndexRefused        vectors that cannot carry the index asked for
│   │   └── ContractRefused     no index keeps the contract asked for
│   ├── GateRefused         a candidate that failed a gate
│   ├── NotApproved         a candidate that a person rejected, or that nobody approved in time
│   ├── ReleaseRefused      a release that is not whole, failed its smoke queries, or is stale
│   │   └── LostRace            somebody else changed serving.json at the same moment
│   └── UntrustedRelease    a release that no trusted key signed, to a reader that wants signatures
└── OperationError      the machine or a service failed                          (exit status 3)
    ├── TransientError      try again: nothing was changed
    │   ├── StoreUnreachable    the object store did not answer
    │   ├── ServiceUnreachable  an embedding service did not answer, or wants less at once
    │   ├── StaleRead           the object store shows an older state than was seen before
    │   ├── RunInProgress       another run is at work on the collection
    │   └── SourceInterrupted   a source failed half-way
    ├── ConflictError       somebody else was first: read again, then decide
    ├── StateUnknown        the outcome cannot be known: read again, delete nothing
    ├── ObjectMissing       an object that should be in the store is not
    ├── CorruptObject       an object whose checksum is not the manifest's: restore it
    ├── StoreDenied         the store refused the credentials or the action
    ├── DiskFull            free some space, then run again
    └── MemoryExceeded      building an index took more memory than it may: give it more, or more shards
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class SlipwayError(Exception):
    """Base of all errors raised on purpose. `exit_status` is what the command line returns for it.

    `result` is what a run had done when it failed (see slipway.result); None where no run was at work.
    """

    exit_status = 3
    result: dict[str, Any] | None = None


class InputError(SlipwayError):
    """The configuration or the input is wrong; running again without a change cannot help."""

    exit_status = 2


class ConfigError(InputError):
    """A configuration file is wrong. The message names file, field, value and what was expected."""


class ConnectionMissing(InputError):
    """A collection names a connection that is not configured."""


class SourceSchemaError(InputError):
    """A table, column, path or file that the collection names does not exist in the source."""


class SourceDenied(InputError):
    """A source refused the login, or the permission to read what the collection names."""


class EncoderError(InputError):
    """The encoder's model is missing, was altered, or makes vectors of another dimension."""


class ServiceDenied(InputError):
    """An embedding service refused the API key, the model or the request; asking again cannot help."""


class GoldenError(InputError):
    """The golden file is missing or malformed."""


class Refused(SlipwayError):
    """A check said no. Nothing was released and the live release is untouched."""

    exit_status = 1


class SourceRefused(Refused):
    """A source returned nothing although it is not declared to be empty."""


class BreakerTripped(Refused):
    """The run would remove, change or reject a larger share of documents than the collection allows."""


class BudgetExceeded(Refused):
    """The run would embed more than the collection's budget allows."""


class ReconcileRefused(Refused):
    """Snapshot, chunks, vectors, index and payload do not hold the same ids; the message names the first."""


class IndexRefused(Refused):
    """The vectors at hand cannot carry the index that was asked for."""


class ContractRefused(IndexRefused):
    """No index keeps the contract. `tried` is what was tried and left out for it (slipway.index.contract.Tried)."""

    def __init__(self, message: str, tried: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.tried = tuple(tried)


class GateRefused(Refused):
    """At least one gate failed; the message lists each with its value and its threshold."""


class NotApproved(Refused):
    """A person rejected the candidate, or nobody approved it in time."""


class ReleaseRefused(Refused):
    """The candidate may not go live: not whole, smoke queries failed, or a newer release is live."""


class LostRace(ReleaseRefused):
    """Somebody else changed serving.json at the same moment, and nothing was changed by this swap."""


class UntrustedRelease(Refused):
    """A reader trusts certain keys, and none of them signed this release as it lies in the store."""


class OperationError(SlipwayError):
    """The machine or a service failed."""


class TransientError(OperationError):
    """Nothing was changed; trying again is safe and may help."""


class StoreUnreachable(TransientError):
    """The object store did not answer."""


class ServiceUnreachable(TransientError):
    """An embedding service did not answer, failed, or wants fewer requests than it was sent."""


class StaleRead(TransientError):
    """The store shows an older state of an object than was seen before; it is not acted on."""


class RunInProgress(TransientError):
    """Another run is at work on the collection; this one may begin when it has ended."""


class SourceInterrupted(TransientError):
    """A source failed half-way. What was read of it is not used."""


class ConflictError(OperationError):
    """A conditional write lost: somebody else changed the object first. Read again, then decide."""


class StateUnknown(OperationError):
    """A conditional write may or may not have landed. Read again; delete nothing."""


class ObjectMissing(OperationError):
    """An object that should be in the store is not there."""


class CorruptObject(OperationError):
    """An object's size or checksum is not the one its manifest names."""


class StoreDenied(OperationError):
    """The store refused the credentials or the action."""


class DiskFull(OperationError):
    """No space is left on the device that was written to."""


class MemoryExceeded(OperationError):
    """Building an index took more memory than it may."""


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn "no space left" of any library into `DiskFull`, naming the file where the library names it."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = error.filename or os.environ.get("SLIPWAY_SCRATCH") or "the scratch folder (SLIPWAY_SCRATCH)"
        raise DiskFull(
            f"no space left on the device of {where}; free some, then run again: finished work is kept"
        ) from error
