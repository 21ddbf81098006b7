"""What `kubecast doctor` says of quotas."""

import pytest

from kubecast.pipelines.running.doctor.quota import all_tasks, parallel_tasks
from kubecast.settings.loading import load_settings
from tests.pipelines.doctor.clusters import CORE, KATIB, Examine
from tests.support.servers.kubernetes_api import KubernetesApi

pytestmark = pytest.mark.slow

TUNED = ["pipeline.tuning.tuner=optuna", "pipeline.tuning.storage=database", "pipeline.tuning.workers=3"]


def test_quota_that_one_task_exceeds(examined: Examine, cluster: KubernetesApi) -> None:
    cluster.objects[f"{CORE}/resourcequotas/kubecast"]["spec"]["hard"]["limits.memory"] = "12Gi"
    line = examined()["quota"]
    assert line.state == "missing"
    assert "train_lstm asks for 16.5Gi of limits.memory, quota kubecast allows 12Gi" in line.detail
    assert "kubectl --namespace kubecast edit resourcequota kubecast" in line.mend
    assert line.mend.endswith("cluster.tasks.train_lstm")


def test_every_task_that_a_pipeline_may_have_is_held_against_the_quota(
    examined: Examine, cluster: KubernetesApi
) -> None:
    cluster.objects[f"{CORE}/resourcequotas/kubecast-gpu"]["spec"]["hard"]["requests.nvidia.com/gpu"] = "0"
    waits = "train_lstm asks for 1 of requests.nvidia.com/gpu, quota kubecast-gpu allows 0: it would wait"
    searches = [*TUNED, "pipeline.tuning.models=[arima]", "pipeline.tuning.workers=5"]
    assert waits in examined()["quota"].detail
    assert waits in examined(*searches)["quota"].detail
    assert examined("pipeline.models=[arima]")["quota"].state == "ok"
    large = examined("pipeline.models=[arima]", "cluster.tasks.forecast_shard.memory_limit=900Gi")["quota"]
    assert "forecast_shard asks for 900.5Gi of limits.memory" in large.detail
    ensemble = "cluster.tasks.tune_ensemble.memory_limit=900Gi"
    assert examined("pipeline.models=[arima]", ensemble)["quota"].state == "ok"
    tuned = ["pipeline.tuning.tuner=optuna", "pipeline.tuning.models=[ensemble]"]
    assert "tune_ensemble asks for" in examined("pipeline.models=[arima]", ensemble, *tuned)["quota"].detail


def test_quota_that_the_trainers_exceed_together(examined: Examine, cluster: KubernetesApi) -> None:
    cluster.objects[f"{CORE}/resourcequotas/kubecast-gpu"]["spec"]["hard"]["requests.nvidia.com/gpu"] = "1"
    line = examined()["quota"]
    assert line.state == "ok"  # each has its turn
    assert line.detail == (
        "tasks that run side by side ask for 2 of requests.nvidia.com/gpu, quota kubecast-gpu in kubecast"
        " allows 1: they take turns"
    )
    assert "which is free" in examined("cluster.gpu=false")["quota"].detail


def test_quota_that_is_too_small_for_one_task_is_told_before_another_that_makes_them_take_turns(
    examined: Examine, cluster: KubernetesApi
) -> None:
    cluster.objects[f"{CORE}/resourcequotas/kubecast"]["spec"]["hard"]["requests.cpu"] = "3"
    cluster.objects[f"{CORE}/resourcequotas/kubecast-gpu"]["spec"]["hard"]["requests.nvidia.com/gpu"] = "0"
    assert examined()["quota"].state == "missing"


@pytest.mark.parametrize(
    ("overrides", "moments"),
    [
        ([], ["arima catboost lstm transformer"]),
        ([*TUNED, "pipeline.tuning.models=[arima]"], ["3*arima catboost lstm transformer"]),
        (TUNED, ["3*arima 3*catboost 3*lstm 3*transformer"]),
        (
            [*TUNED, "pipeline.tuning.models=[arima, ensemble]"],
            ["3*arima catboost lstm transformer", "arima catboost lstm transformer 3*ensemble"],
        ),
        (
            [*TUNED, "pipeline.tuning.models=[ensemble]"],
            ["arima catboost lstm transformer", "arima catboost lstm transformer 3*ensemble"],
        ),
        (
            [*TUNED, "pipeline.tuning.tuner=katib", "pipeline.models=[arima, lstm]"],
            ["3*arima 3*lstm 2*katib"],
        ),
        (["pipeline.shards=4"], ["4*arima catboost lstm transformer"]),
        (["pipeline.shards=64", "cluster.parallelism=5"], ["5*arima catboost lstm transformer"]),
        (
            [*TUNED, "pipeline.tuning.models=[arima]", "pipeline.shards=8"],
            ["3*arima catboost lstm transformer", "8*arima catboost lstm transformer"],
        ),
        (
            [*TUNED, "pipeline.tuning.models=[arima, catboost]", "pipeline.shards=8"],
            ["3*arima 3*catboost lstm transformer", "8*arima 3*catboost lstm transformer"],
        ),
    ],
    ids=[
        "trainers",
        "one model's",
        "every model's",
        "and the ensemble's",
        "the ensemble's alone",
        "Katib's",
        "shards",
        "many shards",
        "a search, then shards",
        "shards beside a search",
    ],
)
def test_searches_and_shards_run_beside_the_trainers_of_other_models(
    overrides: list[str], moments: list[str]
) -> None:
    """Each task is told from the others by its request of processors."""
    requests = {
        "arima": 1,
        "lstm": 10,
        "transformer": 100,
        "catboost": 1000,
        "ensemble": 10000,
        "katib": 100000,
    }
    names = {kind: f"train_{kind}" for kind in requests} | {
        "ensemble": "tune_ensemble",
        "katib": "tune_katib",
    }
    sizes = [f"cluster.tasks.{names[kind]}.cpu_request='{request}'" for kind, request in requests.items()]
    limits = [f"cluster.tasks.{names[kind]}.cpu_limit='{request}'" for kind, request in requests.items()]
    *training, _ = parallel_tasks(load_settings(None, [*sizes, *limits, *overrides]))
    found = [sum(int(task.cpu_request) for task in tasks) for tasks in training]

    def size(term: str) -> int:
        count, _, kind = term.rpartition("*")
        return int(count or 1) * requests[kind]

    assert found == [sum(map(size, moment.split())) for moment in moments]


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        ([], 8),
        (["cluster.parallelism=3"], 3),
        (["pipeline.shards=2"], 2),
        (["pipeline.shards=64", "cluster.parallelism=20"], 20),
    ],
    ids=["default", "parallelism", "few shards", "many shards"],
)
def test_shards_run_side_by_side(overrides: list[str], count: int) -> None:
    settings = load_settings(None, ["cluster.tasks.forecast_shard.cpu_request='2'", *overrides])
    assert parallel_tasks(settings)[-1] == [settings.cluster.tasks.forecast_shard] * count
    assert {"prepare_history", "forecast_shard", "publish_batch"} <= all_tasks(settings).keys()


def test_quota_that_the_shards_exceed_together_makes_them_take_turns(
    examined: Examine, cluster: KubernetesApi
) -> None:
    shards = ["cluster.parallelism=60", "cluster.tasks.forecast_shard.cpu_request='4'"]
    line = examined(*shards)["quota"]
    assert line.state == "ok"
    assert line.detail.startswith("tasks that run side by side ask for")
    assert "of requests.cpu" in line.detail
    assert "they take turns" in line.detail


def test_quota_counts_every_worker_of_a_search(examined: Examine) -> None:
    assert "which is free" in examined(*KATIB)["quota"].detail
    line = examined(*KATIB, "pipeline.tuning.workers=4")["quota"]
    assert line.state == "ok"
    assert "they take turns" in line.detail


def test_quota_that_is_in_use_is_said_and_no_fault(examined: Examine, cluster: KubernetesApi) -> None:
    cluster.objects[f"{CORE}/resourcequotas/kubecast"]["status"] = {"used": {"requests.cpu": "30"}}
    line = examined()["quota"]
    assert line.state == "not known"
    assert "2 of quota kubecast is free now: they would wait for what runs" in line.detail


def test_quota_for_some_pods_alone_is_passed_over(examined: Examine, cluster: KubernetesApi) -> None:
    quota = {
        "metadata": {"name": "low"},
        "spec": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": []}},
    }
    cluster.add(f"{CORE}/resourcequotas", quota)
    assert examined()["quota"].state == "ok"
