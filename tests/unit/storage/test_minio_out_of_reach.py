"""`minio://` is inside a cluster: outside of it the error says how to get there."""

from datetime import timedelta

import pytest

from kubecast.errors import StoreUnreachable
from kubecast.storage.bucket import Deadlines, ObjectStore

ONCE = Deadlines(connect_timeout=timedelta(seconds=1), max_retries=0, retry_timeout=timedelta(0))
HINT = "kubectl --namespace kubeflow port-forward service/seaweedfs 9000"


@pytest.fixture(autouse=True)
def closed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("KUBECAST_MINIO_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def error(url: str) -> str:
    with pytest.raises(StoreUnreachable) as caught:
        ObjectStore(url, ONCE).list_files("")
    return str(caught.value)


def test_on_a_laptop_the_error_names_the_port_forward_and_the_variable() -> None:
    message = error("minio://mlpipeline/registry")
    assert HINT in message
    assert "KUBECAST_MINIO_ENDPOINT=http://localhost:9000" in message
    assert "\n" not in message


def test_in_a_cluster_and_for_other_stores_there_is_no_port_to_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert HINT not in error("s3://demand/registry")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert HINT not in error("minio://mlpipeline/registry")
