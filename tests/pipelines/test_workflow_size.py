"""The size model of a workflow, held to a workflow that a real cluster made."""

import base64
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from kubecast.pipelines.running.graph import Graph
from tests.support.workflow_size import (
    ARGOS_GZIP,
    WorkflowSize,
    finished_bytes,
    main,
    measure_file,
    packed_bytes,
    workflow_size,
)
from tests.support.workflow_spec import size_of

RECORDING = Path(__file__).parents[1] / "recordings" / "workflow-train.json.gz"


def parameters_of(holder: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in holder["parameters"]}


def rebuilt(workflow: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Both documents of the pipeline that a recorded workflow was made of, and the run's parameters."""
    saved = parameters_of(workflow["spec"]["arguments"])
    root = json.loads(saved["components-root"])
    templates = {each["name"]: each for each in workflow["spec"]["templates"]}
    components, executors, configs = {}, {}, {}
    for task in [
        each for template in templates.values() for each in template.get("dag", {}).get("tasks", [])
    ]:
        given = parameters_of(task.get("arguments") or {"parameters": []})
        if "component" not in given or "task" not in given:
            continue
        reference = json.loads(given["task"])["componentRef"]["name"]
        kept = given["component"].removeprefix("{{workflow.parameters.").removesuffix("}}")
        components[reference] = json.loads(saved[kept])
        if "dag" in components[reference]:
            continue
        label = "exec-" + reference.removeprefix("comp-")
        components[reference]["executorLabel"] = label
        digest = kept.removeprefix("components-")
        executors[label] = {"container": json.loads(saved[f"implementations-{digest}"])}
        configs[label] = json.loads(saved[f"kubernetes-{reference}"])
    start = next(each for each in templates["entrypoint"]["dag"]["tasks"] if each["name"] == "root-driver")
    runtime = json.loads(parameters_of(start["arguments"])["runtime-config"])
    spec = {
        "pipelineInfo": {"name": workflow["metadata"]["generateName"].removesuffix("-")},
        "root": root,
        "components": components,
        "deploymentSpec": {"executors": executors},
    }
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": configs}}}}
    return spec, platform, runtime["parameterValues"]


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return json.loads(gzip.decompress(RECORDING.read_bytes()))


@pytest.fixture(scope="module")
def recorded(workflow: dict[str, Any]) -> dict[str, int]:
    """Bytes of the recorded nodes, by name as the model has it."""
    packed = workflow["status"]["compressedNodes"]
    nodes = json.loads(gzip.decompress(base64.b64decode(packed)))
    start = workflow["metadata"]["name"]
    return {
        node["name"].removeprefix(start).removeprefix("(0).") or node["name"]: size_of({key: node}) - 1
        for key, node in nodes.items()
    }


@pytest.fixture(scope="module")
def model(workflow: dict[str, Any]) -> WorkflowSize:
    return workflow_size(*rebuilt(workflow))


def test_the_model_reproduces_the_recorded_nodes_in_all(
    model: WorkflowSize, recorded: dict[str, int]
) -> None:
    # The recorded run had not ended: nodes that are missing there are not compared.
    modelled = {node.name: node.bytes for node in model.nodes}
    common = recorded.keys() & modelled.keys()
    assert len(common) >= len(recorded) - 2  # all but the workflow's own two, which have its random name
    expected = sum(recorded[name] for name in common)
    assert sum(modelled[name] for name in common) == pytest.approx(expected, rel=0.1)


def test_the_model_reproduces_the_five_largest_nodes(model: WorkflowSize, recorded: dict[str, int]) -> None:
    modelled = {node.name: node.bytes for node in model.nodes}
    for name in sorted(recorded, key=lambda name: -recorded[name])[:5]:
        assert modelled[name] == pytest.approx(recorded[name], rel=0.15), name


def test_the_model_reproduces_the_recorded_spec(model: WorkflowSize, workflow: dict[str, Any]) -> None:
    assert model.spec == pytest.approx(size_of(workflow["spec"]), rel=0.1)


@pytest.mark.parametrize("name", ["workflow-train-notices.json.gz"])
def test_the_model_reproduces_a_whole_workflow_with_graphs_inside_and_an_exit_handler(name: str) -> None:
    workflow = json.loads(gzip.decompress((RECORDING.parent / name).read_bytes()))
    model = workflow_size(*rebuilt(workflow))
    assert model.total == pytest.approx(size_of(workflow), rel=0.1)
    nodes = workflow["status"]["nodes"]
    assert len(model.nodes) == len(nodes)
    largest = sorted((size_of({key: node}) - 1 for key, node in nodes.items()), reverse=True)[:5]
    assert sorted((node.bytes for node in model.nodes), reverse=True)[:5] == pytest.approx(largest, rel=0.15)


@dsl.component(base_image="python:3.11")
def fit(settings: str, model: dsl.Output[dsl.Model]) -> str:
    return settings


@dsl.component(base_image="python:3.11")
def publish(model: dsl.Input[dsl.Model] = None) -> None:
    pass


@dsl.component(base_image="python:3.11")
def notify(message: str) -> None:
    pass


@dsl.pipeline
def train(settings: str) -> dsl.Model:
    return fit(settings=settings).outputs["model"]


def compiled(path: Path, wired: bool) -> Path:
    @dsl.pipeline(name="nested")
    def nested(settings: str = "{}") -> None:
        with dsl.ExitHandler(notify(message="over"), name="run"):
            trained = train(settings=settings)
            publish(**({"model": trained.output} if wired else {}))

    compiler.Compiler().compile(nested, str(path))
    return path


def test_a_graph_within_a_graph_and_an_exit_handler_have_nodes_of_their_own(tmp_path: Path) -> None:
    size = measure_file(compiled(tmp_path / "nested.yaml", wired=True), {})
    handler = "root(0).exit-handler-1"
    expected = {
        name + attempt
        for path, task in (
            ("root", ""),
            (handler, ""),
            (f"{handler}(0).train", ""),
            (f"{handler}(0).train(0).fit", "executor"),
            (f"{handler}(0).publish", "executor"),
            (f"{handler}.onExit(0).notify", "executor"),
        )
        for name in (f"{path}-driver", path, *([f"{path}(0).executor"] if task else []))
        for attempt in ("", "(0)")
    }
    expected |= {"", "(0)", f"{handler}.onExit", f"{handler}.onExit(0)"}
    assert {node.name for node in size.nodes} == expected


def test_an_optional_artifact_that_nothing_is_wired_to_takes_no_place(tmp_path: Path) -> None:
    sizes = [
        measure_file(compiled(tmp_path / f"{wired}.yaml", wired), {}).by_task() for wired in (True, False)
    ]
    wired, absent = (each["root.exit-handler-1.publish"] for each in sizes)
    # Six nodes hold where it lies in the store and, far longer, how the store is reached.
    assert wired - absent > 6 * 500


def test_a_runs_parameters_count_wherever_they_are_passed(tmp_path: Path) -> None:
    path = compiled(tmp_path / "nested.yaml", wired=True)
    added = finished_bytes(path, {"settings": "x" * 1002}) - finished_bytes(path, {})
    # In the six nodes of the one task that takes it, and in the root driver's two and the template of these.
    assert added == 9 * 1000
    assert finished_bytes(path, {"fit.Output": "x" * 1002}) == finished_bytes(path, {})  # nothing takes it


@dsl.component(base_image="python:3.11")
def items(count: int) -> list[int]:
    return list(range(count))


@dsl.component(base_image="python:3.11")
def work(item: int, made: dsl.Output[dsl.Dataset]) -> str:
    return str(item)


@dsl.component(base_image="python:3.11")
def collect(results: list[str]) -> None:
    pass


@dsl.pipeline(name="looped")
def looped(count: int = 32) -> None:
    counted = items(count=count)
    with dsl.ParallelFor(counted.output, name="loop", parallelism=4) as item:
        worked = work(item=item)
    collect(results=dsl.Collected(worked.outputs["Output"]))


def size_of_loop(path: Path, count: int) -> WorkflowSize:
    compiler.Compiler().compile(looped, str(path))
    values = {"items.Output": list(range(count)), "work.Output": lambda given: str(given["item"])}
    return measure_file(path, values)


def test_each_iteration_of_a_loop_is_twelve_nodes(tmp_path: Path) -> None:
    names = {node.name for node in size_of_loop(tmp_path / "loop.yaml", 2).nodes}
    loop = "root(0).for-loop-1"
    every = f"{loop}(0).iteration-iterations"
    expected = {
        every,
        *(f"{name}{again}" for name in (loop, f"{loop}(0).iteration-driver") for again in ("", "(0)")),
    }
    for number in (0, 1):
        at = f"{every}({number}:{number})"
        item = f"{at}(0).iteration-item"
        task = f"{item}(0).work"
        twice = (at, f"{item}-driver", item, f"{task}-driver", task, f"{task}(0).executor")
        expected |= {f"{name}{again}" for name in twice for again in ("", "(0)")}
    assert {name for name in names if name.startswith(loop)} == expected
    graph = Graph(next(yaml.safe_load_all((tmp_path / "loop.yaml").read_text())))
    lost = {name for name in names if name.startswith("root") and not graph.locate(f"wf(0).{name}")}
    assert lost == {name for name in expected if name.rpartition(".")[2].startswith("iteration-iterations")}


def test_a_loop_of_32_is_as_large_as_one_that_was_seen(tmp_path: Path) -> None:
    """Kubeflow Pipelines lost sight of its tasks past 1 MiB; compressed, an iteration was about 3.5 kB."""
    size = size_of_loop(tmp_path / "loop.yaml", 32)
    assert sum(node.type == "Pod" for node in size.nodes) == pytest.approx(100, abs=5)
    assert size.total > 1024 * 1024
    assert size.packed / 32 == pytest.approx(3500, rel=0.25)


@pytest.mark.parametrize("name", ["workflow-train.json.gz", "workflow-train-notices.json.gz"])
def test_the_model_packs_nodes_as_small_as_argo(name: str) -> None:
    workflow = json.loads(gzip.decompress((RECORDING.parent / name).read_bytes()))
    status, start = workflow["status"], workflow["metadata"]["name"]
    packed = status.get("compressedNodes")
    nodes = json.loads(gzip.decompress(base64.b64decode(packed))) if packed else status["nodes"]
    text = json.dumps(nodes, separators=(",", ":"), ensure_ascii=False).encode()
    expected = len(packed) if packed else ARGOS_GZIP * len(base64.b64encode(gzip.compress(text, 6)))
    names = {node["name"].removeprefix(f"{start}(0).") for node in nodes.values()}
    common = [node for node in workflow_size(*rebuilt(workflow)).nodes if node.name in names]
    assert packed_bytes(common) == pytest.approx(expected, rel=0.15)


def test_the_command_prints_the_largest_nodes_and_each_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compiled(tmp_path / "nested.yaml", wired=True)
    monkeypatch.setattr(sys, "argv", ["workflow_size", str(path), "settings=" + "x" * 100])
    main()
    printed = capsys.readouterr().out
    assert "root.exit-handler-1.train.fit" in printed
    assert f"{finished_bytes(path, {'settings': 'x' * 100}):,}  in all" in printed
