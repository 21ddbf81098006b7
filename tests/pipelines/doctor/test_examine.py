"""`kubecast doctor` as a whole, on clusters that lack one thing each, made of what the manifests hold."""

import json
from pathlib import Path

import pytest

from kubecast.storage.bucket import ObjectStore
from tests.pipelines.doctor.clusters import (
    CORE,
    KATIB,
    NAMESPACE,
    POLICIES,
    Examine,
    manifests,
    secret,
    states,
)
from tests.support.clusters import invoke
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi

pytestmark = pytest.mark.slow


def test_a_cluster_as_the_manifests_make_it_lacks_nothing(examined: Examine) -> None:
    found = examined()
    assert states(found) == {}
    assert found["version"].detail == "2.17.0"
    assert found["Secret kubecast-object-store"].detail == "has accesskey, secretkey"
    assert found["GPU nodes"].detail == "1 node with nvidia.com/gpu.present=true and nvidia.com/gpu"
    assert "2 of requests.nvidia.com/gpu" in found["quota"].detail


def test_each_object_is_requested_once(examined: Examine, cluster: KubernetesApi) -> None:
    examined(*KATIB, "cluster.secrets=[{secret: mlpipeline-minio-artifact, variables: {A: accesskey}}]")
    read = [line for line in cluster.requests if line.startswith("get ")]
    assert len(read) == len(set(read))


def test_a_single_user_whose_runs_are_in_the_namespace_of_kubeflow_pipelines(
    examined: Examine, kfp: KfpApi, cluster: KubernetesApi
) -> None:
    kfp.health["multi_user"], kfp.namespaces = False, set()
    cluster.objects.clear()
    core = "/api/v1/namespaces/kubeflow"
    account, *_ = manifests("base/pipeline-account.yaml")
    cluster.add("/api/v1/namespaces", {"metadata": {"name": "kubeflow", "labels": {}}})
    cluster.add(f"{core}/serviceaccounts", account)
    cluster.add(f"{core}/secrets", secret("mlpipeline-minio-artifact", "accesskey", "secretkey"))
    keys = "{AWS_ACCESS_KEY_ID: accesskey, AWS_SECRET_ACCESS_KEY: secretkey}"
    secrets = f"cluster.secrets=[{{secret: mlpipeline-minio-artifact, variables: {keys}}}]"
    lines = examined("cluster.connection.namespace=null", "cluster.gpu=false", secrets)
    assert states(lines) == {}
    assert lines["Pod Security"].detail == "no level is enforced"


def test_nothing_but_one_object_is_written_and_that_is_deleted(
    examined: Examine, cluster: KubernetesApi, kfp: KfpApi, s3_url: str
) -> None:
    examined(*KATIB)
    written = [line for line in cluster.requests if not line.startswith(("get ", "list "))]
    assert written
    assert all("accessreviews" in line for line in written)
    assert kfp.lines("POST", "PUT", "DELETE") == []
    assert ObjectStore(s3_url).list_files("") == {}


# Each line tells of one thing that is taken away, of its check's name, its words and its cure.
LACKING: list[tuple[str, str, str, str]] = [
    (f"{CORE}/serviceaccounts/kubecast-pipeline", "service account", "is not in namespace", "kubectl apply"),
    (
        f"{CORE}/secrets/kubecast-object-store",
        "Secret kubecast-object-store",
        "no such Secret in kubecast",
        "kubectl --namespace kubecast create secret generic kubecast-object-store --from-file=accesskey"
        " --from-file=secretkey",
    ),
    (
        f"{CORE}/configmaps/artifact-repositories",
        "artifact-repositories",
        "pods would stay in ContainerCreating",
        "kubectl apply",
    ),
    (f"{CORE}/configmaps/kfp-launcher", "kfp-launcher", "no ConfigMap kfp-launcher", "kubectl apply"),
    (f"{POLICIES}/dns", "network policies", "no policy opens DNS (port 53)", "kubectl --namespace kubecast"),
    (f"{CORE}/limitranges/kubecast", "quota", "no LimitRange sizes the containers", "manifests/base/quota"),
    ("/api/v1/nodes/b", "GPU nodes", "no node has nvidia.com/gpu.present=true", "gpu: false"),
]


@pytest.mark.parametrize(("path", "check", "found", "mend"), LACKING, ids=[row[1] for row in LACKING])
def test_what_is_not_there_is_missing_with_its_cure(
    examined: Examine, cluster: KubernetesApi, path: str, check: str, found: str, mend: str
) -> None:
    del cluster.objects[path]
    lines = examined()
    assert states(lines) == {check: "missing"}
    assert found in lines[check].detail
    assert mend in lines[check].mend


FORBIDDEN = [
    ("get /api/v1/namespaces/kubecast", "namespace", "kubectl get namespaces kubecast"),
    ("get .*/serviceaccounts/.*", "service account", "get serviceaccounts kubecast-pipeline"),
    ("get .*/secrets/.*", "Secret kubecast-object-store", "get secrets kubecast-object-store"),
    ("get .*/configmaps/kfp-launcher", "kfp-launcher", "get configmaps kfp-launcher"),
    ("get .*/configmaps/artifact.*", "artifact-repositories", "get configmaps artifact-repositories"),
    ("list .*/networkpolicies", "network policies", "get networkpolicies"),
    ("list .*/resourcequotas", "quota", "get resourcequotas"),
    ("list /api/v1/nodes", "GPU nodes", "kubectl get nodes"),
]


@pytest.mark.parametrize(("pattern", "check", "command"), FORBIDDEN, ids=[row[1] for row in FORBIDDEN])
def test_what_may_not_be_read_is_not_known_and_asked_for(
    examined: Examine, cluster: KubernetesApi, pattern: str, check: str, command: str
) -> None:
    cluster.forbidden = [pattern]
    lines = examined()
    assert set(states(lines).values()) == {"not known"}
    assert lines[check].state == "not known"
    assert "not allowed to" in lines[check].detail
    assert lines[check].mend.startswith("ask somebody who may: kubectl")
    assert lines[check].mend.endswith(command)


def test_no_way_to_the_api_server_of_kubernetes_leaves_the_rest(
    examined: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    found = examined()
    assert set(states(found).values()) == {"not known"}
    assert "no API server of Kubernetes" in found["Kubernetes"].detail
    known = {"Kubeflow Pipelines", "version", "users", "access", "images", "store"}
    assert set(found) - set(states(found)) == known


def test_check_that_fails_by_itself_stops_no_other(examined: Examine, cluster: KubernetesApi) -> None:
    cluster.add(f"{CORE}/resourcequotas", {"metadata": {"name": "odd"}, "spec": {"hard": {"pods": "many"}}})
    found = examined()
    assert states(found) == {"quota": "not known"}
    assert "failed by itself" in found["quota"].detail


def test_command_in_a_terminal_and_as_json(
    examined: Examine, kfp: KfpApi, s3_url: str, tmp_path: Path
) -> None:
    options = ["--host", kfp.host, "--namespace", NAMESPACE, "--service-account", "kubecast-pipeline"]
    folder = tmp_path / "demand"
    folder.mkdir()
    (folder / "training.yaml").write_text(f"training: {{model_registry: {{path: '{s3_url}'}}}}\n")
    (folder / "cluster.yaml").write_text("cluster: {image_repository: team, image_tag: '1'}\n")
    done = invoke("doctor", "--config", str(folder), *options)
    assert done.return_value is None
    assert done.stdout.splitlines()[0].startswith(f"ok         Kubeflow Pipelines: answers at {kfp.host}")
    failed = invoke("doctor", "--config", str(folder), *options, "--set", "cluster.gpu_nodes=gke", "--json")
    assert failed.return_value == 1
    told = json.loads(failed.stdout)
    assert set(told) == {"namespace", "checks"}
    assert all(list(line) == ["check", "state", "detail", "mend"] for line in told["checks"])
    assert {line["state"] for line in told["checks"]} == {"ok", "missing"}
    [gpus] = [line for line in told["checks"] if line["check"] == "GPU nodes"]
    assert "set cluster.gpu_nodes: operator" in gpus["mend"]
