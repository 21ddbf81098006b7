"""Runs a compiled pipeline through `kfp.local.DockerRunner`, in a process of its own: it changes `print`.

Tasks get the executor input that the launcher of a cluster writes, in place of the local runner's.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import ContainerCollection
from google.protobuf import json_format
from kfp import dsl, local
from kfp.components import load_component_from_file
from kfp.local import executor_input_utils

from kubecast.pipelines.running.local_runner import task_outputs
from tests.support.launcher import as_launcher_writes


def main(compiled: str, arguments: dict[str, Any], root: str, runner: dict[str, Any], outputs: str) -> None:
    local.init(runner=local.DockerRunner(**runner), pipeline_root=root)
    construct = executor_input_utils.construct_executor_input
    executor_input_utils.construct_executor_input = lambda **given: _rewritten(construct(**given))
    with task_outputs() as made, kept_containers():
        load_component_from_file(compiled)(**arguments)
    Path(outputs).write_text(json.dumps(made))


@contextmanager
def kept_containers() -> Iterator[None]:
    """Remove containers when all have ended: of one that is gone the runner says that it succeeded."""
    run, started = ContainerCollection.run, []

    def start(*given: Any, **options: Any) -> Any:
        started.append(run(*given, **{**options, "auto_remove": False}))
        return started[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ContainerCollection, "run", start)
        try:
            yield
        finally:
            for container in started:
                container.remove(force=True)


def _rewritten(message: Any) -> Any:
    told = as_launcher_writes(json_format.MessageToDict(message))
    values = told.get("inputs", {}).get("parameterValues", {})
    for name, value in values.items():
        if (
            value == dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER
        ):  # of a run that is started by hand: its own
            values[name] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    message.Clear()
    return json_format.ParseDict(told, message)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
