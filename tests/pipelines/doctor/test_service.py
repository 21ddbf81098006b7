"""What `kubecast doctor` says of Kubeflow Pipelines itself."""

import pytest

from kubecast.errors import ConfigError
from tests.pipelines.doctor.clusters import Examine, states
from tests.support.servers.kfp_api import KfpApi

pytestmark = pytest.mark.slow


def test_kubeflow_pipelines_that_does_not_answer_leaves_the_rest(examined: Examine) -> None:
    found = examined("cluster.connection.host='http://127.0.0.1:1'")
    assert found["Kubeflow Pipelines"].state == "missing"
    assert found["Kubeflow Pipelines"].mend.startswith("kubectl port-forward --namespace kubeflow")
    assert set(states(found)) == {"Kubeflow Pipelines", "version", "users", "access"}


def test_no_host(examined: Examine) -> None:
    line = examined("cluster.connection.host=null")["Kubeflow Pipelines"]
    assert line.state == "missing"
    assert "export KUBECAST_KFP_HOST=http://localhost:8080" in line.mend


def test_token_that_is_missing(examined: Examine, kfp: KfpApi) -> None:
    kfp.token = "known"  # noqa: S105
    line = examined()["access"]
    assert line.state == "missing"
    assert line.mend == (
        "export KUBECAST_KFP_TOKEN=$(kubectl --namespace kubecast create token kubecast-submitter"
        " --audience pipelines.kubeflow.org)"
    )


def test_namespace_in_which_the_user_has_no_rights(examined: Examine, kfp: KfpApi) -> None:
    kfp.namespaces = {"another"}
    line = examined()["access"]
    assert line.state == "missing"
    assert "create token kubecast-submitter" in line.mend


@pytest.mark.parametrize(
    ("version", "state"), [("2.17.1", "ok"), ("2.5.0", "missing"), ("unknown", "not known")]
)
def test_version_of_kubeflow_pipelines(examined: Examine, kfp: KfpApi, version: str, state: str) -> None:
    kfp.health["tag_name"] = version
    assert examined()["version"].state == state


def test_several_users_without_a_namespace(examined: Examine) -> None:
    line = examined("cluster.connection.namespace=null")["users"]
    assert line.state == "missing"
    assert "set cluster.connection.namespace" in line.mend


def test_a_single_user_with_a_namespace(examined: Examine, kfp: KfpApi) -> None:
    kfp.health["multi_user"], kfp.namespaces = False, set()
    assert examined()["users"].mend == "remove cluster.connection.namespace"


def test_dashboard_that_answers_for_the_api_server(examined: Examine, kfp: KfpApi) -> None:
    """As its server words it: frontend/server/handlers/healthz.ts of Kubeflow Pipelines."""
    kfp.health = {"apiServerTagName": "2.17.0", "apiServerMultiUser": True, "apiServerReady": True}
    assert states(examined()) == {}
    kfp.health = {"frontendTagName": "2.17.0", "apiServerReady": False}
    line = examined()["Kubeflow Pipelines"]
    assert line.state == "missing"
    assert "rollout status deployment/ml-pipeline" in line.mend


def test_way_in_that_cannot_be_used_is_wrong_input(examined: Examine) -> None:
    with pytest.raises(ConfigError, match="token_file /none: cannot be read"):
        examined("cluster.connection.token_file=/none")
