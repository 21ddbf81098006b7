"""The calls of the Kubernetes API, against a server that answers over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubecast.errors import ClusterError, ClusterForbidden, ClusterNotFound, ClusterUnreachable
from kubecast.pipelines.running.kubernetes import Kubernetes
from tests.support.servers.kubernetes_api import KubernetesApi

PODS = "/api/v1/namespaces/team-a/pods"
WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/team-a/workflows"


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi() as api:
        yield api


def pod(name: str, **labels: str) -> dict[str, object]:
    return {"metadata": {"name": name, "labels": labels}}


def test_object_and_list_over_its_pages(api: KubernetesApi) -> None:
    api.add(PODS, *(pod(f"p-{number}", run="a") for number in range(5)), pod("q", run="b"))
    cluster = api.connect()
    assert cluster.get(f"{PODS}/p-1")["metadata"]["name"] == "p-1"
    names = [each["metadata"]["name"] for each in cluster.list(PODS, labelSelector="run=a")]
    assert names == [f"p-{number}" for number in range(5)]


def test_last_lines_of_a_log_that_is_no_json(api: KubernetesApi) -> None:
    api.logs["p-1", "main"] = '{"a": 1}\nZürich\n{"b": 2}\n'
    assert api.connect().logs("team-a", "p-1", "main", 2) == 'Zürich\n{"b": 2}\n'


def test_forbidden_names_verb_resource_and_namespace(api: KubernetesApi) -> None:
    api.forbidden = ["list .*/workflows", "get .*/log"]
    cluster = api.connect()
    with pytest.raises(
        ClusterForbidden, match=r"^not allowed to list workflows\.argoproj\.io in namespace team-a: "
    ):
        cluster.list(WORKFLOWS)
    with pytest.raises(ClusterForbidden, match=r"^not allowed to get pods/log p-1 in namespace team-a: "):
        cluster.logs("team-a", "p-1", "main", 50)


def test_a_token_that_is_not_known_is_in_no_message(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale, api.token = "not-this-one", "not-this-one"
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "config")))
    api.token = stale[::-1]
    with pytest.raises(ClusterForbidden, match="does not know the caller") as raised:
        Kubernetes.connect().get(PODS)
    assert stale not in str(raised.value)


def test_missing_object(api: KubernetesApi) -> None:
    with pytest.raises(ClusterNotFound, match=r'^get pods p-9 in namespace team-a: pods "p-9" not found$'):
        api.connect().get(f"{PODS}/p-9")


def test_rights(api: KubernetesApi) -> None:
    api.forbidden = ["list .*/workflows", "get .*/log", "list /api/v1/nodes"]
    cluster = api.connect()
    assert cluster.may("list", "pods", "team-a")
    assert not cluster.may("list", "workflows", "team-a", "argoproj.io")
    assert not cluster.may("get", "pods/log", "team-a")
    assert not cluster.may("list", "nodes", "")


def test_no_answer(api: KubernetesApi) -> None:
    api.failures = {"list .*/pods": None, "list .*/events": 503}
    cluster = api.connect(timeout=0.2)
    with pytest.raises(ClusterUnreachable, match=r"list pods in namespace team-a: .*: no answer in 0.2 s"):
        cluster.list(PODS)
    with pytest.raises(ClusterUnreachable, match="503 the server is not ready"):
        cluster.list("/api/v1/namespaces/team-a/events")


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with KubernetesApi() as gone:
        file = gone.kubeconfig(tmp_path / "config")
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(ClusterUnreachable, match="cannot be reached"):
        Kubernetes.connect().get(PODS)


def test_context_of_the_kubeconfig(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "config", "team-b")))
    assert Kubernetes.connect().namespace == Kubernetes.connect("lab").namespace == "team-b"
    with pytest.raises(ClusterUnreachable, match=r"^no context production in .*; there: lab$"):
        Kubernetes.connect("production")


@pytest.mark.parametrize("content", [None, "contexts: [", "a: b", ""])
def test_no_cluster_is_one_line(content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(ClusterUnreachable, match=r"^no API server of Kubernetes: [^\n]*$"):
        Kubernetes.connect()


def test_pod_without_a_token_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(
        ClusterUnreachable,
        match=r"^no API server of Kubernetes: this pod has no service account.s token[^\n]*$",
    ):
        Kubernetes.connect()


def test_something_else_answers(api: KubernetesApi) -> None:
    api.logs["p-1", "main"] = "hello"
    with pytest.raises(ClusterError, match="is not the API of Kubernetes"):
        api.connect().get(f"{PODS}/p-1/log", container="main", tailLines=1)
