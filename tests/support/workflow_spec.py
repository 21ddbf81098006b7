"""The specification that Kubeflow Pipelines 2.17 compiles for Argo, built far enough to be measured.

See ``backend/src/v2/compiler/argocompiler`` of kubeflow/pipelines.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.kfp_driver import go_json

EXIT = "ALL_UPSTREAM_TASKS_COMPLETED"  # the trigger of a task that runs whatever became of others
ANNOTATIONS = {"pipelines.kubeflow.org/v2_component": "true", "sidecar.istio.io/inject": "false"}
PARENT = "{{inputs.parameters.parent-dag-id}}"
CONTAINER_DRIVER, DAG_DRIVER = "system-container-driver", "system-dag-driver"

# Bytes, as recorded, of what no pipeline changes.
DRIVERS = {CONTAINER_DRIVER: 2432, DAG_DRIVER: 2244}
EXECUTOR, IMPLEMENTATION, RETRY = 277, 2125, 280  # the templates of an executor, less their parameters
REST_OF_SPEC = 590  # entry point, security context, account, defaults, time to live


@dataclass(frozen=True)
class Task:
    """A task of a graph, with its component; ``container`` is empty where that is a graph itself.

    Attributes:
        config: What the platform's document says of its executor.
    """

    name: str
    spec: Mapping[str, Any]
    component: Mapping[str, Any]
    container: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """The component's name."""
        return str(self.spec["componentRef"]["name"])

    @property
    def dependencies(self) -> list[str]:
        """The tasks that this one waits for."""
        return list(self.spec.get("dependentTasks", []))

    @property
    def is_exit(self) -> bool:
        """Whether the task is an exit handler's."""
        return bool(self.spec.get("triggerPolicy", {}).get("strategy") == EXIT)

    @property
    def is_loop(self) -> bool:
        """Whether the task runs once for each item."""
        return "parameterIterator" in self.spec

    @property
    def iterator(self) -> str:
        """The template that a loop is run by."""
        return f"{self.reference}-{self.name}-iterator"

    @property
    def iteration(self) -> str:
        """The template that one iteration of a loop is run by."""
        return f"{self.reference}-iteration"

    @property
    def template(self) -> str:
        """The template that runs the task; an executor's is named after the number of its pod's labels."""
        if not self.container:
            return self.reference
        name = "system-container-executor"
        if self.spec.get("retryPolicy"):
            name = f"retry-{name}"
        if metadata := self.config.get("podMetadata"):
            annotations, labels = (len(metadata.get(kind, {})) for kind in ("annotations", "labels"))
            name = f"metadata-{annotations}-{labels}-{name}"
        return name

    @property
    def implementation(self) -> str:
        """The template of the executor's pod."""
        return self.template.removesuffix("executor") + "impl"

    @property
    def metadata(self) -> dict[str, str]:
        """The labels and annotations of the task's pod, as parameters."""
        parameters = {}
        for kind in ("annotation", "label"):
            pairs = sorted(self.config.get("podMetadata", {}).get(f"{kind}s", {}).items())
            for number, (key, value) in enumerate(pairs, 1):
                suffix = f"-{number}" if len(pairs) > 1 else ""
                parameters[f"pod-metadata-{kind}-key{suffix}"] = key
                parameters[f"pod-metadata-{kind}-val{suffix}"] = value
        return parameters

    @property
    def retries(self) -> dict[str, str]:
        """The retry policy, as parameters."""
        policy = self.spec.get("retryPolicy")
        if not policy:
            return {}
        return {
            "retry-max-count": str(policy["maxRetryCount"]),
            "retry-backoff-duration": policy["backoffDuration"].removesuffix("s"),
            "retry-backoff-factor": f"{policy['backoffFactor']:g}",
            "retry-backoff-max-duration": policy["backoffMaxDuration"].removesuffix("s"),
        }


def size_of(value: Any) -> int:
    """Bytes of a value's JSON without spaces."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Argo's list of parameters; a tuple is a value and its default."""
    listed = []
    for name, value in values.items():
        default = {"default": value[1]} if isinstance(value, tuple) else {}
        listed.append({"name": name, **default, "value": value[0] if default else value})
    return {"parameters": listed}


def exit_template(graph: str, task: str) -> str:
    """The name of the template that an exit handler's task is run by."""
    return f"exit-hook-{graph}-{task}"


class WorkflowSpec:
    """The arguments and templates of a workflow, which grow as its graphs are compiled."""

    def __init__(self) -> None:
        """An empty one."""
        self._arguments: dict[str, str] = {}
        self._templates: dict[str, int] = {}

    @property
    def bytes(self) -> int:
        """The size of the whole specification."""
        templates = sum(self._templates.values()) + len(self._templates) + len('"templates":[],')
        return size_of({"arguments": parameters(self._arguments)}) + templates + REST_OF_SPEC

    def add_entrypoint(self, root: Mapping[str, Any], runtime_config: str) -> None:
        """Add the outermost template, which starts the root graph."""
        first = {
            "component": self._argument("components-root", root),
            "runtime-config": runtime_config,
            "driver-type": "ROOT_DAG",
        }
        second = {"parent-dag-id": _output("root-driver", "execution-id"), "condition": ""}
        driver = {"arguments": parameters(first), "name": "root-driver", "template": DAG_DRIVER}
        graph = {"arguments": parameters(second), "name": "root", "template": "root"}
        self._templates[DAG_DRIVER] = DRIVERS[DAG_DRIVER]
        self._add("entrypoint", [driver, graph | {"depends": "root-driver.Succeeded"}], {})

    def add_graph(self, name: str, tasks: list[Task]) -> None:
        """Add the template of a graph, those of its executors and exit handlers, and its components."""
        within = []
        for task in tasks:
            if task.is_loop:
                within.append(self._add_loop(task))
                continue
            first, second = self._driver(task), self._own(task)
            if task.is_exit:
                self._add(exit_template(name, task.name), [first, second], {"parent-dag-id": PARENT})
                continue
            for other in tasks:
                if other.is_exit and task.name in other.dependencies:
                    hook = {
                        "template": exit_template(name, other.name),
                        "arguments": parameters({"parent-dag-id": PARENT}),
                    }
                    second["hooks"] = {"exit": hook}
            within += [first, second]
        self._add(name, within, {"parent-dag-id": PARENT})

    def _add_loop(self, task: Task) -> dict[str, Any]:
        """Add the templates of a loop and of an iteration; return the task that starts the loop."""
        counts = self._dag_driver("iteration", task)
        started = {
            "parent-dag-id": _output("iteration-driver", "execution-id"),
            "iteration-index": "{{item}}",
        }
        every = {
            "arguments": parameters(started),
            "depends": "iteration-driver.Succeeded",
            "name": "iteration-iterations",
            "template": task.iteration,
            "withSequence": {"count": _output("iteration-driver", "iteration-count")},
        }
        limit = task.spec.get("iteratorPolicy", {}).get("parallelismLimit")
        inputs = {"parent-dag-id": PARENT}
        self._add(task.iterator, [counts, every], inputs, {"parallelism": limit} if limit else {})
        index = "{{inputs.parameters.iteration-index}}"
        driver = self._dag_driver("iteration-item", task, {"iteration-index": index})
        own = self._graph("iteration-item", task)
        self._add(task.iteration, [driver, own], inputs | {"iteration-index": index})
        loop = {"arguments": parameters(inputs), "name": task.name, "template": task.iterator}
        return loop | ({"depends": _after(task)} if task.dependencies else {})

    def _add(
        self,
        name: str,
        tasks: list[dict[str, Any]],
        inputs: Mapping[str, str],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        template = {
            "dag": {"tasks": tasks},
            "inputs": {"parameters": [{"name": each} for each in inputs]} if inputs else {},
            "metadata": {"annotations": ANNOTATIONS},
            "name": name,
            "outputs": {},
            **(more or {}),
        }
        self._templates[name] = size_of(template)

    def _argument(self, name: str, value: Any) -> str:
        self._arguments.setdefault(name, go_json(value))
        return "{{workflow.parameters." + name + "}}"

    def _driver(self, task: Task) -> dict[str, Any]:
        driver = self._container_driver(task) if task.container else self._dag_driver(task.name, task)
        if task.dependencies and not task.is_exit:
            driver["depends"] = _after(task)
        return driver

    def _container_driver(self, task: Task) -> dict[str, Any]:
        given = {"task": go_json(task.spec), "task-name": task.name, "parent-dag-id": PARENT}
        return self._new_driver(task.name, CONTAINER_DRIVER, self._stored(task) | given)

    def _dag_driver(self, name: str, task: Task, more: Mapping[str, str] | None = None) -> dict[str, Any]:
        component = self._argument(f"components-{task.reference}", task.component)
        given = {"task": go_json(task.spec), "task-name": task.name, "parent-dag-id": PARENT}
        return self._new_driver(name, DAG_DRIVER, {"component": component, **given, **(more or {})})

    def _new_driver(self, name: str, template: str, given: Mapping[str, str]) -> dict[str, Any]:
        self._templates[template] = DRIVERS[template]
        return {"arguments": parameters(given), "name": f"{name}-driver", "template": template}

    def _stored(self, task: Task) -> dict[str, str]:
        """The workflow's arguments that a container's driver is given; tasks of one container share them."""
        digest = hashlib.sha256(go_json(task.container).encode()).hexdigest()
        stored = {
            "component": self._argument(f"components-{digest}", task.component),
            "container": self._argument(f"implementations-{digest}", task.container),
        }
        if task.config:
            stored["kubernetes-config"] = self._argument(f"kubernetes-{task.reference}", task.config)
        return stored

    def _own(self, task: Task) -> dict[str, Any]:
        if task.container:
            self._add_executor(task)
            driver = f"{task.name}-driver"
            given = {
                "pod-spec-patch": _output(driver, "pod-spec-patch"),
                "cached-decision": (_output(driver, "cached-decision"), "false"),
                **task.metadata,
                **task.retries,
            }
            own = {"arguments": parameters(given), "depends": f"{driver}.Succeeded", "name": task.name}
            own["template"] = task.template
        else:
            own = self._graph(task.name, task)
        if task.spec.get("triggerPolicy", {}).get("condition"):
            own["when"] = _output(f"{task.name}-driver", "condition") + " != false"
        return own

    def _graph(self, name: str, task: Task) -> dict[str, Any]:
        """The task that runs a graph's template, behind its driver."""
        driver = f"{name}-driver"
        given = {
            "parent-dag-id": _output(driver, "execution-id"),
            "condition": _output(driver, "condition"),
        }
        return {
            "arguments": parameters(given),
            "depends": f"{driver}.Succeeded",
            "name": name,
            "template": task.template,
        }

    def _add_executor(self, task: Task) -> None:
        inner = ["pod-spec-patch", *task.metadata, *task.retries]
        passed = {name: "{{inputs.parameters." + name + "}}" for name in inner}
        defaults = {**dict.fromkeys(task.retries, "0"), "cached-decision": "false"}
        outer = [
            {"name": name} | ({"default": defaults[name]} if name in defaults else {})
            for name in [*inner, "cached-decision"]
        ]
        listed = size_of(parameters(passed)) + size_of(outer)
        self._templates[task.template] = EXECUTOR + listed + 2 * len(task.template)
        labels = {passed[key]: passed[key.replace("-key", "-val")] for key in task.metadata if "-key" in key}
        listed = size_of([{"name": name} for name in inner]) + size_of(labels)
        retry = RETRY if task.retries else 0
        self._templates[task.implementation] = IMPLEMENTATION + listed + len(task.implementation) + retry


def _after(task: Task) -> str:
    return " && ".join(f"{each}.Succeeded" for each in task.dependencies)


def _output(task: str, parameter: str) -> str:
    return "{{tasks." + task + ".outputs.parameters." + parameter + "}}"
