"""From a configuration folder to one compiled pipeline file."""

from pathlib import Path
from typing import Any

from kfp import compiler

from kubecast.config import SECTIONS, AllSettings, Settings
from kubecast.errors import ConfigError
from pipelines.training import training_pipeline

MAX_BYTES = 256 * 1024  # what the cluster's workflow objects hold

IN_THE_GRAPH = "pipeline"
"""The settings file that shapes the graph and is no parameter."""


def parameters_of(settings: AllSettings) -> dict[str, Any]:
    """The pipeline parameters that a configuration folder fixes.

    Each settings file but ``pipeline.yaml`` is one JSON string, so that it can be read and overridden in the
    dashboard.
    """
    training = settings.training
    sections: dict[str, Settings] = {
        name: getattr(settings, name) for name in SECTIONS if name != IN_THE_GRAPH
    }
    texts = {f"{name}_settings": section.model_dump_json() for name, section in sections.items()}
    scalars = {
        "horizon": training.horizon,
        "frequency": training.frequency,
        "season_lengths": ",".join(map(str, training.season_lengths or [])) or None,
        "registry": training.model_registry.path,
        "model_name": training.model_name,
        "seed": training.seed,
    }
    return texts | {name: value for name, value in scalars.items() if value is not None}


def compile_pipeline(settings: AllSettings, output: Path) -> Path:
    """Write the training pipeline, with the settings as its parameters' defaults.

    Args:
        settings: A configuration folder.
        output: A ``.yaml`` or ``.json`` file.

    Raises:
        ConfigError: The file's name does not end so, or the compiled pipeline is too large for a cluster.
    """
    if output.suffix not in {".yaml", ".json"}:
        raise ConfigError(f"--output {output}: ends in {output.suffix or 'nothing'}, allowed: .yaml or .json")
    output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(
        training_pipeline(settings.pipeline), str(output), pipeline_parameters=parameters_of(settings)
    )
    size = output.stat().st_size
    if size > MAX_BYTES:
        raise ConfigError(f"{output}: {size} bytes, allowed: {MAX_BYTES}; fewer models make it smaller")
    return output
