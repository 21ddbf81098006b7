"""Submitting a pipeline: compile it, find or create its version and experiment, start a run."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api
import yaml

from kubecast.config.schedules import Mode
from kubecast.pipelines.compiling import compile_pipeline
from kubecast.pipelines.running.client import Client, ensure
from kubecast.settings.loading import AllSettings

HASH_DIGITS = 16


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        path: Its file.
        name: Name of the pipeline.
        version: Hash of the file's content: the same file is the same version.
        spec: The file's first document.
    """

    path: Path
    name: str
    version: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class PipelineRef:
    """Ids of a pipeline, its version and the experiment of a run; None where it does not exist yet."""

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


def find_pipeline_ref(client: Client, compiled: Compiled, experiment: str) -> PipelineRef:
    """The ids of pipeline, version and experiment, as far as these exist."""
    pipeline = client.find_pipeline(compiled.name)
    version = client.find_version(pipeline, compiled.version) if pipeline else None
    return PipelineRef(pipeline, version, client.find_experiment(experiment))


def ensure_pipeline_ref(client: Client, compiled: Compiled, experiment: str) -> PipelineRef:
    """The ids of pipeline, version and experiment, each created where it does not exist."""
    pipeline = ensure(
        lambda: client.find_pipeline(compiled.name), lambda: client.create_pipeline(compiled.name)
    )
    version = ensure(
        lambda: client.find_version(pipeline, compiled.version),
        lambda: client.upload_version(pipeline, compiled.version, compiled.path),
    )
    group = ensure(lambda: client.find_experiment(experiment), lambda: client.create_experiment(experiment))
    return PipelineRef(pipeline, version, group)


def submit(
    client: Client, ref: PipelineRef, name: str, parameters: Mapping[str, Any], service_account: str | None
) -> str:
    """Start a run of a pipeline's version, and return its id.

    Args:
        client: Of the cluster.
        ref: With every id.
        name: Shown in the dashboard; need not be unique.
        parameters: Over the defaults in the compiled file.
        service_account: Of the run's pods; None: the cluster's default.
    """
    return client.create_run(
        kfp_server_api.V2beta1Run(
            display_name=name,
            experiment_id=ref.experiment_id,
            pipeline_version_reference=version_reference(ref),
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=dict(parameters)),
            service_account=service_account,
        )
    )


def version_reference(ref: PipelineRef) -> Any:
    """The API's form of a pipeline's version."""
    return kfp_server_api.V2beta1PipelineVersionReference(
        pipeline_id=ref.pipeline_id, pipeline_version_id=ref.version_id
    )
