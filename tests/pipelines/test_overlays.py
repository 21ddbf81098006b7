"""The settings that are shipped for each overlay, and what its manifests give to runs."""

import json
import re
import shutil
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity

from kubecast.config.cluster import SearchVariables, TaskSettings, TrialPod
from kubecast.config.schedules import Mode
from kubecast.config.training import OptimizationSettings
from kubecast.models import DEFAULT_KINDS
from kubecast.pipelines.compiling import compile_pipeline
from kubecast.pipelines.running.connection import POD_TOKEN
from kubecast.settings.cluster import ClusterSettings
from kubecast.settings.loading import load_settings
from kubecast.settings.search import SearchSettings
from kubecast.tuning.katib import Plan
from kubecast.tuning.katib.manifest import job

ROOT = Path(__file__).parents[2]
OVERLAYS = sorted(path.name for path in (ROOT / "manifests/overlays").iterdir())
TUNING = ["pipeline.tuning.tuner=katib", "pipeline.tuning.models=[lstm]"]


def settings_for(overlay: str, folder: Path, *overrides: str) -> Any:
    """As the how-to has it: the shipped folder, and in it the overlay's file for `cluster.yaml`."""
    shutil.copytree(ROOT / "configs", folder / "demand")
    shutil.copy(folder / "demand/clusters" / f"{overlay}.yaml", folder / "demand/cluster.yaml")
    return load_settings(folder / "demand", ["training.horizon=48", *overrides])


def compiled(overlay: str, folder: Path, mode: Mode, *overrides: str) -> tuple[Any, dict[str, Any], Any]:
    settings = settings_for(overlay, folder, *overrides)
    path = compile_pipeline(settings, folder / "pipeline.yaml", mode)
    spec, platform = yaml.safe_load_all(path.read_text())
    containers = {name: each["container"] for name, each in spec["deploymentSpec"]["executors"].items()}
    return settings.cluster, containers, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("mode", ["train", "tune", "score"])
def test_every_task_gets_the_variables_of_its_overlay(overlay: str, mode: Mode, tmp_path: Path) -> None:
    cluster, containers, pods = compiled(overlay, tmp_path, mode, *TUNING)
    assert containers
    for name, container in containers.items():
        more = cluster.tuning if name.startswith("exec-tune-") else SearchVariables()
        plain = {each["name"]: each["value"] for each in container["env"]}
        own = {key: plain.pop(key) for key in ("KUBECAST_TASK", "KUBECAST_RETRY_SECONDS")}
        assert all(own.values())
        assert plain == cluster.environment | more.environment
        secrets = [each.secret for each in [*cluster.secrets, *more.secrets]]
        assert [each["secretName"] for each in pods[name].get("secretAsEnv", [])] == secrets


@pytest.mark.slow
def test_a_trial_gets_them_too(tmp_path: Path) -> None:
    settings = settings_for("dev", tmp_path, *TUNING)
    spec, _ = yaml.safe_load_all(compile_pipeline(settings, tmp_path / "p.yaml", "tune").read_text())
    pod = TrialPod.model_validate_json(trial_pod(spec))
    plan = Plan("name", "run", SearchSettings().lstm, OptimizationSettings(), 1, {}, pod)
    (container,) = job(plan, {}, datetime.now(UTC))["spec"]["template"]["spec"]["containers"]
    plain = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    assert settings.cluster.environment.items() <= plain.items()
    assert len({each["name"] for each in container["env"]}) == len(container["env"])


def trial_pod(value: Any) -> str:
    """The constant that the search with Katib is given under this name, wherever it stands in the graph."""
    if isinstance(value, dict):
        if "trial_pod" in value and "runtimeValue" in value["trial_pod"]:
            return str(value["trial_pod"]["runtimeValue"]["constant"])
        return next((found for each in value.values() if (found := trial_pod(each))), "")
    return ""


def test_a_local_run_gets_none(tmp_path: Path) -> None:
    path = compile_pipeline(settings_for("dev", tmp_path), tmp_path / "p.yaml", on_cluster=False)
    (spec,) = yaml.safe_load_all(path.read_text())
    assert "AWS_ENDPOINT_URL" not in json.dumps(spec)


def test_the_how_tos_make_the_secrets_and_name_the_account_of_dev(tmp_path: Path) -> None:
    how_to = {path.stem: path.read_text() for path in (ROOT / "docs/how-to").glob("*.md")}
    install = how_to["install-on-a-cluster"].replace("\\\n", " ")
    made = {
        (name, key)
        for name, rest in re.findall(r"--namespace kubecast create secret generic (\S+)(.*)", install)
        for key in re.findall(r"--from-literal=(\w+)=", rest)
    }
    cluster = settings_for("dev", tmp_path).cluster
    secrets = [*cluster.secrets, *cluster.tuning.secrets]
    assert made == {(each.secret, key) for each in secrets for key in each.variables.values()}
    accounts = {account for text in how_to.values() for account in re.findall(r"create token (\S+)", text)}
    account = documents("components/submitter/submitter.yaml")["ServiceAccount"]
    assert accounts == {account["metadata"]["name"]}


def test_the_how_to_mounts_the_token_where_a_pod_looks_for_it() -> None:
    text = (ROOT / "docs/how-to/install-on-a-cluster.md").read_text()
    (block,) = (part for part in text.split("```yaml\n") if "serviceAccountToken" in part)
    spec = yaml.safe_load(block.partition("```")[0])["spec"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    (source,) = spec["volumes"][0]["projected"]["sources"]
    assert Path(mount["mountPath"]) / source["serviceAccountToken"]["path"] == POD_TOKEN
    assert source["serviceAccountToken"]["audience"] == "pipelines.kubeflow.org"


# --- room -----------------------------------------------------------------------------------------------

Room = Counter[str]


def documents(path: str) -> dict[str, dict[str, Any]]:
    return {item["kind"]: item for item in yaml.safe_load_all((ROOT / "manifests" / path).read_text())}


def room(requests: dict[str, str], limits: dict[str, str]) -> Room:
    found: Room = Counter(pods=Decimal(1))  # type: ignore[arg-type]  quantities are decimals
    for what, sizes in (("requests", requests), ("limits", limits)):
        for resource, quantity in sizes.items():
            found[f"{what}.{resource}"] += parse_quantity(quantity)
    return found


def pod(task: TaskSettings) -> Room:
    """A task's container with the one that Argo adds, which declares nothing."""
    gpus = {task.accelerator.type: str(task.accelerator.count)} if task.accelerator else {}
    main = room(
        {"cpu": task.cpu_request, "memory": task.memory_request, **gpus},
        {"cpu": task.cpu_limit, "memory": task.memory_limit},
    )
    return main + undeclared(0)


def undeclared(pods: int = 1) -> Room:
    (limits,) = documents("base/quota.yaml")["LimitRange"]["spec"]["limits"]
    found = room(limits["defaultRequest"], limits["default"])
    found["pods"] = pods
    return found


def servers() -> Room:
    found: Room = Counter()
    for path in ("components/optuna-postgres/postgres.yaml", "components/seaweedfs/seaweedfs.yaml"):
        spec = documents(path)["StatefulSet"]["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        (claim,) = spec["volumeClaimTemplates"]
        found += room(container["resources"]["requests"], container["resources"]["limits"])
        found["requests.storage"] += parse_quantity(claim["spec"]["resources"]["requests"]["storage"])
        found["persistentvolumeclaims"] += 1
    return found


def trainers(cluster: ClusterSettings) -> Room:
    """All models at one time: the trainer, or a trial beside the task that waits for it; a driver of each."""
    found: Room = Counter()
    for kind in DEFAULT_KINDS:
        found += pod(cluster.task(f"train_{kind}")) + pod(cluster.task("tune_katib")) + undeclared(2)
    return found


def test_two_runs_at_one_time_fit_into_the_quota_and_the_gpus_of_one() -> None:
    one_run = trainers(ClusterSettings())
    quota = documents("base/quota.yaml")["ResourceQuota"]["spec"]["hard"]
    quota |= documents("components/gpu/quota.yaml")["ResourceQuota"]["spec"]["hard"]
    gpu = "requests.nvidia.com/gpu"
    needed = one_run + one_run + servers()
    needed[gpu] = one_run[gpu]
    assert set(needed) == set(quota)
    assert {key: value for key, value in needed.items() if value > parse_quantity(quota[key])} == {}


def test_the_quota_that_the_how_to_gives_a_profile_holds_a_run() -> None:
    text = (ROOT / "docs/how-to/install-on-a-cluster.md").read_text()
    (block,) = (part for part in text.split("```yaml\n") if "kind: Profile" in part)
    hard = yaml.safe_load(block.partition("```")[0])["spec"]["resourceQuotaSpec"]["hard"]
    needed = trainers(ClusterSettings())
    assert {key for key, quantity in hard.items() if needed[key] > parse_quantity(quantity)} == set()
