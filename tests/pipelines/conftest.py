"""What every test of `tests/pipelines` needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kfp_api import KfpApi
from tests.kubernetes_api import KubernetesApi


@pytest.fixture(autouse=True)
def no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the cluster of whoever runs it."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


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
