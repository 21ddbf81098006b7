"""The names a registry accepts: of aliases and versions, and the paths inside a version."""

import re
import secrets
from datetime import UTC, datetime
from pathlib import PurePosixPath

from kubecast.errors import InvalidName
from kubecast.names import check_name

LATEST = "latest"
CHAMPION = "champion"
VERSION_PATTERN = re.compile(r"[0-9]{8}T[0-9]{12}Z-[0-9a-f]{8}")

_TIME_FORMAT = "%Y%m%dT%H%M%S%fZ"
_UNSAFE_SUFFIXES = frozenset({".pkl", ".pickle", ".joblib", ".h5"})
_MAX_PATH_BYTES = 512  # with the longest name and the version in front, still within S3's 1,024


def check_alias(alias: str) -> str:
    """Return the alias unchanged, or raise InvalidName; `latest` is derived and cannot be set."""
    check_name(alias, "alias")
    if alias.lower() == LATEST:
        raise InvalidName(f"alias {alias!r} is reserved: it always means the newest version")
    if VERSION_PATTERN.fullmatch(alias):
        raise InvalidName(f"alias {alias!r} is shaped like a version; allowed: a word such as 'champion'")
    return alias


def check_version(version: str) -> str:
    """Return the version id unchanged, or raise InvalidName."""
    if not is_version(version):
        raise InvalidName(f"version {version!r:.200}; allowed: a version id, as `kubecast models list` shows")
    return version


def split_reference(reference: str) -> tuple[str, str | None]:
    """Take `NAME` or `NAME@SELECTOR` apart; the name is checked, the selector is not.

    Raises:
        InvalidName: The name is not allowed.
    """
    name, separator, selector = reference.partition("@")
    return check_name(name), selector if separator else None


def is_version(text: str) -> bool:
    """Tell whether the text is a version id, such as `20261123T181500123456Z-0f3c9a1b`."""
    if not VERSION_PATTERN.fullmatch(text):
        return False
    try:
        version_time(text)
    except ValueError:
        return False
    return True


def version_time(version: str) -> datetime:
    """Return the time in a version id, in UTC."""
    return datetime.strptime(version.partition("-")[0], _TIME_FORMAT).replace(tzinfo=UTC)


def new_version(time: datetime, idempotency_key: str) -> str:
    """Make a version id of its time, four digits of its bundle's key and four random digits.

    The key's digits show which few manifests to read when a publish is retried; the random ones keep apart
    two writers of one bundle in one microsecond.
    """
    return f"{time.strftime(_TIME_FORMAT)}-{idempotency_key[:4]}{secrets.token_hex(2)}"


def may_hold(version: str, idempotency_key: str) -> bool:
    """Tell whether a version can be of the bundle with this key."""
    return version.partition("-")[2].startswith(idempotency_key[:4])


def path_fault(path: str) -> str | None:
    """Say why a file's path inside a version is not allowed; None when it is."""
    if not path.isprintable() or set(path) & {"\\", "#"}:
        return "has a control character, a backslash or a '#'"
    if any(segment in {"", ".", ".."} for segment in path.split("/")):
        return "is not a plain relative path"
    if len(path.encode()) > _MAX_PATH_BYTES:
        return f"is over {_MAX_PATH_BYTES} bytes long"
    if _UNSAFE_SUFFIXES & {suffix.lower() for suffix in PurePosixPath(path).suffixes}:
        return f"is of a kind that can run code when loaded ({', '.join(sorted(_UNSAFE_SUFFIXES))})"
    return None
