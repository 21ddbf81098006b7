"""What `kubecast doctor` says of searches by Katib."""

from typing import Any

import pytest

from tests.pipelines.doctor.clusters import CORE, KATIB, NAMESPACE, Examine, katib_config, states
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi

pytestmark = pytest.mark.slow


def test_katib_is_looked_at_where_it_searches(examined: Examine) -> None:
    assert not [name for name in examined() if "atib" in name]
    assert examined()["searches left behind"].state == "ok"
    assert states(examined(*KATIB)) == {}
    assert {"Katib", "Katib's collector", "Katib's security", "Katib's rights", "trials' account"} <= set(
        examined(*KATIB)
    )


KATIB_LACKING: list[tuple[str, str, str]] = [
    ("/apis/kubeflow.org/v1beta1", "Katib", "Katib is not installed"),
    (f"{CORE}/serviceaccounts/kubecast-trial", "trials' account", "no service account kubecast-trial"),
    (f"{CORE}/configmaps/kubecast-heartbeats", "heartbeats", "trials would go on"),
]


@pytest.mark.parametrize(("path", "check", "found"), KATIB_LACKING, ids=[row[1] for row in KATIB_LACKING])
def test_what_katib_lacks_is_missing_where_it_searches_alone(
    examined: Examine, cluster: KubernetesApi, path: str, check: str, found: str
) -> None:
    del cluster.objects[path]
    assert states(examined()) == {}
    lines = examined(*KATIB)
    assert states(lines) == {check: "missing"}
    assert found in lines[check].detail
    assert ("searches left behind" in lines) == (check != "Katib")


def test_namespace_without_katibs_label(examined: Examine, cluster: KubernetesApi) -> None:
    del cluster.objects["/api/v1/namespaces/kubecast"]["metadata"]["labels"][
        "katib.kubeflow.org/metrics-collector-injection"
    ]
    line = examined(*KATIB)["Katib's collector"]
    assert line.state == "missing"
    assert line.mend == (
        "kubectl label namespace kubecast katib.kubeflow.org/metrics-collector-injection=enabled"
    )


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (katib_config(inject=False), "lacks init.controller.injectSecurityContext: true"),
        (katib_config(context=False), "no securityContext for the algorithm tpe"),
    ],
)
def test_katibs_containers_without_a_security_context_are_refused_in_restricted_namespaces_alone(
    examined: Examine, cluster: KubernetesApi, config: dict[str, Any], found: str
) -> None:
    cluster.add("/api/v1/namespaces/kubeflow/configmaps", config)
    assert found in examined(*KATIB)["Katib's security"].detail
    labels = cluster.objects["/api/v1/namespaces/kubecast"]["metadata"]["labels"]
    labels["pod-security.kubernetes.io/enforce"] = "baseline"
    assert examined(*KATIB)["Katib's security"].state == "ok"


def test_katibs_early_stopping_is_refused_in_a_restricted_namespace(examined: Examine) -> None:
    line = examined(*KATIB, "cluster.katib.early_stopping=median")["Katib's security"]
    assert line.state == "missing"
    assert line.mend == "set cluster.katib.early_stopping: none"


def test_katib_that_is_installed_elsewhere(examined: Examine, cluster: KubernetesApi) -> None:
    del cluster.objects["/api/v1/namespaces/kubeflow/configmaps/katib-config"]
    assert states(examined(*KATIB)) == {"Katib's security": "not known"}


def test_search_that_nobody_waits_for(examined: Examine, cluster: KubernetesApi) -> None:
    metadata = {
        "name": "kubecast-1",
        "labels": {"kubecast/run": "1"},
        "annotations": {"kubecast/renewed-at": "2020-01-01T00:00:00Z"},
    }
    experiments = f"/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/experiments"
    cluster.add(experiments, {"metadata": metadata})
    line = examined()["searches left behind"]  # by settings that have gone over to Optuna
    assert line.state == "missing"
    assert "nobody waits for kubecast-1 (last heartbeat 2020-01-01 00:00 UTC" in line.detail
    assert line.mend == "kubectl delete experiment kubecast-1 -n kubecast"
    cluster.forbidden = ["list .*/experiments"]
    assert examined()["searches left behind"].state == "not known"


def test_rights_of_the_runs_account_to_run_experiments(examined: Examine, cluster: KubernetesApi) -> None:
    cluster.accounts_forbidden = ["create .*/experiments"]
    line = examined(*KATIB)["Katib's rights"]
    assert (line.state, line.detail) == ("missing", "kubecast-pipeline may not create experiments")
    assert line.mend == "kubectl apply --kustomize manifests/overlays/OVERLAY"
    cluster.accounts_forbidden = ["watch .*/experiments", "patch .*/configmaps"]
    line = examined(*KATIB)["Katib's rights"]
    assert line.detail == (
        "kubecast-pipeline may not watch experiments, patch configmaps kubecast-heartbeats"
    )
    cluster.forbidden = ["create .*/localsubjectaccessreviews"]
    line = examined(*KATIB)["Katib's rights"]
    assert line.state == "not known"
    assert (
        "auth can-i create experiments.kubeflow.org --as=system:serviceaccount:kubecast:kubecast-pipeline"
        in (line.mend)
    )


def test_rights_are_those_of_the_account_that_the_pods_have(
    examined: Examine, cluster: KubernetesApi, kfp: KfpApi
) -> None:
    cluster.add(f"{CORE}/serviceaccounts", {"metadata": {"name": "default-editor"}})
    cluster.accounts_forbidden = ["create .*/experiments"]
    none = "cluster.connection.service_account=null"
    line = examined(*KATIB, none)["Katib's rights"]
    assert line.detail == "default-editor may not create experiments"
    assert line.mend == (
        "set cluster.connection.service_account: kubecast-pipeline; or kubectl --namespace kubecast create"
        " rolebinding kubecast-katib-default-editor --role=kubecast-katib"
        " --serviceaccount=kubecast:default-editor"
    )
    cluster.forbidden = ["create .*/localsubjectaccessreviews"]
    line = examined(*KATIB, none)["Katib's rights"]
    assert line.mend.endswith("--as=system:serviceaccount:kubecast:default-editor")
    kfp.health["multi_user"] = False
    line = examined(*KATIB, none, "cluster.connection.namespace=null")["Katib's rights"]
    assert line.mend.endswith("--as=system:serviceaccount:kubeflow:pipeline-runner")
