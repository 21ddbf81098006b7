"""What a try leaves in Kubernetes when the database refuses its row, and who removes it."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubecast.errors import ClusterError
from kubecast.pipelines.running.scheduling import Scheduler
from tests.support.clusters import client, folder_with, invoke
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi

pytestmark = pytest.mark.slow

NIGHTLY = """\
    - name: nightly-retrain
      cron: "0 2 * * *"
      parameters: {data: "s3://demand/demand.csv"}
"""
PATH = "/apis/kubeflow.org/v1beta1/namespaces/kubeflow/scheduledworkflows"


@pytest.fixture
def api() -> Iterator[KfpApi]:
    with KfpApi() as server:
        yield server


@pytest.fixture
def words(api: KfpApi, tmp_path: Path) -> list[str]:
    return [
        "schedule",
        "apply",
        "--config",
        str(folder_with(tmp_path / "configs", NIGHTLY)),
        "--host",
        api.host,
    ]


@pytest.fixture
def orphan(api: KfpApi, kubernetes: KubernetesApi, words: list[str]) -> str:
    """The name of what is left of a first try; the second one made the schedule."""
    invoke(*words)
    (made,) = api.recurring.values()
    refused = copy.copy(made)
    refused.description, refused.recurring_run_id, refused.mode = "x" * 400, None, "DISABLE"
    with pytest.raises(ClusterError, match="Data too long for column 'Description'"):
        client(api).create_recurring_run(refused)
    kubernetes.add(PATH, *api.scheduled_workflows.values())
    (left,) = (each for uid, each in api.scheduled_workflows.items() if uid not in api.recurring)
    return str(left["metadata"]["name"])


def there(kubernetes: KubernetesApi) -> list[str]:
    return [path.removeprefix(f"{PATH}/") for path in kubernetes.objects]


def test_what_a_refused_row_leaves_is_disabled_and_in_no_list(api: KfpApi, orphan: str) -> None:
    assert len(Scheduler(client(api)).schedules()) == 1
    assert orphan.startswith("nightly-retrain")


def test_apply_removes_what_earlier_tries_left(
    api: KfpApi, kubernetes: KubernetesApi, words: list[str], orphan: str
) -> None:
    found = invoke(*words)
    assert found.stdout == "unchanged  nightly-retrain\n"
    assert found.stderr == f"removed    {orphan}, left by an earlier try\n"
    (kept,) = there(kubernetes)
    assert kept != orphan
    assert invoke(*words).stderr == ""


def test_dry_run_removes_nothing(kubernetes: KubernetesApi, words: list[str], orphan: str) -> None:
    invoke(*words, "--dry-run")
    assert orphan in there(kubernetes)


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("spec", "enabled", True),
        ("spec", "experimentId", "of another Kubeflow Pipelines"),
        ("spec", "pipelineId", "of somebody else"),
        ("metadata", "name", "nightly-retrain-more12345"),
        ("metadata", "creationTimestamp", "2999-01-01T00:00:00Z"),
    ],
    ids=["enabled", "experiment", "pipeline", "name", "young"],
)
def test_what_may_be_another_s_is_left_alone(
    kubernetes: KubernetesApi, words: list[str], orphan: str, where: str, key: str, value: Any
) -> None:
    kubernetes.objects[f"{PATH}/{orphan}"][where][key] = value
    before = there(kubernetes)
    assert invoke(*words).stderr == ""
    assert there(kubernetes) == before


def test_who_may_not_delete_is_told_the_command(
    kubernetes: KubernetesApi, words: list[str], orphan: str
) -> None:
    kubernetes.forbidden = ["delete .*"]
    found = invoke(*words)
    command = f"kubectl --namespace kubeflow delete scheduledworkflows.kubeflow.org {orphan}"
    assert command in found.stderr
    assert "not allowed to delete scheduledworkflows.kubeflow.org" in found.stderr
    assert not found.exit_code


def test_who_may_not_look_is_told_how_when_a_schedule_is_new(
    kubernetes: KubernetesApi, words: list[str]
) -> None:
    kubernetes.forbidden = ["list .*"]
    assert "kubectl --namespace kubeflow get scheduledworkflows.kubeflow.org" in invoke(*words).stderr
    assert invoke(*words).stderr == ""


def test_long_name_is_cut_as_kubeflow_cuts_it(
    api: KfpApi, kubernetes: KubernetesApi, words: list[str], tmp_path: Path
) -> None:
    name = "nightly-retrain-of-all-the-shops"
    folder_with(tmp_path / "configs", NIGHTLY.replace("nightly-retrain", name))
    invoke(*words)
    (item,) = copy.deepcopy(api.scheduled_workflows).values()
    assert item["metadata"]["generateName"] == "nightly-retrain-of-all-th"
    item["metadata"] |= {"uid": "none", "name": "nightly-retrain-of-all-thxk2lp"}
    item["spec"]["enabled"] = False
    kubernetes.add(PATH, item)
    assert "removed    nightly-retrain-of-all-thxk2lp" in invoke(*words).stderr
    assert not there(kubernetes)
