"""``kubecast init``: the settings files of a project."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from kubecast.cli.console import Json, note, print_json
from kubecast.cli.files import data_file
from kubecast.cli.options import (
    Frequency,
    Horizon,
    IdColumn,
    Overrides,
    Preset,
    Query,
    Seasons,
    TargetColumn,
    TimeColumn,
    data_options,
    examples,
    settings_folder,
    settings_with_scalars,
)
from kubecast.cli.validate import data_lines
from kubecast.settings.presets import Overlay, overlay_file

app = typer.Typer()


@app.command(
    epilog=examples(
        "kubecast init settings --preset quick --from-data sales.csv --time date --target sold",
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
    from_data: Annotated[
        str,
        typer.Option(
            help="Data, as for run, whose columns and frequency become settings; or -, the input.",
            rich_help_panel="Data",
        ),
    ] = "",
    horizon: Horizon = None,
    frequency: Frequency = "",
    season_lengths: Seasons = "",
    overrides: Overrides = None,
    unique_id: IdColumn = "",
    time: TimeColumn = "",
    target: TargetColumn = "",
    query: Query = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Write every settings file, each key with a sentence on what it does.

    Change what you need, and leave out the rest or keep it: what is left out has the default of kubecast.
    With data and without --horizon, the horizon is one season.
    """
    from kubecast.settings.writing import check_absent, write_settings
    from kubecast.steps.validate import settings_of_data

    settings = settings_with_scalars(
        settings_folder(None, preset),
        overrides,
        horizon,
        frequency,
        season_lengths,
        cluster=overlay_file(overlay) if overlay else None,
        data=data_options(unique_id, time, target, query),
    )
    if not overwrite:
        check_absent(folder)  # before the data are read
    found, given = dict[str, Any](), settings.training.horizon
    if from_data:
        with data_file(from_data) as location:
            training, found = settings_of_data(location, settings.training)
        settings = settings.model_copy(update={"training": training})
    paths = [str(path) for path in write_settings(folder, overwrite, settings)]
    if as_json:
        print_json({"files": paths, **({"found": found} if found else {})})
        return
    print("\n".join(paths))
    for line in _found(found) if found else ():
        note(line)
    if found and given is None:
        note("           one season, as there is no --horizon; change it to what is acted on")
    data = from_data if from_data not in ("", "-") else "FILE"
    note(f"next       {shlex.join(['kubecast', 'validate', '--config', str(folder), '--data', data])}")


def _found(facts: dict[str, Any]) -> Iterator[str]:
    """What the data says, and what the settings therefore hold."""
    roles = {"unique_id": "series", "ds": "time", "y": "target"}
    yield f"columns    {', '.join(f'{roles[role]} {name}' for role, name in facts['columns'].items())}"
    if facts["not_read"]:
        yield f"not read   {', '.join(facts['not_read'])}: training.data.covariates takes covariates"
    yield from data_lines(facts)
