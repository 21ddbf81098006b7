"""How large the Argo Workflow of a finished run is, as Kubeflow Pipelines 2.17 makes it.

Argo compresses the nodes of a workflow that is larger than 1 MiB; KFP then loses sight of the run's tasks.
Each task is six nodes: its driver, its executor and that one's pod, each of them twice, because KFP's Argo
retries every template by default: a node of type Retry, and within it the attempt. All six hold the task's
component, inputs and source text. A loop is a graph whose own graph counts the items, and each iteration is
a graph in a graph: with one task in it, twelve nodes.

The workflow is built here as KFP's compiler, its driver and Argo do, and its JSON is measured; recorded
workflows hold the model to that.

    python -m tests.support.workflow_size FILE [NAME=VALUE ...]

A NAME is a parameter of the pipeline, or ``task.output`` for an output parameter of a task.
"""

import base64
import gzip
import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from kubecast.pipelines.running.kfp_tasks import node_id
from tests.support.kfp_driver import (
    UUID,
    Scope,
    add_graph_outputs,
    add_outputs,
    executor_input,
    go_json,
    iterations_of,
    pod_spec_patch,
)
from tests.support.workflow_spec import (
    CONTAINER_DRIVER,
    DAG_DRIVER,
    Task,
    WorkflowSpec,
    exit_template,
    parameters,
)

ARTIFACTS = "minio://mlpipeline/v2/artifacts"
METADATA, REST_OF_STATUS = 539, 751  # bytes, as recorded
ARGOS_GZIP = 1.114  # a recorded Workflow's nodes as Argo packs them, to what Python's gzip makes of them
START = datetime(2026, 11, 28, 23, 8, 59, tzinfo=UTC)


@dataclass(frozen=True)
class Node:
    """A node of a workflow; ``name`` is its name without the workflow's own, ``text`` its entry in JSON."""

    name: str
    display_name: str
    type: str
    text: str

    @property
    def bytes(self) -> int:
        """The size of its entry, with a comma."""
        return len(self.text.encode()) + 1


@dataclass(frozen=True)
class WorkflowSize:
    """Bytes of a workflow: of its nodes, and of its specification.

    Attributes:
        nodes: Each of them.
        spec: Bytes.
        argument: Characters of the longest word that a container of a task is started with.
    """

    nodes: list[Node]
    spec: int
    argument: int = 0

    @property
    def total(self) -> int:
        """What Argo compares with 1 MiB."""
        return sum(node.bytes for node in self.nodes) + self._rest

    @property
    def packed(self) -> int:
        """What Argo compares with 1 MiB once it has compressed the nodes."""
        return packed_bytes(self.nodes) + self._rest

    @property
    def _rest(self) -> int:
        return self.spec + METADATA + REST_OF_STATUS

    def by_task(self) -> Counter[str]:
        """The bytes of each task's nodes, its driver's included."""
        tasks: Counter[str] = Counter()
        for node in self.nodes:
            name = node.name.replace("(0)", "").removesuffix(".executor").removesuffix("-driver")
            tasks[name or "workflow"] += node.bytes
        return tasks


def packed_bytes(nodes: list[Node]) -> int:
    """The bytes of nodes as Argo compresses them, by their ids: gzip, then base64."""
    text = "{" + ",".join(sorted(node.text for node in nodes)) + "}"
    return int(ARGOS_GZIP * len(base64.b64encode(gzip.compress(text.encode(), 6, mtime=0))))


def workflow_size(
    spec: Mapping[str, Any], platform: Mapping[str, Any], values: Mapping[str, Any]
) -> WorkflowSize:
    """The size of a run's workflow when each of its tasks has succeeded at its first attempt.

    Args:
        spec: First document of a compiled pipeline.
        platform: The second; empty where there is none.
        values: Parameters of the run, which go before the pipeline's defaults; with ``task.output``, output
            parameters of a task. See ``add_outputs`` for those that are not stated.
    """
    return _Workflow(spec, platform, values).measure()


def measure_file(compiled: Path, values: Mapping[str, Any]) -> WorkflowSize:
    """Like ``workflow_size``, from a compiled file with one or two documents."""
    spec, *rest = yaml.load_all(compiled.read_text(), yaml.CSafeLoader)
    return workflow_size(spec, rest[0] if rest else {}, values)


def finished_bytes(compiled: Path, values: Mapping[str, Any]) -> int:
    """The size of a finished run's workflow, from a compiled file."""
    return measure_file(compiled, values).total


class _Workflow:
    def __init__(
        self, spec: Mapping[str, Any], platform: Mapping[str, Any], values: Mapping[str, Any]
    ) -> None:
        self.pipeline = spec["pipelineInfo"]["name"]
        self.name = f"{self.pipeline}-00000"
        self.root, self.components = spec["root"], spec["components"]
        self.executors = spec["deploymentSpec"]["executors"]
        kubernetes = platform.get("platforms", {}).get("kubernetes", {})
        self.configs = kubernetes.get("deploymentSpec", {}).get("executors", {})
        self.values = values
        self.spec = WorkflowSpec()
        self.nodes: list[Node] = []
        self.argument = 0

    def measure(self) -> WorkflowSize:
        definitions = self.root.get("inputDefinitions", {}).get("parameters", {})
        values = {name: each.get("defaultValue") for name, each in definitions.items()}
        values |= {name: each for name, each in self.values.items() if "." not in name}
        runtime_config = go_json({"parameterValues": values})
        self.spec.add_entrypoint(self.root, runtime_config)
        self._add_nodes("", "entrypoint", "DAG", {}, children=1)
        self._add_dag_driver("root", self.root, runtime_config=runtime_config)
        scope = Scope({name: value for name, value in values.items() if value is not None}, {})
        self._add_graph("root", "root", self.root["dag"], scope, followers=0)
        return WorkflowSize(self.nodes, self.spec.bytes, self.argument)

    def _add_graph(
        self, path: str, template: str, graph: Mapping[str, Any], scope: Scope, followers: int
    ) -> None:
        tasks = [self._task(name, graph["tasks"][name]) for name in _ordered(graph["tasks"])]
        self.spec.add_graph(template, tasks)
        first = sum(not task.dependencies for task in tasks)
        rest = {"inputs": parameters({"parent-dag-id": "1"})}
        self._add_nodes(path, template, "DAG", rest, first + followers)
        for task in tasks:
            within = f"{path}(0)"
            if task.is_exit:  # the hook of the one task that it waits for
                within = f"{within}.{task.dependencies[0]}.onExit"
                self._add_nodes(within, exit_template(template, task.name), "DAG", rest, children=1)
                within += "(0)"
            count = sum(task.name in each.dependencies for each in tasks)
            add = self._add_loop if task.is_loop else self._add_task
            add(task, scope, f"{within}.{task.name}", count)

    def _task(self, name: str, spec: Mapping[str, Any]) -> Task:
        component = self.components[spec["componentRef"]["name"]]
        if "dag" in component:
            return Task(name, spec, component)
        label = component["executorLabel"]
        if "container" not in self.executors[label]:
            raise ValueError(f"task {name}: importers have no size model")
        return Task(name, spec, component, self.executors[label]["container"], self.configs.get(label, {}))

    def _add_task(self, task: Task, scope: Scope, path: str, followers: int) -> None:
        add = self._add_container if task.container else self._add_subgraph
        add(task, scope, path, followers)

    def _add_loop(self, task: Task, scope: Scope, path: str, followers: int) -> None:
        each = iterations_of(task.spec, scope.inputs_of(task.spec, task.component))
        rest = {"inputs": parameters({"parent-dag-id": "1"})}
        self._add_nodes(path, task.iterator, "DAG", rest, children=1, outbound=len(each))
        self._add_dag_driver(f"{path}(0).iteration", task.component, task, count=len(each))
        every = f"{path}(0).iteration-iterations"
        self._add_node(every, task.iteration, "TaskGroup", {}, len(each))
        made: list[Scope] = []
        for number, inside in enumerate(each):
            rest = {"inputs": parameters({"parent-dag-id": "1", "iteration-index": str(number)})}
            self._add_nodes(f"{every}({number}:{number})", task.iteration, "DAG", rest, children=1)
            at = f"{every}({number}:{number})(0).iteration-item"
            self._add_dag_driver(at, task.component, task, index=str(number))
            self._add_graph(at, task.template, task.component["dag"], inside, followers)
            add_graph_outputs(outer := Scope({}, {}), task.name, task.component["dag"], inside)
            made.append(outer)
        for key in made[0].task_parameters if made else ():
            scope.task_parameters[key] = [outer.task_parameters[key] for outer in made]
        for key in made[0].task_artifacts if made else ():
            scope.task_artifacts[key] = [each for outer in made for each in outer.task_artifacts[key]]

    def _add_subgraph(self, task: Task, scope: Scope, path: str, followers: int) -> None:
        self._add_dag_driver(path, task.component, task)
        graph, inside = task.component["dag"], scope.inputs_of(task.spec, task.component)
        self._add_graph(path, task.template, graph, inside, followers)
        add_graph_outputs(scope, task.name, graph, inside)

    def _add_container(self, task: Task, scope: Scope, path: str, followers: int) -> None:
        inputs = scope.inputs_of(task.spec, task.component)
        uri = partial("/".join([ARTIFACTS, self.pipeline, UUID, task.name, _uuid(path), "{}"]).format)
        executor = executor_input(task.component, inputs, uri)
        pod = pod_spec_patch(self.pipeline, task.component, task.container, task.config, executor)
        self.argument = max(self.argument, *map(len, pod["containers"][0]["command"]))
        patch = go_json(pod)
        given = {
            "component": go_json(task.component),
            "task": go_json(task.spec),
            "container": go_json(task.container),
            "task-name": task.name,
            "parent-dag-id": "1",
            "iteration-index": ("-1", "-1"),
            "kubernetes-config": (go_json(task.config) if task.config else "", ""),
        }
        results = {"pod-spec-patch": (patch, ""), "cached-decision": ("false", "false")}
        self._add_driver(path, CONTAINER_DRIVER, given, results)
        retries = {name: (value, "0") for name, value in task.retries.items()}
        outer = {"pod-spec-patch": patch, "cached-decision": ("false", "false"), **task.metadata, **retries}
        self._add_nodes(path, task.template, "DAG", {"inputs": parameters(outer)}, followers + 1)
        inner = {"pod-spec-patch": patch, **task.metadata, **task.retries}
        at = f"{path}(0).executor"
        rest = {"inputs": parameters(inner), "outputs": self._logs(at, task.implementation)}
        self._add_nodes(at, task.implementation, "Pod", rest, children=0)
        add_outputs(scope, task.name, task.component, inputs, uri, self.values)

    def _add_dag_driver(
        self,
        path: str,
        component: Mapping[str, Any],
        task: Task | None = None,
        runtime_config: str = "",
        index: str = "-1",
        count: int = 0,
    ) -> None:
        given = {
            "component": go_json(component),
            "runtime-config": (runtime_config, ""),
            "task": (go_json(task.spec) if task else "", ""),
            "task-name": (task.name if task else "", ""),
            "parent-dag-id": ("1", "0"),
            "iteration-index": (index, "-1"),
            "driver-type": ("DAG" if task else "ROOT_DAG", "DAG"),
        }
        counted = {"execution-id": "1", "iteration-count": (str(count), "0")}
        self._add_driver(path, DAG_DRIVER, given, counted)

    def _add_driver(
        self, path: str, template: str, given: Mapping[str, Any], results: Mapping[str, Any]
    ) -> None:
        outputs = parameters({**results, "condition": ("nil", "true")})
        for output in outputs["parameters"]:
            default = {"default": output.pop("default")} if "default" in output else {}
            output["valueFrom"] = {"path": f"/tmp/outputs/{output['name']}", **default}  # noqa: S108
        rest = {"inputs": parameters(given), "outputs": outputs | self._logs(f"{path}-driver", template)}
        self._add_nodes(f"{path}-driver", template, "Pod", rest, children=1)

    def _logs(self, path: str, template: str) -> dict[str, Any]:
        pod = f"{self.name}-{template}-{self._id(path).rpartition('-')[2]}"
        key = f"private-artifacts/kubeflow/{self.name}/2026/11/28/{pod}/main.log"
        return {"artifacts": [{"name": "main-logs", "s3": {"key": key}}], "exitCode": "0"}

    def _id(self, path: str) -> str:
        """The id of a node; Argo's are as long as a number of 32 bits."""
        name, _, digits = node_id(self.name, path).rpartition("-")
        return f"{name}-{digits:0>10}"

    def _add_nodes(
        self, path: str, template: str, kind: str, rest: Mapping[str, Any], children: int, outbound: int = 1
    ) -> None:
        """Add the two nodes that every template is: the one that retries, and its one attempt."""
        self._add_node(path, template, "Retry", rest, children=1)
        self._add_node(f"{path}(0)", template, kind, rest, children, outbound)

    def _add_node(
        self, path: str, template: str, kind: str, rest: Mapping[str, Any], children: int, outbound: int = 1
    ) -> None:
        top = path in ("", "(0)")
        name = f"{self.name}{path}" if top else f"{self.name}(0).{path}"
        started = START + timedelta(seconds=len(self.nodes))
        node = {
            "id": self._id(path),
            "name": name,
            "displayName": name.rpartition(".")[2],
            "type": kind,
            "templateName": template,
            "templateScope": f"local/{self.name}",
            "phase": "Succeeded",
            "boundaryID": self._id(path.rpartition(".")[0]),
            "startedAt": f"{started:%Y-%m-%dT%H:%M:%SZ}",
            "finishedAt": f"{started + timedelta(seconds=9):%Y-%m-%dT%H:%M:%SZ}",
            "progress": "1/1",
            "resourcesDuration": {"cpu": 10, "memory": 100},
            **rest,
        }
        if children:
            node["children"] = [self._id(f"{path}/{number}") for number in range(children)]
        if kind not in ("Retry", "TaskGroup"):
            node["nodeFlag"] = {"retried": True}
        if kind == "TaskGroup":
            node["nodeFlag"] = {}
        if kind == "Pod":
            node |= {"hostNodeName": "node1", "taskResultSynced": True}
        elif kind == "DAG":
            node["outboundNodes"] = [self._id(f"{path}/{number}") for number in range(outbound)]
        text = json.dumps({node["id"]: node}, separators=(",", ":"), ensure_ascii=False)[1:-1]
        self.nodes.append(Node(path, node["displayName"], kind, text))


def _uuid(path: str) -> str:
    """An identifier that only this task has."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, path))


def _ordered(tasks: Mapping[str, Any]) -> Iterator[str]:
    """The tasks by name, each behind those that it waits for."""
    waiting = dict(tasks)
    while waiting:
        ready = [
            name
            for name, task in waiting.items()
            if waiting.keys().isdisjoint(task.get("dependentTasks", []))
        ]
        yield from ready
        waiting = {name: task for name, task in waiting.items() if name not in ready}


def main() -> None:
    """Print a workflow's largest nodes, and its bytes by task."""
    file, *pairs = sys.argv[1:]
    size = measure_file(Path(file), dict(pair.split("=", 1) for pair in pairs))
    for node in sorted(size.nodes, key=lambda node: -node.bytes)[:15]:
        print(f"{node.bytes:>9,}  {node.name} ({node.type})")
    print()
    for task, count in size.by_task().most_common():
        print(f"{count:>9,}  {task}")
    nodes = sum(node.bytes for node in size.nodes)
    print(f"\n{nodes:>9,}  {len(size.nodes)} nodes\n{size.spec:>9,}  spec\n{size.total:>9,}  in all")
    print(f"{size.packed:>9,}  with its nodes compressed")


if __name__ == "__main__":
    main()
