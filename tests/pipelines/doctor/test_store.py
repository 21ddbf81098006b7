"""What `kubecast doctor` says of the store."""

import os

import pytest

from tests.pipelines.doctor.clusters import Examine

pytestmark = pytest.mark.slow


def test_registry_on_the_pods_own_disk(examined: Examine) -> None:
    line = examined("training.model_registry.path=/app/models")["store"]
    assert (line.state, line.mend) == ("missing", "set training.model_registry.path: s3://BUCKET/registry")


def test_folder_of_the_runs_work_is_checked_where_it_is_set(examined: Examine) -> None:
    line = examined("cluster.work.url=/app/work")["store"]
    assert line.detail == "cluster.work.url /app/work is a folder of the pod, which is gone with it"
    assert (line.state, line.mend) == ("missing", "set cluster.work.url: s3://BUCKET/work")
    assert examined("cluster.work.url=s3://no-such-bucket/work")["store"].mend.endswith("s3://no-such-bucket")
    url = examined()["store"].detail.partition(" ")[0]
    both = examined(f"cluster.work.url={url}/work")["store"]
    does = "takes, returns and deletes an object"
    assert (both.state, both.detail) == ("ok", f"{url} {does}; {url}/work {does}")


def test_password_in_the_url_of_a_file_is_not_shown(examined: Examine) -> None:
    line = examined("training.model_registry.path=file://me:secret@host/models")["store"]
    assert "path file://***@host/models is a folder of the pod" in line.detail


def test_bucket_that_is_not_there(examined: Examine) -> None:
    line = examined("training.model_registry.path=s3://no-such-bucket/registry")["store"]
    assert line.state == "missing"
    assert line.mend.endswith("aws s3 mb s3://no-such-bucket")


def test_store_that_refuses_the_keys(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    line = examined()["store"]
    assert line.state == "missing"
    assert "rights to put, get, list and delete" in line.mend


def test_no_keys_of_the_store_from_here_are_those_of_the_pods_secret(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without keys obstore asks the machine's metadata service, and finds none here."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    line = examined()["store"]
    assert line.state == "not known"
    assert "export AWS_SECRET_ACCESS_KEY=$(kubectl --namespace kubecast get secret kubecast-object-store" in (
        line.mend
    )


@pytest.mark.slow
def test_store_inside_the_cluster_is_not_known_from_here_with_the_port_forward(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECAST_MINIO_ENDPOINT", raising=False)
    line = examined("training.model_registry.path=minio://mlpipeline/private/kubecast")["store"]
    assert line.state == "not known"
    assert line.mend == (
        "kubectl --namespace kubeflow port-forward service/seaweedfs 9000:9000 &"
        " export KUBECAST_MINIO_ENDPOINT=http://localhost:9000"
    )
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    line = examined("training.model_registry.path=minio://mlpipeline/private/kubecast")["store"]
    assert line.state == "missing"


def test_address_of_the_store_in_the_tasks_environment_is_that_of_here_where_here_names_none(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = (
        "cluster.environment={AWS_ENDPOINT_URL: 'http://kubecast-seaweedfs:8333', AWS_ALLOW_HTTP: 'true'}"
    )
    assert examined(inside)["store"].state == "ok"
    for name in ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    line = examined(inside)["store"]
    assert line.state == "not known"
    assert line.mend == (
        "kubectl --namespace kubecast port-forward service/kubecast-seaweedfs 8333:8333 &"
        " export AWS_ENDPOINT_URL=http://localhost:8333 AWS_ALLOW_HTTP=true"
    )
    assert "AWS_ENDPOINT_URL" not in os.environ
