"""From settings to a run on a cluster; what exists already is used again."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api
import yaml

from kubecast.config.schedules import Mode
from kubecast.settings.loading import AllSettings
from pipelines.compiling import compile_pipeline
from pipelines.running.client import Client, ensure

HASH_DIGITS = 16


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        path: Its file.
        name: Of the pipeline.
        version: Made of the file's content: the same file is the same version.
        spec: The file's first document.
    """

    path: Path
    name: str
    version: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Ids of what a run belongs to; None where it is not there yet."""

    pipeline_id: str | None
    version_id: str | None
    experiment_id: str | None


def compile_mode(settings: AllSettings, mode: Mode, folder: Path) -> Compiled:
    """Compile the pipeline of a mode into a folder.

    Raises:
        ConfigError: There is no pipeline of that mode.
    """
    path = compile_pipeline(settings, folder / f"{mode}.yaml", mode)
    content = path.read_bytes()
    spec = next(iter(yaml.safe_load_all(content)))
    version = hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
    return Compiled(path, spec["pipelineInfo"]["name"], version, spec)


def experiment_of(settings: AllSettings) -> str:
    """The experiment that runs are grouped in."""
    return settings.cluster.connection.experiment or settings.training.model_name


def find_place(client: Client, compiled: Compiled, experiment: str) -> Place:
    """What there is already of the pipeline, its version and the experiment."""
    pipeline = client.find_pipeline(compiled.name)
    version = client.find_version(pipeline, compiled.version) if pipeline else None
    return Place(pipeline, version, client.find_experiment(experiment))


def ensure_place(client: Client, compiled: Compiled, experiment: str) -> Place:
    """Make what there is not yet of the pipeline, its version and the experiment."""
    pipeline = ensure(
        lambda: client.find_pipeline(compiled.name), lambda: client.create_pipeline(compiled.name)
    )
    version = ensure(
        lambda: client.find_version(pipeline, compiled.version),
        lambda: client.upload_version(pipeline, compiled.version, compiled.path),
    )
    group = ensure(lambda: client.find_experiment(experiment), lambda: client.create_experiment(experiment))
    return Place(pipeline, version, group)


def submit(
    client: Client, place: Place, name: str, parameters: Mapping[str, Any], service_account: str | None
) -> str:
    """Start a run of a pipeline's version, and return its id.

    Args:
        client: Of the cluster.
        place: With every id.
        name: Shown in the dashboard; need not be unique.
        parameters: Over the defaults in the compiled file.
        service_account: Of the run's pods; None: the cluster's default.
    """
    return client.create_run(
        kfp_server_api.V2beta1Run(
            display_name=name,
            experiment_id=place.experiment_id,
            pipeline_version_reference=reference(place),
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=dict(parameters)),
            service_account=service_account,
        )
    )


def reference(place: Place) -> Any:
    """The API's form of a pipeline's version."""
    return kfp_server_api.V2beta1PipelineVersionReference(
        pipeline_id=place.pipeline_id, pipeline_version_id=place.version_id
    )
