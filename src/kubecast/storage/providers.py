"""The kinds of object stores, one entry for each: how obstore connects to a bucket, and what sets it apart.

Who may use a bucket is in the environment, never in its URL: `docs/reference/environment.md` lists the
variables.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, S3Store

from kubecast.errors import ConfigError

Connection = tuple[str, Any]
"""A store's endpoint, for messages, and obstore's client of one bucket."""

_MINIO_ENDPOINT = "http://seaweedfs.kubeflow:9000"  # of Kubeflow Pipelines, which gives minio:// no address
_PORT_FORWARD = (
    "outside the cluster: `kubectl --namespace kubeflow port-forward service/seaweedfs 9000` and"
    " KUBECAST_MINIO_ENDPOINT=http://localhost:9000"
)
_AWS_HEADERS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_REGION", "AWS_DEFAULT_REGION"),
)
_AWS_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


@dataclass(frozen=True)
class Provider:
    """A kind of object store.

    Attributes:
        connect: From a bucket, a prefix (None: the whole bucket) and obstore's options to a connection;
            raises ConfigError, or obstore's own errors, where the environment does not suffice.
        tag_name: The metadata of a file that a conditional write compares.
        outside_cluster: How a store that is inside a cluster is reached from outside; empty for others.
    """

    connect: Callable[[str, str | None, dict[str, Any]], Connection]
    tag_name: str = "e_tag"
    outside_cluster: str = ""


def _connect_s3(bucket: str, prefix: str | None, options: dict[str, Any]) -> Connection:
    named = (os.environ.get(name) for name in _AWS_ENDPOINTS)
    endpoint = next(filter(None, named), f"https://s3.{_region()}.amazonaws.com")
    allowed = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1")
    return _connect_aws(bucket, prefix, options, endpoint, allow_http=allowed)


def _connect_minio(bucket: str, prefix: str | None, options: dict[str, Any]) -> Connection:
    endpoint = os.environ.get("KUBECAST_MINIO_ENDPOINT") or _MINIO_ENDPOINT
    return _connect_aws(bucket, prefix, options, endpoint, allow_http=True)


def _connect_google(bucket: str, prefix: str | None, options: dict[str, Any]) -> Connection:
    return "https://storage.googleapis.com", GCSStore(bucket, prefix=prefix, **options)


def _connect_azure(bucket: str, prefix: str | None, options: dict[str, Any]) -> Connection:
    account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    return f"https://{account}.blob.core.windows.net", AzureStore(bucket, prefix=prefix, **options)


PROVIDERS = {
    "s3": Provider(_connect_s3),
    "gs": Provider(_connect_google, tag_name="version"),
    "az": Provider(_connect_azure),
    "minio": Provider(_connect_minio, outside_cluster=_PORT_FORWARD),
}
"""The kinds of object stores by the scheme of their URLs."""


def _connect_aws(
    bucket: str, prefix: str | None, options: dict[str, Any], endpoint: str, *, allow_http: bool
) -> Connection:
    _check_headers()
    plain = _check_endpoint(endpoint) == "http"
    if plain and not allow_http:
        raise ConfigError(f"object store {endpoint} without TLS; allowed: https://…, or AWS_ALLOW_HTTP=true")
    client_options = {**options["client_options"], "allow_http": plain}
    options = {**options, "client_options": client_options}
    return endpoint, S3Store(bucket, prefix=prefix, endpoint=endpoint, region=_region(), **options)


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _check_headers() -> None:
    """Refuse what fits in no header: obstore panics on it. A Secret made from a file ends in a line break."""
    for name in _AWS_HEADERS:
        value = os.environ.get(name, "")
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(f"{name} holds a line break or another character that is in no key")


def _check_endpoint(endpoint: str) -> str:
    """Return the scheme of an endpoint."""
    parts = urlsplit(endpoint)
    if (
        not endpoint.isprintable()
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or "@" in endpoint
        or parts.query
    ):
        raise ConfigError("the object store's endpoint; allowed: http(s)://HOST[:PORT], with no key in it")
    return parts.scheme
