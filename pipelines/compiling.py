"""From a configuration folder to one compiled pipeline file."""

from pathlib import Path
from typing import Any

from kfp import compiler

from kubecast.config.base import Settings
from kubecast.config.schedules import Mode
from kubecast.errors import ConfigError
from kubecast.pipelines.batch import batch_pipeline
from kubecast.pipelines.training import training_pipeline
from kubecast.settings.loading import PARAMETERS, AllSettings
from kubecast.storage.locations import make_folder

MAX_BYTES = 256 * 1024  # twice of it is in a Workflow's specification, which Argo never packs


def parameters_of(settings: AllSettings) -> dict[str, Any]:
    """The training pipeline parameters that a configuration folder fixes.

    Each settings file but ``pipeline.yaml`` is one JSON string of what is not the default, so that it can be
    read and overridden in the dashboard.
    """
    training = settings.training
    sections: dict[str, Settings] = {name: getattr(settings, name) for name in PARAMETERS}
    texts = {
        f"{name}_settings": section.model_dump_json(exclude_defaults=True)
        for name, section in sections.items()
    }
    scalars = {
        "horizon": training.horizon,
        "frequency": training.frequency,
        "season_lengths": ",".join(map(str, training.season_lengths or [])) or None,
        "registry": training.model_registry.path,
        "model_name": training.model_name,
        "seed": training.seed,
    }
    return texts | {name: value for name, value in scalars.items() if value is not None}


def compile_pipeline(
    settings: AllSettings, output: Path, mode: Mode = "train", *, on_cluster: bool = True
) -> Path:
    """Write the pipeline of a mode, with the settings as its parameters' defaults.

    Args:
        settings: A configuration folder.
        output: A ``.yaml`` file.
        mode: ``tune`` searches first, ``retrain`` takes the champion's settings, ``score`` only forecasts.
        on_cluster: Whether tasks request what ``cluster.yaml`` says, which a local run ignores.

    Raises:
        ConfigError: The name does not end so, its folder cannot be made, there is no pipeline of that
            mode, or the compiled one is too large for a cluster.
    """
    if output.suffix != ".yaml":
        raise ConfigError(f"--output {output}: ends in {output.suffix or 'nothing'}, allowed: .yaml")
    make_folder(output.parent)
    if mode == "score":
        training = settings.training
        pipeline = batch_pipeline(settings, on_cluster)
        parameters = {"registry": training.model_registry.path, "model": training.model_name}
    else:
        pipeline, parameters = training_pipeline(settings, mode, on_cluster), parameters_of(settings)
    compiler.Compiler().compile(pipeline, str(output), pipeline_parameters=parameters)
    size = output.stat().st_size
    if size > MAX_BYTES:
        raise ConfigError(
            f"{output}: {size} bytes, allowed: {MAX_BYTES}; fewer models or workers make it smaller"
        )
    return output
