"""Tasks of graphs in graphs keep their names, whatever the source."""

from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from kubecast.config.cluster import MOST_ATTEMPTS
from kubecast.pipelines.running.following import Progress
from kubecast.pipelines.running.graph import Graph
from kubecast.pipelines.running.kfp_tasks import node_id
from tests.support.clusters import invoke
from tests.support.recordings import (
    NAMESPACE,
    PODS,
    by_name,
    ended,
    look,
    nodes_of,
    pod_of,
    recorded,
    serve_run,
    serve_workflow,
    workflow_of,
)
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi


@dsl.component(base_image="python")
def work() -> None:
    """Nothing."""


@dsl.pipeline(name="inner")
def inner() -> None:
    work().set_display_name("train-arima")
    work().set_display_name("train-lstm")


@dsl.pipeline(name="inner-final")
def inner_final() -> None:
    work().set_display_name("final-arima")
    work().set_display_name("final-lstm")


@dsl.pipeline(name="nested")
def nested() -> None:
    notify = work().set_display_name("notify-failure")
    with dsl.ExitHandler(notify, name="run"):
        first = work().set_display_name("prepare-data")
        train = inner().set_display_name("train").after(first)
        inner_final().set_display_name("final-fit").after(train)


@pytest.fixture(scope="module")
def nested_spec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("nested") / "nested.yaml"
    compiler.Compiler().compile(nested, str(file))
    return next(yaml.safe_load_all(file.read_text()))


RUN = "root(0).exit-handler-1"
NESTED = {
    f"{RUN}-driver(0)": "Succeeded",
    RUN: "Failed",
    f"{RUN}(0)": "Failed",
    f"{RUN}(0).work-2(0).executor(0)": "Succeeded",
    f"{RUN}(0).work-2": "Succeeded",
    f"{RUN}(0).inner-driver(0)": "Succeeded",
    f"{RUN}(0).inner": "Succeeded",
    f"{RUN}(0).inner(0).work": "Succeeded",
    f"{RUN}(0).inner(0).work-2": "Succeeded",
    f"{RUN}(0).inner-final": "Failed",
    f"{RUN}(0).inner-final(0).work": "Failed",
    f"{RUN}(0).inner-final(0).work(0).executor(0)": "Failed",
    f"{RUN}(0).inner-final(0).work-2": "Running",
    f"{RUN}.onExit(0)": "Succeeded",
    f"{RUN}.onExit(0).work(0)": "Succeeded",
    f"{RUN}.onExit(0).work(0).executor(0)": "Succeeded",
}


def shown(progress: Progress) -> list[tuple[str, str]]:
    return [("/".join([*task.graphs, task.name]), task.state) for task in progress.tasks]


def test_tasks_of_graphs_in_graphs_keep_their_names(
    kfp: KfpApi, cluster: KubernetesApi, nested_spec: Any
) -> None:
    run = serve_run(kfp, "run-frozen.json", nested_spec, run_details={})
    serve_workflow(cluster, workflow_of(run, NESTED))
    found = look(kfp, run, cluster)
    assert sorted(shown(found)) == [
        ("notify-failure", "SUCCEEDED"),
        ("run", "FAILED"),
        ("run/final-fit", "FAILED"),
        ("run/final-fit/final-arima", "FAILED"),
        ("run/final-fit/final-lstm", "RUNNING"),
        ("run/prepare-data", "SUCCEEDED"),
        ("run/train", "SUCCEEDED"),
        ("run/train/train-arima", "SUCCEEDED"),
        ("run/train/train-lstm", "SUCCEEDED"),
    ]
    assert [task.name for task in found.failed] == ["final-arima"]
    rows = invoke("status", run, "--host", kfp.host, "--namespace", NAMESPACE).stdout
    assert "\nfinal-arima\t" in rows
    assert "failed     run / final-fit / final-arima" in rows


def test_tasks_of_a_graph_that_did_not_start_are_omitted_with_it(
    kfp: KfpApi, cluster: KubernetesApi, nested_spec: Any
) -> None:
    run = serve_run(kfp, "run-frozen.json", nested_spec, state="FAILED", run_details={})
    names = {f"{RUN}(0).work-2": "Failed", f"{RUN}(0).inner": "Omitted", f"{RUN}(0).inner-driver": "Omitted"}
    serve_workflow(cluster, workflow_of(run, names))
    tasks = by_name(look(kfp, run, cluster))
    assert {tasks[name].state for name in ("train", "train-arima", "final-lstm")} == {"OMITTED"}


def test_pods_alone_give_a_graph_its_state(kfp: KfpApi, cluster: KubernetesApi, nested_spec: Any) -> None:
    run = serve_run(kfp, "run-frozen.json", nested_spec, run_details={})
    at = f"{RUN}(0).inner-final(0)"
    cluster.add(
        PODS,
        pod_of(run, f"{at}.work(0).executor(0)", "Failed", "final-arima", **ended(1)),
        pod_of(run, f"{at}.work-2(0).executor(0)", "Failed", "final-lstm", **ended(1)),
        pod_of(run, f"{at}.work-2(0).executor(1)", "Running", "final-lstm"),
    )
    tasks = by_name(look(kfp, run, cluster))
    assert [tasks[name].state for name in ("final-fit", "final-arima", "final-lstm")] == [
        "FAILED",
        "FAILED",
        "RUNNING",
    ]


def test_graph_whose_driver_failed_has_failed_by_pods_alone(
    kfp: KfpApi, cluster: KubernetesApi, nested_spec: Any
) -> None:
    details = [{"display_name": "work-2", "task_id": "t", "end_time": "2026-11-28T23:00:00Z"}]
    run = serve_run(kfp, "run-frozen.json", nested_spec, run_details={"task_details": details})
    cluster.add(PODS, pod_of(run, f"{RUN}(0).inner-driver(0)", "Failed", **ended(1)))
    found = look(kfp, run, cluster)
    assert by_name(found)["train"].state == "FAILED"
    assert [task.name for task in found.failed] == ["train"]
    assert f"logs {found.failed[0].pod} -c main" in found.failed[0].command


def test_equal_names_in_two_graphs_are_told_apart_by_the_nodes_after_them(
    kfp: KfpApi, nested_spec: Any
) -> None:
    def detail(name: str, after: str, state: str = "FAILED") -> dict[str, Any]:
        child = node_id("wf", f"wf(0).{RUN}(0).{after}")
        return {"display_name": name, "task_id": after, "state": state, "child_tasks": [{"pod_name": child}]}

    details = [
        detail("work", f"inner-final(0).work({MOST_ATTEMPTS})"),
        detail("work", "inner(0).work(0)", "SUCCEEDED"),
        detail("work-2(0)", "inner-final(0).work-2(0).executor"),
        detail("work-2-driver", "inner(0).work-2-driver(0)", "RUNNING"),
    ]
    run = serve_run(kfp, "run-frozen.json", nested_spec, run_details={"task_details": details})
    tasks = by_name(look(kfp, run))
    names = ("train-arima", "final-arima", "final-lstm", "train-lstm")
    assert [tasks[name].state for name in names] == ["SUCCEEDED", "FAILED", "FAILED", "RUNNING"]


def test_every_recorded_node_is_found_in_the_graph() -> None:
    graph = Graph(recorded("graph-train.json"))
    nodes = nodes_of(recorded("workflow-train.json.gz"))
    missing = {node["name"].partition(".")[2] for node in nodes.values() if not graph.locate(node["name"])}
    assert missing == {""}  # the workflow's own
    assert all(
        id_ == node_id("kubecast-training-k9fw8", node["name"])
        for id_, node in nodes.items()
        if "." in node["name"]
    )
