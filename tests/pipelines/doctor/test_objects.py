"""What `kubecast doctor` says of a namespace's accounts, Secrets and ConfigMaps."""

import copy

import pytest

from tests.pipelines.doctor.clusters import CORE, Examine, manifests, secret, states
from tests.support.servers.kubernetes_api import KubernetesApi

pytestmark = pytest.mark.slow


def test_namespace_that_is_not_there(examined: Examine, cluster: KubernetesApi) -> None:
    del cluster.objects["/api/v1/namespaces/kubecast"]
    lines = examined()
    assert states(lines) == {"namespace": "missing", "Pod Security": "not known"}
    assert "kubectl apply" in lines["namespace"].mend


def test_secrets_of_the_tasks_that_search_are_looked_for_too(examined: Examine) -> None:
    study = "cluster.tuning.secrets=[{secret: study, variables: {KUBECAST_STUDY_STORAGE: url}}]"
    assert examined(study)["Secret study"].detail == "there is no such Secret in kubecast"


def test_secret_without_a_key_that_tasks_take(examined: Examine, cluster: KubernetesApi) -> None:
    cluster.add(f"{CORE}/secrets", secret("kubecast-object-store", "accesskey", "key"))
    line = examined()["Secret kubecast-object-store"]
    assert (line.state, line.detail) == ("missing", "lacks secretkey")
    assert "create secret generic kubecast-object-store --from-file=accesskey" in line.mend


def test_every_secret_that_the_settings_name_is_looked_at(examined: Examine) -> None:
    lines = examined("cluster.notifications={secret: hook, key: url}", "cluster.image_pull_secrets=[pull]")
    assert states(lines) == {"Secret hook": "missing", "Secret pull": "missing"}
    assert "--from-file=url" in lines["Secret hook"].mend
    assert "create secret docker-registry pull" in lines["Secret pull"].mend


def test_secret_that_the_launcher_names(examined: Examine, cluster: KubernetesApi) -> None:
    [launcher] = manifests("components/seaweedfs/kfp-launcher.yaml")
    cluster.add(f"{CORE}/configmaps", launcher)
    assert states(examined()) == {}
    cluster.objects[f"{CORE}/secrets/mine"] = cluster.objects.pop(f"{CORE}/secrets/kubecast-object-store")
    lines = examined("cluster.secrets=[]")
    assert states(lines) == {"kfp-launcher": "missing"}
    assert "keys in Secret kubecast-object-store, which is not there" in lines["kfp-launcher"].detail


def test_profile_whose_secret_is_kubeflow_pipelines_own_needs_no_configmaps(
    examined: Examine, cluster: KubernetesApi
) -> None:
    for name in ("artifact-repositories", "kfp-launcher"):
        del cluster.objects[f"{CORE}/configmaps/{name}"]
    cluster.add(f"{CORE}/secrets", secret("mlpipeline-minio-artifact", "accesskey", "secretkey"))
    assert states(examined()) == {}


def test_artifact_repositories_without_their_default(examined: Examine, cluster: KubernetesApi) -> None:
    found = copy.deepcopy(cluster.objects[f"{CORE}/configmaps/artifact-repositories"])
    found["data"] = {"other": "archiveLogs: false"}
    cluster.add(f"{CORE}/configmaps", found)
    assert "has no key 'default'" in examined()["artifact-repositories"].detail


def test_account_that_is_not_set_and_that_kubeflow_pipelines_default_lacks(
    examined: Examine, cluster: KubernetesApi
) -> None:
    line = examined("cluster.connection.service_account=null")["service account"]
    assert line.state == "missing"
    assert "default-editor, which is taken then, is not in namespace kubecast" in line.detail
    cure = "set cluster.connection.service_account: kubecast-pipeline, which the manifests make"
    assert line.mend == cure
    line = examined("cluster.connection.service_account=trainer")["service account"]
    assert line.detail == "cluster.connection.service_account trainer is not in namespace kubecast"
    assert line.mend == cure
    cluster.add(f"{CORE}/serviceaccounts", {"metadata": {"name": "default-editor"}})
    assert examined("cluster.connection.service_account=null")["service account"].state == "ok"


def test_images_that_are_not_named(examined: Examine) -> None:
    line = examined("cluster.image_repository=''")["images"]
    assert (line.state, line.mend.partition(",")[0]) == ("missing", "make push")


def test_every_image_that_a_training_run_uses_is_looked_at(examined: Examine) -> None:
    """As `submit` looks at them."""
    names = ["base", "arima", "catboost", "tensorflow-gpu", "serving"]
    images = {f"kubecast-{name}": f"kubecast-{name}:here" for name in names}
    assert examined("cluster.image_repository=''", f"cluster.images={images}")["images"].state == "ok"
    del images["kubecast-arima"]
    line = examined("cluster.image_repository=''", f"cluster.images={images}")["images"]
    assert line.state == "missing"
    assert line.detail == (
        "the settings name no registry for kubecast-arima:1.2-abc: nodes would look on Docker Hub"
    )


def test_secret_that_may_not_be_read_leaves_other_checks_alone(
    examined: Examine, cluster: KubernetesApi
) -> None:
    [launcher] = manifests("components/seaweedfs/kfp-launcher.yaml")
    cluster.add(f"{CORE}/configmaps", launcher)
    cluster.forbidden = ["get .*/secrets/.*"]
    assert states(examined()) == {"Secret kubecast-object-store": "not known"}
