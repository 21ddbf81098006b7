"""The Experiment and the Job of its trials, against the models of Katib and of Kubernetes."""

import json
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubeflow_katib_api import models
from kubernetes import client

from kubecast.config.cluster import AcceleratedTask, Affinity
from kubecast.pipelines.pods import SHARED_MEMORY
from kubecast.settings.search import SearchSettings
from kubecast.tuning.heartbeat import CONFIG_MAP
from kubecast.tuning.katib.manifest import command, experiment
from tests.support.katib import NAME, plan

pytestmark = pytest.mark.slow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def trial_of(made: dict[str, Any]) -> dict[str, Any]:
    """What is in KUBECAST_TRIAL."""
    pod = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    trial: dict[str, Any] = json.loads(pod["containers"][0]["env"][0]["value"])
    return trial


def test_katib_and_kubernetes_know_every_field() -> None:
    """What their own models do not have would be dropped on the way through them."""
    made = experiment(plan(), NOW)
    read = models.V1beta1Experiment.from_dict(made)
    assert read is not None
    assert read.to_dict()["spec"] == made["spec"]
    job = {**made["spec"]["trialTemplate"]["trialSpec"], "metadata": {"name": "job"}}
    api = client.ApiClient()

    class Reply:
        data = json.dumps(job)

    assert api.sanitize_for_serialization(api.deserialize(Reply(), "V1Job")) == without_nothing(job)


def without_nothing(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: without_nothing(value) for key, value in node.items()}
    return [without_nothing(value) for value in node] if isinstance(node, list) else node


def test_experiment_is_bounded_and_can_be_found() -> None:
    made = experiment(plan(), NOW)
    spec = made["spec"]
    assert (spec["maxTrialCount"], spec["maxFailedTrialCount"], spec["parallelTrialCount"]) == (3, 3, 2)
    assert spec["trialTemplate"]["trialSpec"]["spec"]["backoffLimit"] == 0
    assert made["metadata"]["labels"]["kubecast/run"] == "run-1"
    assert spec["objective"]["type"] == "minimize"
    assert spec["objective"]["metricStrategies"] == [{"name": "objective", "value": "latest"}]


def test_trial_that_loses_its_node_is_begun_again() -> None:
    job = experiment(plan(), NOW)["spec"]["trialTemplate"]["trialSpec"]["spec"]
    [rule] = job["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # Kubernetes asks for it beside such a policy


def test_trials_job_ends_within_what_the_search_has_left() -> None:
    """A trial that begins later is told when the search ends: the template is the same for all of them."""
    made = experiment(plan(timeout=9000), NOW)
    job = made["spec"]["trialTemplate"]["trialSpec"]
    assert job["spec"]["activeDeadlineSeconds"] == 9000
    assert trial_of(made)["until"] == NOW.timestamp() + 9000


@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_trials_are_stopped_early_only_where_katib_is_asked_for_it(pruner: str) -> None:
    """Pod Security restricted refuses Katib's container for it; Optuna's pruner says nothing of it."""
    base = plan(pruner=pruner)
    assert "earlyStopping" not in experiment(base, NOW)["spec"]
    stopping = replace(base, pod=base.pod.model_copy(update={"early_stopping": "median"}))
    assert experiment(stopping, NOW)["spec"]["earlyStopping"] == {"algorithmName": "medianstop"}


def test_experiment_is_removed_with_its_owner() -> None:
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "w", "uid": "u"}
    assert experiment(plan(), NOW, owner)["metadata"]["ownerReferences"] == [owner]
    assert "ownerReferences" not in experiment(plan(), NOW)["metadata"]


def test_experiment_is_created_with_a_heartbeat() -> None:
    assert experiment(plan(), NOW)["metadata"]["annotations"] == {
        "kubecast/renewed-at": "2026-01-01T00:00:00Z"
    }


def test_trial_has_its_searchs_heartbeat_as_a_file_and_no_token() -> None:
    """As the ConfigMap's key changes, kubelet changes the file; a path below a mount (subPath) would stay."""
    made = experiment(plan(), NOW)
    pod = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    [volume] = [each for each in pod["volumes"] if "configMap" in each]
    assert volume["configMap"] == {
        "name": CONFIG_MAP,
        "optional": True,
        "items": [{"key": NAME, "path": "heartbeat"}],
    }
    [mount] = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == volume["name"]]
    assert mount.keys() == {"name", "mountPath"}
    assert trial_of(made)["heartbeat"] == f"{mount['mountPath']}/heartbeat"
    assert pod["automountServiceAccountToken"] is False
    assert not any("projected" in each for each in pod["volumes"])


def test_trials_pod_is_that_of_the_trainer_and_restricted() -> None:
    job = experiment(plan(), NOW)["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]
    pod, container = job["spec"], job["spec"]["containers"][0]
    assert container["image"] == "registry.example.com/kubecast-tensorflow:1"
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert pod["nodeSelector"] == {"gpu": "a10"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["serviceAccountName"] == "kubecast-trial"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert job["metadata"]["labels"]["app.kubernetes.io/name"] == "kubecast"
    paths = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert paths == {"/tmp", "/var/run/kubecast", SHARED_MEMORY}  # noqa: S108
    secret = {"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "store", "key": "access"}}}
    assert secret in container["env"]
    assert {"name": "KUBECAST_RUN_ID", "value": plan().run} in container["env"]
    assert {"name": "KUBECAST_ACCELERATORS", "value": "1"} in container["env"]


def test_affinity_of_the_trainer_is_kept() -> None:
    wishes = [Affinity(key="disk", operator="Exists"), Affinity(key="zone", values=["a"], weight=5)]
    task = AcceleratedTask(affinity=wishes, accelerator=None, shared_memory=None)
    base = plan()
    made = experiment(replace(base, pod=base.pod.model_copy(update={"task": task})), NOW)
    pod = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    node = pod["affinity"]["nodeAffinity"]
    required = node["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert required == [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
    assert node["preferredDuringSchedulingIgnoredDuringExecution"][0]["weight"] == 5
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp", "heartbeat"]


def empty(node: Any, path: str = "") -> list[str]:
    """Where an object holds an empty object, list or text."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    here = [path] if node in ({}, [], "") else []
    return here + [inner for key, value in items for inner in empty(value, f"{path}/{key}")]


@pytest.mark.parametrize(
    "resources",
    [
        {},
        {"accelerator": None, "tolerations": [], "shared_memory": None},
        {
            "affinity": [
                {"key": "disk", "operator": "Exists"},
                {"key": "zone", "operator": "Exists", "weight": 1},
            ]
        },
    ],
    ids=["default", "processors", "affinity"],
)
def test_job_holds_nothing_that_katib_would_miss(resources: dict[str, Any]) -> None:
    """Katib refuses a Job that Kubernetes' own type would write back without something: all that is empty."""
    base = plan()
    changes = {"task": AcceleratedTask(**resources), "image_pull_secrets": []}
    made = experiment(replace(base, pod=base.pod.model_copy(update=changes)), NOW)
    paths = empty(made["spec"]["trialTemplate"]["trialSpec"])
    assert {path.rpartition("/")[2] for path in paths} == {"emptyDir"}


@pytest.mark.parametrize(
    ("given", "written"),
    [("2Gi", "2Gi"), ("2048Mi", "2Gi"), ("1536Mi", "1536Mi"), ("1048576Ki", "1Gi"), ("2048Ti", "2048Ti")],
)
def test_shared_memory_is_written_as_kubernetes_writes_it(given: str, written: str) -> None:
    base = plan()
    task = AcceleratedTask(shared_memory=given)
    made = experiment(replace(base, pod=base.pod.model_copy(update={"task": task})), NOW)
    volumes = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["volumes"]
    assert volumes[2]["emptyDir"] == {"medium": "Memory", "sizeLimit": written}


@pytest.mark.parametrize(("given", "written"), [(None, {}), ("20480Mi", {"sizeLimit": "20Gi"})])
def test_temporary_files_of_a_trial_may_be_as_large_as_those_of_the_training(
    given: str | None, written: dict[str, str]
) -> None:
    base = plan()
    task = AcceleratedTask(scratch=given)
    made = experiment(replace(base, pod=base.pod.model_copy(update={"task": task})), NOW)
    volumes = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["volumes"]
    assert (volumes[0]["name"], volumes[0]["emptyDir"]) == ("tmp", written)


def test_pod_of_katibs_algorithm_is_not_taken_for_one_of_kubecast() -> None:
    """Katib copies the Experiment's labels to it; policies for kubecast's own pods would cut it off."""
    made = experiment(plan(), NOW)
    assert made["metadata"]["labels"] == {
        "kubecast/run": "run-1",
        "kubecast/model": "demand",
        "kubecast/version": "1",
    }


def test_command_survives_a_shell_and_the_rest_is_in_the_environment(tmp_path: Path) -> None:
    """Katib puts in the parameters, joins the words with spaces and gives them to `sh -c`."""
    program = tmp_path / "kubecast"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    values = {
        "hidden_units_1": "64",
        "hidden_units_2": "32",
        "dropout_rate": "1.5e-01",
        "learning_rate": "0.001",
    }
    words = [
        re.sub(r"\$\{trialParameters\.(\w+)\}", lambda match: values[match[1]], word)
        for word in command(SearchSettings().lstm)
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._+=-]+", word) for word in words)
    done = subprocess.run(
        ["sh", "-c", " ".join(words) + " 1>" + str(tmp_path / "out") + " 2>&1"],
        check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.returncode == 0
    expected = ["trial", *(f"{name}={value}" for name, value in values.items())]
    assert (tmp_path / "out").read_text().splitlines() == expected
    template = experiment(plan(), NOW)["spec"]["trialTemplate"]
    variable = template["trialSpec"]["spec"]["template"]["spec"]["containers"][0]["env"][0]
    assert json.loads(variable["value"]).items() >= plan().trial.items()
    assert "$" not in variable["value"]
    assert [each["reference"] for each in template["trialParameters"]] == list(values)
