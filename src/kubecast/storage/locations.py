"""Locations of files, and how they are recognised: a path, a ``file`` URL, or the URL of a bucket."""

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from kubecast.errors import ConfigError
from kubecast.storage.providers import PROVIDERS

FILE = "file"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_BUCKET = re.compile(r"([a-z0-9]+)://([A-Za-z0-9][A-Za-z0-9._-]{2,62})(?:/([^?#]*))?")
_ALLOWED = "SCHEME://BUCKET[/PREFIX] with the keys in the environment; SCHEME one of " + ", ".join(PROVIDERS)


def scheme_of(location: str) -> str:
    """The scheme of a URL; empty for a path.

    >>> scheme_of("s3://demand/registry"), scheme_of("output/registry")
    ('s3', '')
    """
    match = _SCHEME.match(location)
    return match[1] if match else ""


def local_path(location: str) -> Path | None:
    """The path of a ``file`` URL, or a path itself; None for a URL of another scheme or host.

    >>> local_path("file:///srv/my%20models")
    PosixPath('/srv/my models')
    """
    if not scheme_of(location):
        return Path(location)
    if not re.match(r"file:///[^/]", location):
        return None
    return Path(unquote(location.removeprefix("file://")))


def make_folder(folder: Path) -> None:
    """Make a folder of this machine for what is written, and those above it, where they are not there yet.

    Raises:
        ConfigError: A file is in its place, or in that of one above it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(
            f"{folder}: a file is in the way; allowed: a folder, or where none is yet"
        ) from error


class BucketUrl(NamedTuple):
    """The parts of a bucket's URL; ``str`` puts them together again, without percent signs.

    Attributes:
        scheme: One of ``PROVIDERS``.
        bucket: Its name.
        prefix: The folder in it, without a slash at either end; empty for the whole bucket.
    """

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return "/".join(filter(None, [f"{self.scheme}://{self.bucket}", self.prefix]))


def parse_bucket_url(url: str) -> BucketUrl:
    """Split the URL of a bucket, or of a file or folder in it.

    Raises:
        ConfigError: It is no such URL. It may hold a secret and is not shown.
    """
    match = _BUCKET.fullmatch(url)
    prefix = unquote(match[3] or "").removesuffix("/") if match else ""
    if not match or match[1] not in PROVIDERS or not _is_plain(prefix):
        start = re.match(r"[a-z0-9]+", url)
        raise ConfigError(f"{start[0] if start else ''}://…: allowed: {_ALLOWED}")
    return BucketUrl(match[1], match[2], prefix)


def _is_plain(prefix: str) -> bool:
    segments = prefix.split("/") if prefix else []
    return prefix.isprintable() and not {"", ".", ".."} & set(segments)
