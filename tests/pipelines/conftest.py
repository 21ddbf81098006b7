"""What every test of `tests/pipelines` needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi


@pytest.fixture(scope="module", autouse=True)
def yaml_read_by_c() -> Iterator[None]:
    """Compiled pipelines are read in most of these tests; libyaml reads the same ten times as fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "SafeLoader", yaml.CSafeLoader)
        yield


@pytest.fixture(autouse=True)
def no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the cluster of whoever runs it."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    """A cluster that the kubeconfig names, and that has nothing yet."""
    with KubernetesApi() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
        yield server


@pytest.fixture
def kfp() -> Iterator[KfpApi]:
    """Kubeflow Pipelines that has nothing yet."""
    with KfpApi() as server:
        yield server


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    """A cluster that the kubeconfig names, and that has nothing yet; its store cannot be reached."""
    for name in ("KUBECAST_MINIO_ENDPOINT", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with KubernetesApi() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig", "default")))
        yield server
