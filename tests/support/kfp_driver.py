"""What the driver of Kubeflow Pipelines 2.17 gives to a task's pod, as true as a workflow's size needs.

Every field is there with its length; random identifiers are zeros. See ``backend/src/v2/driver`` of
kubeflow/pipelines.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SERVICE = ".kubeflow.svc.cluster.local"
STORE_SESSION = {
    "Provider": "minio",
    "Params": {
        "accessKeyKey": "accesskey",
        "disableSSL": "true",
        "endpoint": "seaweedfs.kubeflow:9000",
        "fromEnv": "false",
        "maxRetries": "5",
        "region": "minio",
        "secretKeyKey": "secretkey",
        "secretName": "mlpipeline-minio-artifact",
    },
}
UUID = "00000000-0000-0000-0000-000000000000"
DIGEST = "0" * 64  # of a SHA-256
EXECUTION = "10"
LOGS = {"artifactType": {"schemaTitle": "system.Artifact"}}


def go_json(value: Any) -> str:
    """JSON as Go writes it: no spaces, and three characters escaped that HTML knows."""
    text = json.dumps(_whole(value), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def proto_json(value: Any) -> str:
    """JSON as ``protojson`` writes it in KFP 2.17: a space behind each comma."""
    return json.dumps(_whole(value), separators=(", ", ":"), ensure_ascii=False)


def _whole(value: Any) -> Any:
    """A value whose whole numbers have no decimal point: YAML says ``2.0``, protobuf says ``2``."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True)
class Artifact:
    """Where an artifact lies; ``name`` is the key of the output that made it."""

    name: str
    uri: str


Artifacts = Sequence[Artifact]
"""One, or those that the iterations of a loop made, in their order."""


@dataclass(frozen=True)
class Scope:
    """What the tasks of a graph can read: its own inputs, and the outputs of its tasks by task and key."""

    parameters: Mapping[str, Any]
    artifacts: Mapping[str, Artifacts]
    task_parameters: dict[tuple[str, str], Any] = field(default_factory=dict)
    task_artifacts: dict[tuple[str, str], Artifacts] = field(default_factory=dict)

    def inputs_of(self, task: Mapping[str, Any], component: Mapping[str, Any]) -> "Scope":
        """The inputs of a task; optional ones that nothing is wired to are absent."""
        inputs, definitions = task.get("inputs", {}), component.get("inputDefinitions", {})
        defaults = {
            name: each["defaultValue"]
            for name, each in definitions.get("parameters", {}).items()
            if "defaultValue" in each
        }
        given = {name: self._parameter(each) for name, each in inputs.get("parameters", {}).items()}
        wired = {name: self._artifact(each) for name, each in inputs.get("artifacts", {}).items()}
        return Scope(
            defaults | {name: value for name, value in given.items() if value is not None},
            {name: artifact for name, artifact in wired.items() if artifact},
        )

    def _parameter(self, source: Mapping[str, Any]) -> Any:
        if "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            return self.task_parameters[output["producerTask"], output["outputParameterKey"]]
        if "componentInputParameter" in source:
            return self.parameters.get(source["componentInputParameter"])
        if "taskFinalStatus" in source:
            return {"state": "SUCCEEDED", "pipelineJobResourceName": UUID, "pipelineTaskName": DIGEST}
        return source["runtimeValue"]["constant"]

    def _artifact(self, source: Mapping[str, Any]) -> Artifacts | None:
        if "taskOutputArtifact" in source:
            output = source["taskOutputArtifact"]
            return self.task_artifacts.get((output["producerTask"], output["outputArtifactKey"]))
        return self.artifacts.get(source["componentInputArtifact"])


def iterations_of(task: Mapping[str, Any], inputs: Scope) -> list[Scope]:
    """The inputs of each iteration of a loop: the loop's own, with one item in place of all.

    Items that are not known are one.
    """
    iterator = task["parameterIterator"]
    key = iterator["items"].get("inputParameter")
    items = inputs.parameters[key] if key else json.loads(iterator["items"]["raw"])
    items = items if isinstance(items, list) else [items]
    shared = {name: value for name, value in inputs.parameters.items() if name != key}
    return [Scope(shared | {iterator["itemInput"]: item}, inputs.artifacts) for item in items]


def add_outputs(
    scope: Scope,
    name: str,
    component: Mapping[str, Any],
    inputs: Scope,
    uri: Callable[[str], str],
    stated: Mapping[str, Any],
) -> None:
    """Add a container task's outputs to the scope of its graph.

    Args:
        scope: Of the graph.
        name: The task's.
        component: The task's.
        inputs: The task's.
        uri: Of an artifact, by its key.
        stated: Values of output parameters as ``task.key``, or what makes them of the task's parameters. One
            that is not stated is as long as the task's input of that name, else as a SHA-256.
    """
    outputs = component.get("outputDefinitions", {})
    for key in outputs.get("artifacts", {}):
        scope.task_artifacts[name, key] = [Artifact(key, uri(key))]
    for key in outputs.get("parameters", {}):
        value = inputs.parameters.get(key, DIGEST)
        value = stated.get(f"{name}.{key}", value)
        scope.task_parameters[name, key] = value(inputs.parameters) if callable(value) else value


def add_graph_outputs(scope: Scope, name: str, graph: Mapping[str, Any], inside: Scope) -> None:
    """Add what a task that is a graph returns to the scope of the graph around it."""
    outputs = graph.get("outputs", {})
    for key, each in outputs.get("artifacts", {}).items():
        chosen = each["artifactSelectors"][0]
        made = inside.task_artifacts.get((chosen["producerSubtask"], chosen["outputArtifactKey"]))
        if made:
            scope.task_artifacts[name, key] = made
    for key, each in outputs.get("parameters", {}).items():
        chosen = each.get("valueFromParameter") or each["valueFromOneof"]["parameterSelectors"][0]
        subtask = chosen["producerSubtask"], chosen["outputParameterKey"]
        scope.task_parameters[name, key] = inside.task_parameters[subtask]


def executor_input(component: Mapping[str, Any], inputs: Scope, uri: Callable[[str], str]) -> dict[str, Any]:
    """What the launcher passes to the component: input artifacts have no schema title."""
    given: dict[str, Any] = {}
    if inputs.artifacts:
        given["artifacts"] = {name: _input(each) for name, each in inputs.artifacts.items()}
    if inputs.parameters:
        given["parameterValues"] = dict(inputs.parameters)
    definitions = component.get("outputDefinitions", {})
    outputs: dict[str, Any] = {}
    if "parameters" in definitions:
        outputs["parameters"] = {
            key: {"outputFile": f"/tmp/kfp/outputs/{key}"}  # noqa: S108
            for key in definitions["parameters"]
        }
    artifacts = {"executor-logs": LOGS, **definitions.get("artifacts", {})}
    outputs["artifacts"] = {
        key: {"artifacts": [{"name": key, "type": each["artifactType"], "uri": uri(key)}]}
        for key, each in artifacts.items()
    }
    outputs["outputFile"] = "/" + uri("output_metadata.json").replace("://", "/")
    return ({"inputs": given} if given else {}) | {"outputs": outputs}


def _input(artifacts: Artifacts) -> dict[str, Any]:
    return {"artifacts": [_described(artifact) for artifact in artifacts]}


def _described(artifact: Artifact) -> dict[str, Any]:
    metadata = {"display_name": artifact.name, "store_session_info": go_json(STORE_SESSION)}
    return {"name": EXECUTION, "type": {"instanceSchema": ""}, "uri": artifact.uri, "metadata": metadata}


def pod_spec_patch(
    pipeline: str,
    component: Mapping[str, Any],
    container: Mapping[str, Any],
    config: Mapping[str, Any],
    executor: Mapping[str, Any],
) -> dict[str, Any]:
    """The patch that makes an executor's pod the task's own.

    Args:
        pipeline: Name.
        component: The task's.
        container: Of the component's executor.
        config: What the platform's document says of the executor.
        executor: As ``executor_input`` gives it.
    """
    outputs = component.get("outputDefinitions", {})
    logged = {**outputs, "artifacts": {"executor-logs": LOGS, **outputs.get("artifacts", {})}}
    main = {
        "name": "main",
        "image": container["image"],
        "command": _launcher(pipeline, executor, {**component, "outputDefinitions": logged}),
        "args": [*container.get("command", []), *container.get("args", [])],
        "env": [*container.get("env", []), *_environment(config)],
        "resources": _resources(container.get("resources", {})),
    }
    mounts = config.get("emptyDirMounts", [])
    patch: dict[str, Any] = {"containers": [main]}
    if mounts:
        main["volumeMounts"] = [{"name": m["volumeName"], "mountPath": m["mountPath"]} for m in mounts]
        patch["volumes"] = [{"name": m["volumeName"], "emptyDir": _empty_dir(m)} for m in mounts]
    if user := config.get("securityContext"):
        main["securityContext"] = {"capabilities": {"drop": ["ALL"]}, **_numbers(user)}
    if not main["env"]:
        del main["env"]
    return patch | _placement(config)


def _launcher(pipeline: str, executor: Mapping[str, Any], component: Mapping[str, Any]) -> list[str]:
    # The doubled --publish_logs is KFP 2.17's own.
    return [
        *("/kfp-launcher/launch", "--pipeline_name", pipeline, "--run_id", UUID, "--execution_id", EXECUTION),
        *("--executor_input", proto_json(executor), "--component_spec", proto_json(component)),
        *("--pod_name", "$(KFP_POD_NAME)", "--pod_uid", "$(KFP_POD_UID)"),
        *("--ml_pipeline_server_address", "ml-pipeline" + SERVICE, "--ml_pipeline_server_port", "8887"),
        *("--mlmd_server_address", "metadata-grpc-service" + SERVICE, "--mlmd_server_port", "8080"),
        *("--publish_logs", "true", "--publish_logs", "true", "--"),
    ]


def _environment(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    variables = []
    for source, reference, name, key in (
        ("secretAsEnv", "secretKeyRef", "secretName", "secretKey"),
        ("configMapAsEnv", "configMapKeyRef", "configMapName", "configMapKey"),
    ):
        for each in config.get(source, []):
            optional = {"optional": each["optional"]} if "optional" in each else {}
            variables += [
                {
                    "name": pair["envVar"],
                    "valueFrom": {reference: {"name": each[name], "key": pair[key], **optional}},
                }
                for pair in each["keyToEnv"]
            ]
    for each in config.get("fieldPathAsEnv", []):
        variables.append({"name": each["name"], "valueFrom": {"fieldRef": {"fieldPath": each["fieldPath"]}}})
    return variables


def _resources(declared: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    names = {
        "limits": {"cpu": "resourceCpuLimit", "memory": "resourceMemoryLimit"},
        "requests": {"cpu": "resourceCpuRequest", "memory": "resourceMemoryRequest"},
    }
    resources = {
        group: {name: declared[key] for name, key in keys.items() if key in declared}
        for group, keys in names.items()
    }
    if accelerator := declared.get("accelerator"):
        resources["limits"][accelerator["resourceType"]] = accelerator["resourceCount"]
    return {group: values for group, values in resources.items() if values}


def _empty_dir(mount: Mapping[str, Any]) -> dict[str, Any]:
    return {key: mount[key] for key in ("medium", "sizeLimit") if key in mount}


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: int(each) if isinstance(each, str) else each for key, each in values.items()}


def _placement(config: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    if "activeDeadlineSeconds" in config:
        patch["activeDeadlineSeconds"] = int(config["activeDeadlineSeconds"])
    if "tolerations" in config:
        patch["tolerations"] = config["tolerations"]
    if selector := config.get("nodeSelector"):
        patch["nodeSelector"] = selector["labels"]
    if secrets := config.get("imagePullSecret"):
        patch["imagePullSecrets"] = [{"name": each["secretName"]} for each in secrets]
    if terms := config.get("nodeAffinity"):
        required = [{"matchExpressions": t["matchExpressions"]} for t in terms if "weight" not in t]
        preferred = [
            {"weight": t["weight"], "preference": {"matchExpressions": t["matchExpressions"]}}
            for t in terms
            if "weight" in t
        ]
        affinity = {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": required},
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        }
        patch["affinity"] = {"nodeAffinity": affinity}
    return patch
