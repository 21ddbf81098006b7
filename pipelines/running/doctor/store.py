"""Check of the object store: one object is put at each URL of the settings, read and deleted."""

import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from urllib.parse import urlsplit

from kubecast.errors import (
    BucketNotFound,
    ConfigError,
    RegistryError,
    StoreForbidden,
    StoreTimeout,
    StoreUnreachable,
)
from kubecast.masking import masked
from kubecast.pipelines.running.doctor.context import Context
from kubecast.pipelines.running.doctor.findings import Finding, missing, not_known, ok
from kubecast.retrying import Budget, spending
from kubecast.storage.bucket import Deadlines, ObjectStore
from kubecast.storage.locations import scheme_of
from kubecast.storage.providers import PROVIDERS

CONTENT = b"kubecast doctor"

_WAIT = timedelta(seconds=5)
_DEADLINES = Deadlines(connect_timeout=_WAIT, read_timeout=_WAIT, retry_timeout=_WAIT, max_retries=1)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "KUBECAST_MINIO_ENDPOINT")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_SERVICE = re.compile(r"(?P<name>[a-z0-9-]+)(\.(?P<namespace>[a-z0-9-]+)(\.svc(\.cluster\.local)?)?)?")


def check_store(context: Context) -> Finding:
    """Check that the bucket of the registry, and that of runs' work, takes, returns and deletes an object."""
    settings = context.settings
    urls = {"training.model_registry.path": settings.training.model_registry.path}
    if settings.cluster.work.url:
        urls["cluster.work.url"] = settings.cluster.work.url
    found = [_check_url(context, key, url) for key, url in urls.items()]
    worse = next((each for each in found if each.state != "ok"), None)
    return worse or ok("; ".join(each.detail for each in found))


def _check_url(context: Context, key: str, url: str) -> Finding:
    scheme = scheme_of(url)
    if scheme not in PROVIDERS:
        return missing(
            f"{key} {masked(url)} is a folder of the pod, which is gone with it",
            f"set {key}: s3://BUCKET/{'registry' if key.startswith('training.') else 'work'}",
        )
    # Somebody waits in front of a terminal: no second try.
    with _environment(context.settings.cluster.environment), spending(Budget(0.0)):
        try:
            store = ObjectStore(url, _DEADLINES)
            _put_and_delete(store)
        except BucketNotFound as error:
            return missing(str(error), f"make the bucket, e.g. aws s3 mb s3://{urlsplit(url).netloc}")
        except (StoreForbidden, StoreUnreachable, StoreTimeout) as error:
            return _unused(context, scheme, error)
        except (ConfigError, RegistryError) as error:
            return missing(str(error), "see docs/registry-stores.md")
    return ok(f"{url} takes, returns and deletes an object")


def _put_and_delete(store: ObjectStore) -> None:
    path = f".doctor-{uuid.uuid4().hex}"
    try:
        store.write(path, [CONTENT])
        if store.read(path)[0] != CONTENT:
            raise RegistryError(f"{store.url}/{path}: holds other bytes than were put there")
    except RegistryError:
        with suppress(RegistryError):  # the first one says more
            store.remove(path)
        raise
    store.remove(path)


def _unused(context: Context, scheme: str, error: RegistryError) -> Finding:
    """A store that cannot be used from here: a pod has other keys and another network."""
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    if scheme in ("s3", "minio") and not in_pod and not os.environ.get(_KEYS[0]):
        detail = "no keys of the store are in this environment; pods have their own"
        return not_known(detail, _exports(context))
    if isinstance(error, StoreForbidden):
        return missing(str(error), "the keys need the rights to put, get, list and delete in the bucket")
    if in_pod:
        return missing(str(error), f"kubectl --namespace {context.namespace} get networkpolicies")
    return not_known(f"not from here; pods may reach it: {error}", _forward(context, scheme, str(error)))


def _exports(context: Context) -> str:
    """Commands that take the keys from the Secret that pods take them from."""
    template = "go-template='{{index .data \"KEY\" | base64decode}}'"
    exports = [
        f"export {variable}=$(kubectl --namespace {context.namespace} get secret {secret.secret}"
        f" --output {template.replace('KEY', key)})"
        for secret in context.settings.cluster.secrets
        for variable, key in secret.variables.items()
        if variable in _KEYS
    ]
    return "; ".join(exports) or f"export {' '.join(f'{name}=…' for name in _KEYS)}"


def _forward(context: Context, scheme: str, error: str) -> str:
    """The port-forward to a service of the cluster that the error names."""
    url = re.search(r"https?://[^\s/]+", error)
    address = urlsplit(url[0]) if url else None
    service = _SERVICE.fullmatch(address.hostname or "") if address else None
    if not address or not service or service["name"] == "localhost":
        return ""
    port = address.port or 80
    local = f"http://localhost:{port}"
    variables = (
        f"KUBECAST_MINIO_ENDPOINT={local}"
        if scheme == "minio"
        else f"AWS_ENDPOINT_URL={local} AWS_ALLOW_HTTP=true"
    )
    return (
        f"kubectl --namespace {service['namespace'] or context.namespace} port-forward"
        f" service/{service['name']} {port}:{port} & export {variables}"
    )


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The plain variables of the tasks, below this process's own: its address of the store may be another."""
    named = {name for name in _ENDPOINTS if name in os.environ}
    below = {
        name: value
        for name, value in variables.items()
        if name not in os.environ and not (named and name in _ENDPOINTS)
    }
    os.environ.update(below)
    try:
        yield
    finally:
        for name in below:
            del os.environ[name]
