"""Components run by KFP's own executor, from an input as the launcher of a cluster writes it.

The form is that of `recordings/executor-input-stack-ensemble.json`: an input artifact has no schema title,
its name is a number, its metadata tells of the store, and an optional input that is not given has no entry.
KFP's local runner fills in the schema title, so it cannot stand for a cluster here.
"""

import itertools
import json
from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.dsl.executor import Executor
from kfp.dsl.types import artifact_types

from tests.support.kfp_driver import STORE_SESSION

ROOT = "minio://mlpipeline/v2/artifacts/kubecast-training/03b14d38-0c52-4102-9174-19851c4952a2"


class Launcher:
    """Runs components one after another; their artifacts lie in a folder, as in a pod below /minio.

    Attributes:
        inputs: The executor input of each task, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.inputs: list[dict[str, Any]] = []
        self._folder = folder
        self._numbers = itertools.count(1)
        artifact_types._MINIO_LOCAL_MOUNT_PREFIX = f"{folder}/minio/"  # no setting of KFP moves it

    def run(self, component: Any, task: str = "", **given: Any) -> dict[str, Any]:
        """Run a component; artifacts among the arguments are its input artifacts, None is no argument.

        Returns:
            Its outputs by name: artifacts, with the metadata that it gave them, and values.
        """
        [spec] = component.pipeline_spec.components.values()
        task = task or component.name
        where = f"{ROOT}/{task}/{next(self._numbers)}"
        artifacts = {name: value for name, value in given.items() if isinstance(value, dsl.Artifact)}
        values = {name: value for name, value in given.items() if name not in artifacts and value is not None}
        executor_input = {
            "inputs": _present(
                artifacts={
                    name: {"artifacts": [_described(each.name, each.uri)]} for name, each in artifacts.items()
                },
                parameterValues=values,
            ),
            "outputs": _present(
                artifacts={
                    name: {"artifacts": [_output(name, definition, where)]}
                    for name, definition in spec.output_definitions.artifacts.items()
                },
                parameters={
                    name: {"outputFile": f"{self._folder}/outputs/{next(self._numbers)}/{name}"}
                    for name in spec.output_definitions.parameters
                },
            )
            | {"outputFile": f"{self._local(where)}/output_metadata.json"},
        }
        self.inputs.append(executor_input)
        Executor(executor_input=executor_input, function_to_execute=component.python_func).execute()
        return self._outputs(json.loads(Path(executor_input["outputs"]["outputFile"]).read_text()))

    def artifact(self, kind: type[dsl.Artifact], path: Path) -> Any:
        """What an earlier task would have left there."""
        uri = f"{ROOT}/{next(self._numbers)}"
        local = Path(self._local(uri))
        local.parent.mkdir(parents=True, exist_ok=True)
        local.symlink_to(path)
        return kind(name=path.name, uri=uri)

    def _outputs(self, metadata: dict[str, Any]) -> dict[str, Any]:
        outputs = dict(metadata.get("parameterValues", {}))
        for name, artifacts in metadata.get("artifacts", {}).items():
            [each] = artifacts["artifacts"]
            outputs[name] = dsl.Artifact(name=name, uri=each["uri"], metadata=each["metadata"])
        return outputs

    def _local(self, uri: str) -> str:
        return uri.replace("minio://", f"{self._folder}/minio/")


def as_launcher_writes(executor_input: dict[str, Any]) -> dict[str, Any]:
    """The local runner's executor input, its artifacts described as the launcher describes them."""
    for each in executor_input.get("inputs", {}).get("artifacts", {}).values():
        each["artifacts"] = [_described(Path(one["uri"]).name, one["uri"]) for one in each["artifacts"]]
    return executor_input


def _present(**parts: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if part}


def _described(name: str, uri: str) -> dict[str, Any]:
    return {
        "name": "76",
        "type": {"instanceSchema": ""},
        "uri": uri,
        "metadata": {"display_name": name, "store_session_info": json.dumps(STORE_SESSION)},
    }


def _output(name: str, definition: Any, where: str) -> dict[str, Any]:
    kind = definition.artifact_type
    return {
        "name": name,
        "type": {"schemaTitle": kind.schema_title, "schemaVersion": kind.schema_version},
        "uri": f"{where}/{name}",
    }
