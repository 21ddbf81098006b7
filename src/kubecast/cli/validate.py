"""``kubecast validate``: what a run would do with these settings and this data."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from kubecast.cli.console import Json, print_json, print_table
from kubecast.cli.files import data_file
from kubecast.cli.options import (
    ConfigDir,
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

_RUNG = "median_series_for_"  # and the name of a split

app = typer.Typer()


@app.command(
    epilog=examples("kubecast validate --data demand.csv --preset quick --horizon 48 --season-length 48,336")
)
def validate(
    config: ConfigDir = None,
    preset: Preset = None,
    data: Annotated[
        str,
        typer.Option(
            help="Data to check against the settings, as for run; or -, the input.", rich_help_panel="Data"
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
    as_json: Json = False,
) -> None:
    """Check the settings, and the data if given: the parts, origins and minimum lengths that follow.

    Begins with a verdict; where a run would be refused, that error is all, and the exit status is not 0.
    """
    from kubecast.steps.validate import check_data, check_settings

    settings = settings_with_scalars(
        settings_folder(config, preset),
        overrides,
        horizon,
        frequency,
        season_lengths,
        data=data_options(unique_id, time, target, query),
    )
    training, models = settings.training, list(settings.pipeline.models)
    with data_file(data) as location:
        facts = check_data(location, training) if data else check_settings(training)
    if as_json:
        print_json({"models": models, **facts})
        return
    print("\n".join(_of_data(models, facts) if data else _of_settings(models, facts)))
    if findings := facts.get("findings"):
        print()
        print_table("Found in the data", ["what", "series", "rows", "detail"], findings)


def _of_settings(models: list[str], facts: dict[str, Any]) -> Iterator[str]:
    yield f"settings are valid: {_count(len(models), 'model')}, horizon {facts['horizon']}"
    yield "data       not checked: --data FILE does; rows that the median series needs for a split:"
    for key, rows in facts.items():
        if key.startswith(_RUNG):
            yield f"           {rows:,} {key.removeprefix(_RUNG)}"


def _of_data(models: list[str], facts: dict[str, Any]) -> Iterator[str]:
    origins = {split: facts[f"{split}_origins"] for split in ("validation", "test")}
    yield f"ready: {_count(len(models), 'model')}, {' + '.join(map(str, origins.values()))} origins"
    yield f"models     {', '.join(models)}"
    yield from data_lines(facts)
    train, validation, test = (f"{facts[f'{split}_steps']:,}" for split in ("train", "validation", "test"))
    if facts["split"] != "full":
        yield f"short      the history is short: the split is {facts['split']}"
    steps = f"{train} training, {validation} validation and {test} test steps"
    yield f"splits     {steps}, in a series of {facts['split_length']:,}"
    for split, number in origins.items():
        if number:
            first, last = facts[f"{split}_origins_from"], facts[f"{split}_origins_to"]
            yield f"{split:<10} {_count(number, 'origin')}, {first} to {last}"
    if short := facts["fallback_series"]:
        yield f"fallback   {short:,} series too short for a model: seasonal naive"


def data_lines(facts: dict[str, Any]) -> Iterator[str]:
    """The size and the steps of the data, in words."""
    yield f"data       {facts['series']:,} series, {facts['rows']:,} rows, one every {facts['frequency']}"
    seasons = ", ".join(map(str, facts["season_lengths"])) or "none"
    yield f"horizon    {facts['horizon']} steps; seasons of {seasons} steps"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
