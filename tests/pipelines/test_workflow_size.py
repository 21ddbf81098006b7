"""The size model of a workflow, held to a workflow that a real cluster made."""

import base64
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from tests.support.workflow_size import WorkflowSize, finished_bytes, main, measure_file, workflow_size
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


def test_the_command_prints_the_largest_nodes_and_each_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compiled(tmp_path / "nested.yaml", wired=True)
    monkeypatch.setattr(sys, "argv", ["workflow_size", str(path), "settings=" + "x" * 100])
    main()
    printed = capsys.readouterr().out
    assert "root.exit-handler-1.train.fit" in printed
    assert f"{finished_bytes(path, {'settings': 'x' * 100}):,}  in all" in printed
