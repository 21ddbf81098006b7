"""What is told of a loop: each iteration is counted, and one that fails is found and named."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from kubecast.cli.run_view import shown as view
from kubecast.pipelines.running.following import Progress
from kubecast.pipelines.running.graph import Graph, Place
from kubecast.pipelines.running.kfp_tasks import node_id
from tests.support.clusters import invoke
from tests.support.recordings import (
    NAMESPACE,
    PODS,
    TRACEBACK,
    by_name,
    ended,
    look,
    pod_of,
    serve_run,
    serve_workflow,
    waits,
    workflow_of,
)
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi

WORKFLOW = "kubecast-training-abcde"
LOOP = "root(0).for-loop-1"
COUNTS = f"{LOOP}(0).iteration-driver(0)"
SUCCEEDED = {"root(0)": "Running", f"{LOOP}(0).iteration-driver": "Succeeded", COUNTS: "Succeeded"}


@dsl.component(base_image="python")
def split() -> list[str]:
    """The items."""
    return []


@dsl.component(base_image="python")
def forecast(shard: str) -> str:
    """One item."""
    return shard


@dsl.component(base_image="python")
def publish(statuses: list[str]) -> None:
    """All of them."""


@dsl.pipeline(name="inner")
def inner(shard: str) -> None:
    forecast(shard=shard).set_display_name("deep")


@dsl.pipeline(name="looped")
def looped() -> None:
    shards = split()
    with dsl.ParallelFor(shards.output, name="shards", parallelism=4) as shard:
        made = forecast(shard=shard).set_display_name("forecast-shard")
    publish(statuses=dsl.Collected(made.output)).set_display_name("publish-batch")


@dsl.pipeline(name="nested")
def nested() -> None:
    with dsl.ParallelFor(["a", "b"], name="outer"), dsl.ParallelFor(["c", "d"], name="inner") as item:
        inner(shard=item).set_display_name("graph")


def compiled(function: Any, file: Path) -> Any:
    compiler.Compiler().compile(function, str(file))
    return next(yaml.safe_load_all(file.read_text()))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return compiled(looped, tmp_path_factory.mktemp("looped") / "looped.yaml")


@pytest.fixture
def run(kfp: KfpApi, spec: Any) -> str:
    return serve_run(kfp, "run-frozen.json", spec, state="RUNNING", run_details={})


def item(number: int) -> str:
    """The graph that an iteration is, as far as its first attempt."""
    return f"{LOOP}(0).iteration-iterations({number}:{number})(0).iteration-item"


def iteration(number: int, phase: str) -> dict[str, str]:
    """The nodes of an iteration, in this phase from its container upwards."""
    at = item(number)
    task = f"{at}(0).forecast"
    below = at.removesuffix("(0).iteration-item")
    names = [below, f"{below}(0)", at, f"{at}(0)", task, f"{task}(0)", f"{task}(0).executor"]
    drivers = [f"{at}-driver", f"{at}-driver(0)", f"{task}-driver", f"{task}-driver(0)"]
    own = dict.fromkeys([*names, f"{task}(0).executor(0)"], phase)
    return dict.fromkeys(drivers, "Succeeded") | own


def loop(*phases: str) -> dict[str, str]:
    """The nodes of a loop that goes on, and those of its first iterations."""
    names = SUCCEEDED | dict.fromkeys([LOOP, f"{LOOP}(0)", f"{LOOP}(0).iteration-iterations"], "Running")
    for number, phase in enumerate(phases):
        names |= iteration(number, phase)
    return names


def served(cluster: KubernetesApi, run: str, names: dict[str, str], count: int = 8) -> dict[str, Any]:
    """A Workflow of these nodes, with what the loop's driver counted and what containers were given."""
    messages = {
        name: "main: Error (exit code 1)"
        for name, phase in names.items()
        if phase == "Failed" and name.endswith(("executor(0)", "driver(0)"))
    }
    workflow = workflow_of(run, names, messages)
    nodes = {node["name"].partition(".")[2]: node for node in workflow["status"]["nodes"].values()}
    if COUNTS in nodes:
        nodes[COUNTS]["outputs"] = {"parameters": [{"name": "iteration-count", "value": str(count)}]}
    for name, node in nodes.items():
        if name.endswith("executor(0)") and "iteration-item" in name:
            number = name.partition("iterations(")[2].partition(":")[0]
            patch = {"containers": [{"command": launcher(number)}]}
            node["inputs"] = {"parameters": [{"name": "pod-spec-patch", "value": json.dumps(patch)}]}
    serve_workflow(cluster, workflow)
    return nodes


def launcher(number: str) -> list[str]:
    given = {"inputs": {"parameterValues": {"shard": f"s3://bucket/work/key/{int(number):03}"}}}
    return ["/kfp-launcher/launch", "--executor_input", json.dumps(given), "--"]


def shown(progress: Progress) -> list[tuple[str, str, str]]:
    return [("/".join([*task.graphs, task.name]), task.state, task.iterations) for task in progress.tasks]


def test_iterations_of_a_loop_are_counted(kfp: KfpApi, cluster: KubernetesApi, run: str) -> None:
    served(cluster, run, loop("Succeeded", "Running", "Succeeded"))
    assert shown(look(kfp, run, cluster)) == [
        ("shards", "RUNNING", "2 of 8 ended"),
        ("shards/forecast-shard", "RUNNING", "2 of 8 ended"),
        ("publish-batch", "PENDING", ""),
        ("split", "PENDING", ""),
    ]


def test_between_two_iterations_a_loop_goes_on(kfp: KfpApi, cluster: KubernetesApi, run: str) -> None:
    served(cluster, run, loop("Succeeded", "Succeeded"))
    tasks = by_name(look(kfp, run, cluster))
    assert tasks["forecast-shard"].state == "RUNNING"
    assert tasks["forecast-shard"].iterations == "2 of 8 ended"


def test_once_all_have_ended_the_task_has_succeeded(kfp: KfpApi, cluster: KubernetesApi, run: str) -> None:
    served(cluster, run, loop("Succeeded", "Succeeded"), count=2)
    tasks = by_name(look(kfp, run, cluster))
    assert (tasks["shards"].state, tasks["forecast-shard"].state) == ("RUNNING", "SUCCEEDED")
    assert tasks["forecast-shard"].seconds == 10


def test_iteration_that_fails_is_named_with_its_item_its_pod_and_its_log(
    kfp: KfpApi, cluster: KubernetesApi, run: str
) -> None:
    nodes = served(cluster, run, loop("Succeeded", "Failed", "Running", "Succeeded"))
    name = f"{item(1)}(0).forecast(0).executor(0)"
    pod = f"{WORKFLOW}-system-container-impl-{nodes[name]['id'].rpartition('-')[2]}"
    cluster.logs[pod, "main"] = TRACEBACK
    found = look(kfp, run, cluster)
    [task] = found.failed
    assert (task.name, task.iteration, task.pod) == ("forecast-shard", "iteration 1, shard 001", pod)
    assert task.iterations == "3 of 8 ended, 1 failed"
    assert task.log == tuple(TRACEBACK.splitlines())
    assert task.command == f"kubectl -n kubeflow logs {pod} -c main --tail=50"
    rows = invoke("status", run, "--host", kfp.host, "--namespace", NAMESPACE).stdout
    assert "failed     shards / forecast-shard, iteration 1, shard 001\n" in rows
    why = "iteration 1, shard 001: TypeError: Cannot instantiate typing.Union"
    assert f"3 of 8 ended, 1 failed; {why}" in rows


def test_what_fails_before_an_iterations_tasks_is_the_loops(
    kfp: KfpApi, cluster: KubernetesApi, run: str
) -> None:
    driver = f"{item(1)}-driver"
    broken = {driver: "Failed", f"{driver}(0)": "Failed", item(1): "Omitted"}
    nodes = served(cluster, run, loop("Succeeded") | broken | {LOOP: "Failed", f"{LOOP}(0)": "Failed"})
    found = look(kfp, run, cluster)
    [task] = found.failed
    assert (task.name, task.state, task.iteration) == ("shards", "FAILED", "iteration 1")
    assert (task.iterations, task.reason) == ("2 of 8 ended, 1 failed", "main: Error (exit code 1)")
    assert task.pod.endswith(nodes[f"{driver}(0)"]["id"].rpartition("-")[2])
    assert by_name(found)["forecast-shard"].iterations == "1 of 8 ended"


def test_driver_that_counts_the_items_is_the_loops_own(kfp: KfpApi, cluster: KubernetesApi, run: str) -> None:
    names = {COUNTS: "Failed", COUNTS.removesuffix("(0)"): "Failed", LOOP: "Failed", f"{LOOP}(0)": "Failed"}
    served(cluster, run, names)
    [task] = look(kfp, run, cluster).failed
    assert (task.name, task.iteration, task.reason) == ("shards", "", "main: Error (exit code 1)")


def test_second_attempt_of_one_iteration_leaves_the_others_alone(
    kfp: KfpApi, cluster: KubernetesApi, run: str
) -> None:
    again = f"{item(1)}(1).forecast".replace("(1:1)(0)", "(1:1)(1)")
    names = loop("Succeeded", "Error", "Succeeded") | {again: "Running", f"{again}(0)": "Running"}
    served(cluster, run, names)
    found = look(kfp, run, cluster)
    assert by_name(found)["forecast-shard"].iterations == "2 of 8 ended"
    assert not found.failed


def test_pods_alone_tell_of_the_iterations_that_began(kfp: KfpApi, cluster: KubernetesApi, run: str) -> None:
    pods = [
        pod_of(run, f"{item(number)}(0).forecast(0).executor(0)", phase, "forecast-shard", **status)
        for number, (phase, status) in enumerate(
            [("Succeeded", {}), ("Failed", ended(137, "OOMKilled")), ("Pending", waits("ErrImagePull", "no"))]
        )
    ]
    for number, pod in enumerate(pods):
        pod["spec"]["containers"] = [{"name": "main", "command": launcher(str(number))}]
    cluster.add(PODS, *pods)
    found = look(kfp, run, cluster)
    assert found.source == "pods"
    [task] = found.failed
    assert (task.iteration, task.iterations) == ("iteration 1, shard 001", "2 ended, 1 failed")
    assert task.reason == "main: OOMKilled, exit status 137"
    assert task.pod == pods[1]["metadata"]["name"]
    shards = by_name(found)["shards"]
    assert (shards.state, shards.iterations) == ("FAILED", "2 ended, 1 failed")


def test_iteration_whose_pod_does_not_start_says_why(kfp: KfpApi, cluster: KubernetesApi, run: str) -> None:
    first = f"{item(0)}(0).forecast(0).executor(0)"
    second = first.replace("(0:0)", "(1:1)")
    stuck = pod_of(run, second, "Pending", "forecast-shard", **waits("ErrImagePull", "no such image"))
    cluster.add(PODS, pod_of(run, first, "Running", "forecast-shard"), stuck)
    task = by_name(look(kfp, run, cluster))["forecast-shard"]
    assert (task.state, task.iterations) == ("RUNNING", "0 ended")
    assert (task.iteration, task.reason) == ("iteration 1", "ErrImagePull: no such image")


def test_kubeflow_pipelines_alone_tells_of_iterations_by_the_nodes_after_them(kfp: KfpApi, spec: Any) -> None:
    def detail(name: str, after: str, state: str) -> dict[str, Any]:
        child = node_id(WORKFLOW, f"{WORKFLOW}(0).{after}")
        return {"display_name": name, "task_id": after, "state": state, "child_tasks": [{"pod_name": child}]}

    details = [detail("for-loop-1", f"{LOOP}(0)", "RUNNING")]
    for number, state in enumerate(["SUCCEEDED", "FAILED", "RUNNING"]):
        at = item(number)
        below = at.removesuffix(".iteration-item")
        details += [
            detail(f"iteration-iterations({number}:{number})", below, state),
            detail("iteration-item-driver", f"{at}-driver(0)", "SUCCEEDED"),
            detail("iteration-item", f"{at}(0)", state),
            detail("forecast-driver", f"{at}(0).forecast-driver(0)", "SUCCEEDED"),
            detail("forecast", f"{at}(0).forecast(0)", state),
            detail("forecast(0)", f"{at}(0).forecast(0).executor", state),
        ]
    details.append({"display_name": "forecast", "task_id": "nothing after it", "state": "PENDING"})
    run = serve_run(kfp, "run-frozen.json", spec, run_details={"task_details": details})
    assert shown(look(kfp, run))[:2] == [
        ("shards", "RUNNING", "2 ended, 1 failed"),
        ("shards/forecast-shard", "FAILED", "2 ended, 1 failed"),
    ]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (LOOP, Place(("for-loop-1",), "task", None)),
        (COUNTS, Place(("for-loop-1",), "driver", 0, (), within=True)),
        (f"{LOOP}(0).iteration-iterations", None),
        (f"{LOOP}(0).iteration-iterations(3:3)(0)", None),
        (f"{item(3)}(2)", Place(("for-loop-1",), "task", 2, (3,))),
        (f"{item(3)}-driver", Place(("for-loop-1",), "driver", None, (3,))),
        (f"{item(3)}(0).forecast-driver(0)", Place(("for-loop-1", "forecast"), "driver", 0, (3,))),
        (f"{item(3)}(0).forecast", Place(("for-loop-1", "forecast"), "task", None, (3,))),
        (
            f"{item(3)}(0).forecast(0).executor(1)",
            Place(("for-loop-1", "forecast"), "executor", 1, (3,), within=True),
        ),
        (f"{LOOP}(0).forecast", None),
    ],
)
def test_node_of_a_loop_is_located(spec: Any, name: str, place: Place | None) -> None:
    assert Graph(spec).locate(f"{WORKFLOW}(0).{name}") == place


def test_loops_in_loops_are_counted_by_the_outer_one(
    kfp: KfpApi, cluster: KubernetesApi, tmp_path: Path
) -> None:
    spec = compiled(nested, tmp_path / "nested.yaml")
    assert [task.item for task in Graph(spec).tasks if task.name in ("graph", "deep")] == ["shard", "shard"]
    run = serve_run(kfp, "run-frozen.json", spec, state="RUNNING", run_details={})
    outer = "root(0).for-loop-2"
    names = {outer: "Running"}
    for number, phase in enumerate(["Succeeded", "Running"]):
        at = f"{outer}(0).iteration-iterations({number}:{number})(0).iteration-item(0)"
        inner_loop = f"{at}.for-loop-4"
        names |= {inner_loop: phase}
        for second in range(2):
            here = f"{inner_loop}(0).iteration-iterations({second}:{second})(0).iteration-item"
            names |= {here: phase, f"{here}(0).inner": phase, f"{here}(0).inner(0).forecast": phase}
    serve_workflow(cluster, workflow_of(run, names))
    assert shown(look(kfp, run, cluster)) == [
        ("outer", "RUNNING", ""),
        ("outer/inner", "RUNNING", "1 ended"),
        ("outer/inner/graph", "RUNNING", "2 ended"),
        ("outer/inner/graph/deep", "RUNNING", "2 ended"),
    ]


def test_each_change_of_the_count_is_a_line(
    kfp: KfpApi, cluster: KubernetesApi, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with view() as show:
        for names in (loop("Running"), loop("Succeeded", "Running"), loop("Succeeded", "Running")):
            cluster.objects.clear()
            served(cluster, run, names)
            show(look(kfp, run, cluster))
    lines = [line for line in capsys.readouterr().err.splitlines() if "shard" in line]
    assert lines == [
        "RUNNING   shards  0 of 8 ended",
        "RUNNING   forecast-shard",
        "RUNNING   shards  1 of 8 ended",
    ]
