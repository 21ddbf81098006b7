"""Process in which a pipeline runs on this machine, through KFP's own local runner.

The runner prints every task's log and changes ``print``, so that it has a process of its own: see ``local``.
"""

import argparse
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubecast import logs
from kubecast.pipelines.running.local_events import CACHED, FAILED, FINISHED, PLANNED, RUNNER, STARTED

_LOG = logging.getLogger(RUNNER)

Outputs = dict[str, dict[str, Any]]
"""Outputs of each task of a run, by its name and the output's: parameters as they are, artifacts as paths."""


def main(arguments: list[str] | None = None) -> None:
    """Run one job in this process, for ``local.run_compiled``."""
    parser = argparse.ArgumentParser(description="Run a compiled pipeline through kfp.local.")
    parser.add_argument("job", help="JSON: compiled, arguments, root")
    parser.add_argument("outputs", type=Path, help="JSON file for the pipeline's outputs")
    given = parser.parse_args(arguments)
    job = json.loads(given.job)
    logs.configure()
    from kfp import local
    from kfp.components import load_component_from_file

    # It warns of each image that is not named python, and of each setting that only a cluster has.
    warnings.filterwarnings("ignore", module=r"kfp\.local")
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=job["root"], enable_caching=True)
    pipeline = load_component_from_file(job["compiled"])
    spec = pipeline.pipeline_spec
    _LOG.info("%s %s", PLANNED, " ".join(task_names(spec.root.dag, spec.components)))
    with task_outputs() as outputs:
        pipeline(**job["arguments"])
    given.outputs.write_text(json.dumps(outputs))


def task_names(graph: Any, components: Mapping[str, Any]) -> Iterator[str]:
    """The tasks of a graph of KFP's specification, those of an inner graph in its place.

    Those of a loop are named for each of its items, or once where a task's output will be its items.
    """
    for task in graph.tasks.values():
        component = components[task.component_ref.name]
        if component.HasField("dag"):
            items = task.parameter_iterator.items.raw
            for _ in json.loads(items) if items else [None]:
                yield from task_names(component.dag, components)
        else:
            yield task.task_info.name


@contextmanager
def task_outputs() -> Iterator[Outputs]:
    """Collect the outputs of the tasks that KFP's local runner runs, or takes from its cache, meanwhile.

    It returns a pipeline's own outputs alone, and what is made inside a graph is none of them.
    """
    from kfp.local.orchestrator import task_executor
    from kfp.local.status import Status

    collected: Outputs = {}
    execute = task_executor.execute_single_task
    dispatcher = task_executor.task_dispatcher
    dispatch = dispatcher.run_single_task_implementation
    started: list[str] = []
    current = ""

    def start(**given: Any) -> Any:  # only of a task whose outputs are not in the cache
        started.append(current)
        _LOG.info("%s %s", STARTED, current)
        return dispatch(**given)

    def remember(task_name: str, **given: Any) -> Any:
        nonlocal current
        current = task_name
        outputs, status = execute(task_name=task_name, **given)
        done = FINISHED if task_name in started else CACHED
        _LOG.info("%s %s", FAILED if status == Status.FAILURE else done, task_name)
        collected[task_name] = {name: getattr(value, "path", value) for name, value in outputs.items()}
        return outputs, status

    task_executor.execute_single_task = remember
    dispatcher.run_single_task_implementation = start
    try:
        yield collected
    finally:
        task_executor.execute_single_task = execute
        dispatcher.run_single_task_implementation = dispatch


if __name__ == "__main__":
    main()
