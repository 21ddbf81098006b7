"""The meaning of obstore's errors, as kubecast's own, in one line.

obstore has types for a file that is missing or there already, for a failed condition and for missing rights,
but raises none of them for a listing, and for a store that is down, slow, full or without conditional writes
always the same GenericError. So its words are read.
"""

import re

from obstore.exceptions import AlreadyExistsError, PreconditionError

from kubecast.errors import (
    BucketNotFound,
    Conflict,
    NotFound,
    RegistryError,
    StoreBusy,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreTimeout,
    StoreUnreachable,
    StoreUnsafe,
)

_MEANINGS: tuple[tuple[str, type[RegistryError], str], ...] = (
    (r"<Code>(NoSuchBucket|ContainerNotFound)", BucketNotFound, "has no such bucket"),
    (r"InsufficientStorage|StorageFull|QuotaExceeded|status: 507|No space left", StoreFull, "is full"),
    (r"169\.254\.169\.254|metadata\.google|TokenRequest", StoreForbidden, "was given no credentials"),
    (
        r"status: 40[13]|code: \"?AccessDenied|<Code>(Expired|Invalid)Token",
        StoreForbidden,
        "does not allow this to these credentials",
    ),
    (r"<Code>NotImplemented|status: 501", StoreUnsafe, "knows no conditional writes; allowed: one that does"),
    (r"invalid peer certificate|InvalidContentType", StoreError, "cannot be trusted: its TLS is not valid"),
    (r"kind: Timeout", StoreTimeout, "did not answer in time"),
    (r"kind: (Connect|Request|Interrupted)|body error", StoreUnreachable, "cannot be reached"),
    (
        r"status: (429|500|502|503|504)|<Code>(SlowDown|InternalError|RequestTimeout|ServiceUnavailable)",
        StoreBusy,
        "cannot do it now",
    ),
)
"""The first pattern that occurs decides: a full store may say so with the status of missing rights."""

_CAUSES = (
    r'ConnectError\(\s*"[^"]*",[\s\S]*?(?:message|error): "([^"]+)"',
    r"<Code>(\w+)</Code>",
    r"status code: (\d+ [A-Za-z ]+)",
    r"(IncompleteMessage|InvalidContentType|UnknownIssuer|body error)",
)


def translate(error: Exception, url: str, store: str) -> RegistryError:
    """The error to raise in place of one of obstore's.

    Args:
        error: As obstore raised it.
        url: Of the file, for the message.
        store: The store and its bucket, for the message.
    """
    if isinstance(error, AlreadyExistsError | PreconditionError):
        return Conflict(f"{url}: another writer was faster")
    text = str(error)
    kind, meaning = _classify(error, text)
    if kind is NotFound:
        return NotFound(f"{url}: no such file")
    return kind(f"{url}: {store} {meaning}{_cause(text)}{_tries(text)}")


def _classify(error: Exception, text: str) -> tuple[type[RegistryError], str]:
    for pattern, kind, meaning in _MEANINGS:
        if re.search(pattern, text):
            return kind, meaning
    if isinstance(error, FileNotFoundError):
        return NotFound, "has no such file"
    return StoreError, "failed"


def _cause(text: str) -> str:
    matches = (re.search(pattern, text) for pattern in _CAUSES)
    return next((f": {match[1].strip()}" for match in matches if match), "")


def _tries(text: str) -> str:
    match = re.search(r"after (\d+) retries", text)
    return f", after {int(match[1]) + 1} tries" if match else ""
