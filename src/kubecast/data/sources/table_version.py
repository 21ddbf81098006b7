"""Tables that keep their versions: ``LOCATION@VERSION``, and the digest, which is ``KIND-ID@VERSION``."""

import re


def split_version(location: str) -> tuple[str, int | None]:
    """The location of a table and the version that is asked for; None for the newest.

    >>> split_version("s3://lake/sales@12"), split_version("s3://lake/sales")
    (('s3://lake/sales', 12), ('s3://lake/sales', None))
    """
    match = re.fullmatch(r"(.+)@(\d{1,19})", location)
    return (match[1], int(match[2])) if match else (location, None)


def table_digest(kind: str, identity: str, version: int) -> str:
    """The digest of a table at a version."""
    return f"{kind}-{identity}@{version}"


def expected_version(digest: str | None, kind: str, identity: str) -> int | None:
    """The version that a digest names, so that a table which has gone on is read as it was; None for any.

    >>> expected_version("delta-6f1c@12", "delta", "6f1c"), expected_version("delta-6f1c@12", "delta", "0a2b")
    (12, None)
    """
    table, version = split_version(digest or "")
    return version if table == f"{kind}-{identity}" else None
