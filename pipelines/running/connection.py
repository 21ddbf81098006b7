"""Connection to Kubeflow Pipelines: its address and the caller's credentials."""

import os
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3

from kubecast.config.schedules import COOKIES_VARIABLE, TOKEN_VARIABLE, ConnectionSettings, check_address
from kubecast.errors import ConfigError

IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")

_VISIBLE = frozenset(string.ascii_letters + string.digits + string.punctuation)


@dataclass(frozen=True)
class Connection:
    """Address of Kubeflow Pipelines and the caller's credentials; its repr holds no secret.

    Attributes:
        host: Address of the API, with no slash at its end.
        dashboard: Address that links begin with.
        namespace: The profile, where Kubeflow has several users.
        timeout: Seconds that one request may take.
        ca_file: PEM certificates that sign the host's.
        token: A bearer token.
        token_file: File of a bearer token that is read again for each request.
        cookies: As the Cookie header holds them.
    """

    host: str
    dashboard: str
    namespace: str | None = None
    timeout: float = 30.0
    ca_file: str | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    cookies: str = field(default="", repr=False)

    def api(self) -> Any:
        """The generated client, with these credentials."""
        configuration = kfp_server_api.Configuration(host=self.host)
        configuration.ssl_ca_cert = self.ca_file
        # A redirect leads to a page for people to log in on.
        configuration.retries = urllib3.Retry(
            connect=2, read=0, redirect=0, other=0, raise_on_redirect=False, backoff_factor=0.1
        )
        if self.token or self.token_file:
            configuration.api_key["authorization"] = self.token
            configuration.api_key_prefix["authorization"] = "Bearer"
        if self.token_file:
            configuration.refresh_api_key_hook = _reader(self.token_file)
        return kfp_server_api.ApiClient(configuration, cookie=self.cookies or None)


def connect(
    settings: ConnectionSettings, environment: Mapping[str, str] = os.environ, pod_token: Path = POD_TOKEN
) -> Connection:
    """Complete the settings with what the environment holds.

    A token or cookies come from KUBECAST_KFP_TOKEN, ``token_file`` or KUBECAST_KFP_COOKIES; in a pod that has
    none of them, from the token that Kubernetes projects for Kubeflow Pipelines, where there is one.

    Raises:
        ConfigError: There is no host, or a file or variable cannot be used.
    """
    host = settings.host or (IN_CLUSTER if "KUBERNETES_SERVICE_HOST" in environment else None)
    if host is None:
        raise ConfigError(
            "no Kubeflow Pipelines to talk to; set --host, KUBECAST_KFP_HOST or cluster.connection.host,"
            " e.g. http://localhost:8080 with kubectl port-forward"
        )
    check_address(host, "host")
    dashboard = settings.dashboard or host
    check_address(dashboard, "dashboard")
    token = environment.get(TOKEN_VARIABLE, "").strip()
    cookies = environment.get(COOKIES_VARIABLE, "").strip()
    _check_header(token, TOKEN_VARIABLE)
    _check_header(cookies, COOKIES_VARIABLE, also=" ")
    token_file = Path(settings.token_file) if settings.token_file and not token else None
    if token_file:
        _check_readable(token_file, "token_file")
    elif not token and not cookies and pod_token.is_file():
        token_file = pod_token
    if settings.ca_file:
        _check_readable(Path(settings.ca_file), "ca_file")
    return Connection(
        host=host,
        dashboard=dashboard,
        namespace=settings.namespace,
        timeout=settings.timeout,
        ca_file=settings.ca_file,
        token=token,
        token_file=token_file,
        cookies=cookies,
    )


def _reader(path: Path) -> Callable[[Any], None]:
    # Imported here: with kfp.client it takes as long as all else that `kubecast status` does.
    from kfp.client import ServiceAccountTokenVolumeCredentials

    credentials = ServiceAccountTokenVolumeCredentials(str(path))

    def refresh(configuration: Any) -> None:
        credentials.refresh_api_key_hook(configuration)
        _check_header(configuration.api_key["authorization"], str(path))

    return refresh


def _check_header(value: str, where: str, also: str = "") -> None:
    """Refuse what no header can hold, before a message of the HTTP client quotes it."""
    if not _VISIBLE.union(also).issuperset(value):
        raise ConfigError(
            f"{where}: holds a blank, a line break or another character that no header can hold"
        )


def _check_readable(path: Path, key: str) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(f"{key} {path}: cannot be read ({error.strerror})") from error
