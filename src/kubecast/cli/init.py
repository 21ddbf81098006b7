"""``kubecast init``: the settings files of a project."""

from pathlib import Path
from typing import Annotated

import typer

from kubecast.cli.console import Json, note, print_json
from kubecast.cli.options import (
    Frequency,
    Horizon,
    Overrides,
    Preset,
    Seasons,
    examples,
    settings_folder,
    settings_with_scalars,
)
from kubecast.settings.presets import Overlay, overlay_file

app = typer.Typer()


@app.command(
    epilog=examples(
        "kubecast init settings --preset quick --horizon 48 --season-length 48,336",
        "kubecast init settings --overlay dev --set training.model_registry.path=s3://demand/registry",
    )
)
def init(
    folder: Annotated[Path, typer.Argument(help="Gets training.yaml, arima.yaml and so on.")],
    preset: Preset = None,
    overlay: Annotated[
        Overlay | None,
        typer.Option(help="Overlay of the manifests on your cluster, whose names cluster.yaml gets."),
    ] = None,
    horizon: Horizon = None,
    frequency: Frequency = "",
    season_lengths: Seasons = "",
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Write every settings file, each key with a sentence on what it does.

    Change what you need, and leave out the rest or keep it: what is left out has the default of kubecast.
    """
    from kubecast.settings.writing import write_settings

    cluster = overlay_file(overlay) if overlay else None
    settings = settings_with_scalars(
        settings_folder(None, preset), overrides, horizon, frequency, season_lengths, cluster=cluster
    )
    paths = [str(path) for path in write_settings(folder, overwrite, settings)]
    if as_json:
        print_json({"files": paths})
        return
    print("\n".join(paths))
    note(f"next       kubecast validate --config {folder} --data FILE")
