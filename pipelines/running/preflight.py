"""Preflight checks of a run: refuse before anything is made on a cluster what would fail there later."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubecast.config.schedules import ConnectionSettings, Mode, check_address
from kubecast.data.sources.postgresql import check_url, is_postgresql
from kubecast.errors import ClusterError, ClusterForbidden, ConfigError, DataError
from kubecast.pipelines.running.defaults import (
    LEVEL,
    PIPELINE_ACCOUNT,
    PROFILE_ACCOUNT,
    account_of,
    missing_account,
    namespace_of,
)
from kubecast.pipelines.running.gpu_nodes import check_gpu_nodes
from kubecast.pipelines.running.katib import refuses_early_stopping
from kubecast.pipelines.running.kubernetes import Kubernetes
from kubecast.pipelines.running.submitting import Compiled
from kubecast.pipelines.tuning import settings_of_mode
from kubecast.settings.cluster import ClusterSettings
from kubecast.settings.loading import AllSettings
from kubecast.storage.locations import parse_bucket_url

LOCATIONS = ("data", "registry", "destination", "future")
"""Parameters of the pipelines that name files or folders."""

DATA = ("data", "future")
"""Those that may be a database too."""

OPTIONAL = ("registry", "future")
"""Locations that may be empty."""

_ALLOWED = "s3://, gs://, az:// or minio://BUCKET/PATH"

ON_THE_CLUSTER = ["Kubeflow Pipelines", "service account", "GPU nodes", "Pod Security"]
"""What ``submit`` cannot check without the cluster."""

MAX_RUN_NAME = 255  # characters of its column
TIMEOUT = 5.0  # seconds; who cannot ask Kubernetes waits no longer for it


def check_run(settings: AllSettings, compiled: Compiled, parameters: Mapping[str, Any], where: str) -> None:
    """Refuse a run whose pods could not find their files, or could not start.

    Args:
        settings: Settings files.
        compiled: The pipeline.
        parameters: Over the defaults in the compiled file.
        where: They come from, for messages, e.g. ``--param ``.

    Raises:
        ConfigError: In one line, with the cure.
    """
    connection = settings.cluster.connection
    for key, address in (("host", connection.host), ("dashboard", connection.dashboard)):
        check_address(address or "", f"cluster.connection.{key}")
    _check_locations(settings, compiled, parameters, where)
    _check_images(settings.cluster, compiled)


def images_of(compiled: Compiled) -> list[str]:
    """The images of a pipeline's tasks, by name."""
    executors = compiled.spec["deploymentSpec"]["executors"].values()
    return sorted({executor["container"]["image"] for executor in executors})


def unnamed_images(cluster: ClusterSettings, images: Iterable[str]) -> list[str]:
    """Images that the settings name no registry for, so that nodes would look on Docker Hub."""
    return [image for image in images if "/" not in image and image.partition(":")[0] not in cluster.images]


def check_name(name: str) -> None:
    """Refuse the name of a run that Kubeflow Pipelines cannot hold.

    Raises:
        ConfigError: It is too long.
    """
    if len(name) > MAX_RUN_NAME:
        raise ConfigError(f"--name {name[:20]}…: {len(name)} characters; allowed: {MAX_RUN_NAME}")


def check_cluster(settings: AllSettings, modes: Iterable[Mode]) -> None:
    """Refuse what the cluster could not run, as far as the caller may see it.

    Args:
        settings: Settings files.
        modes: Of the runs.

    Raises:
        ConfigError: In one line, with the cure.
    """
    connection = settings.cluster.connection
    kubernetes, level = _kubernetes(connection)
    _check_account(connection, kubernetes)
    if kubernetes is None:
        return
    fitting = [mode for mode in modes if mode != "score"]
    if fitting:
        check_gpu_nodes(settings, kubernetes)
    for mode in fitting:
        if refuses_early_stopping(settings_of_mode(settings, mode, on_cluster=True), level):
            raise ConfigError(
                f"cluster.katib.early_stopping median: namespace {namespace_of(connection)} has the label"
                f" {LEVEL}: {level}, which refuses Katib's container early-stopping; allowed: none, with"
                " --set cluster.katib.early_stopping=none, or a namespace that enforces baseline"
            )


def _kubernetes(connection: ConnectionSettings) -> tuple[Kubernetes | None, str]:
    """The API server, and the level of Pod Security that the runs' namespace enforces.

    None where it, or the namespace in it, cannot be seen: a namespace that is not there means that the
    kubeconfig speaks of another cluster than that of Kubeflow Pipelines. The level is empty where there is
    none, or where the namespace may not be read: a search that it refuses then ends within a minute.
    """
    try:
        kubernetes = Kubernetes.connect(connection.context, TIMEOUT)
        namespace = kubernetes.get(f"/api/v1/namespaces/{namespace_of(connection)}")
    except ClusterForbidden:
        return kubernetes, ""
    except ClusterError:
        return None, ""
    return kubernetes, (namespace["metadata"].get("labels") or {}).get(LEVEL, "")


def _check_account(connection: ConnectionSettings, kubernetes: Kubernetes | None) -> None:
    """Refuse a service account that is not there, by Kubernetes where the caller may list them.

    For a single user Kubeflow Pipelines brings an account of its own; for several each Profile has one, and
    other namespaces have none.
    """
    namespace, account = namespace_of(connection), account_of(connection)
    host, there = _accounts(kubernetes, namespace)
    if there and account not in there:
        detail, mend = missing_account(connection, account)
        raise ConfigError(f"{detail} of {host}; allowed: {', '.join(sorted(there))}; {mend}")
    if not there and connection.service_account is None and account == PROFILE_ACCOUNT:
        raise ConfigError(
            f"cluster.connection.service_account is not set, and whether namespace {namespace} has"
            f" {account} cannot be seen; set {PIPELINE_ACCOUNT}, which the manifests make, or {account} in a"
            " Profile"
        )


def _check_locations(
    settings: AllSettings, compiled: Compiled, parameters: Mapping[str, Any], where: str
) -> None:
    declared = compiled.spec["root"]["inputDefinitions"]["parameters"]
    locations = {
        f"{where}{name}": parameters[name]
        for name in LOCATIONS
        if name in parameters and (parameters[name] or name not in OPTIONAL)
    }
    if not parameters.get("registry"):
        locations["training.model_registry.path"] = settings.training.model_registry.path
    if "destination" in declared:
        locations |= {"cluster.work.url": url} if (url := settings.cluster.work.url) else {}
    elif settings.training.checkpoint_url:
        locations["training.checkpoint_url"] = settings.training.checkpoint_url
    for key, location in locations.items():
        database = key.removeprefix(where) in DATA and is_postgresql(str(location))
        (_check_database if database else _check_location)(key, str(location))


def _check_database(key: str, location: str) -> None:
    try:
        check_url(location)
    except DataError as error:
        raise ConfigError(f"{key}: {error}") from error


def _check_location(key: str, location: str) -> None:
    if not location:
        raise ConfigError(f"{key}: is empty; allowed: {_ALLOWED}")
    if "://" not in location or location.startswith("file:"):
        raise ConfigError(
            f"{key}: {location} is a path, and pods do not see this machine's files; allowed: {_ALLOWED}"
        )
    try:
        parse_bucket_url(location)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error


def _check_images(cluster: ClusterSettings, compiled: Compiled) -> None:
    for image in unnamed_images(cluster, images_of(compiled)):
        raise ConfigError(
            f"cluster.image_repository is not set, so nodes would look for {image} on Docker Hub; set it and"
            " image_tag as `make push` prints them, or cluster.images; `localhost` where the nodes have the"
            " images already"
        )


def _accounts(kubernetes: Kubernetes | None, namespace: str) -> tuple[str, set[str]]:
    """The API server's address, and the service accounts of a namespace; none where they cannot be seen.

    Every namespace has ``default``: without it, this is another cluster than that of Kubeflow Pipelines.
    """
    if kubernetes is None:
        return "", set()
    try:
        accounts = kubernetes.list(f"/api/v1/namespaces/{namespace}/serviceaccounts")
    except ClusterError:
        return "", set()
    names = {each["metadata"]["name"] for each in accounts}
    return kubernetes.host, names if "default" in names else set()
