"""Commands on this machine: runs of the pipeline, and what is made of their results, settings and data."""

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kubecast.cli.console import Json, print_json, print_table
from kubecast.cli.options import (
    AsOf,
    ConfigDir,
    Data,
    Frequency,
    Horizon,
    IdColumn,
    Model,
    Overrides,
    Query,
    RegistryUrl,
    Seasons,
    TargetColumn,
    TimeColumn,
    data_options,
    settings_with_scalars,
)
from kubecast.config.schedules import Mode
from kubecast.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from kubecast.ensemble.bundle import Bundle

app = typer.Typer()


@app.command()
def run(
    data: Data,
    output: Annotated[Path, typer.Option(help="Folder for the leaderboard, the report and the forecasts.")],
    config: ConfigDir = None,
    horizon: Horizon = None,
    frequency: Frequency = "",
    season_lengths: Seasons = "",
    registry: RegistryUrl = "",
    models: Annotated[
        str, typer.Option(help="With commas, e.g. arima,catboost; default: pipeline.models.")
    ] = "",
    overrides: Overrides = None,
    as_of: AsOf = "",
    mode: Annotated[
        Literal["train", "tune", "retrain"],
        typer.Option(help="tune: after a search; retrain: each model with the champion's settings."),
    ] = "train",
    unique_id: IdColumn = "",
    time: TimeColumn = "",
    target: TargetColumn = "",
    query: Query = "",
    cache: Annotated[
        bool, typer.Option(help="Reuse the outputs of tasks whose inputs are unchanged.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the whole pipeline on this machine and publish a version.

    Writes leaderboard.json, report.html, ensemble.html, training-MODEL.html, forecasts.parquet (beyond the
    end of the data), backtest.parquet (every rolling forecast, with its target), pipeline.yaml and run.log to
    --output; where models are tuned, tuning-MODEL.html and trials-MODEL.csv too. The registry is
    OUTPUT/registry unless --registry names one.
    """
    from kubecast.cli.progress import progress
    from pipelines.running.local import run_locally

    options = data_options(unique_id, time, target, query)
    settings = settings_with_scalars(config, overrides, horizon, frequency, season_lengths, models, options)
    with progress(quiet=as_json) as on_progress:
        result = run_locally(
            settings, data, output, registry, as_of, mode, caching=cache, on_progress=on_progress
        )
    from kubecast.evaluation.verdict import verdict_of

    leaderboard = json.loads((output / "leaderboard.json").read_text())
    if as_json:
        published = {"version": result.version, "aliases": result.aliases, "output": str(output)}
        print_json(published | {key: leaderboard[key] for key in ("missing", "decision", "leaderboard")})
        return
    if leaderboard["decision"]["evaluated"]:
        print_leaderboard(leaderboard)
    else:
        print("Test split: not evaluated")
    for finding in leaderboard["data"]["findings"]:
        if finding["what"] == "split":
            print(f"split      {finding['detail']}")
    for name, reason in leaderboard["missing"].items():
        print(f"failed     {name}: {reason}")
    print(f"compared   {leaderboard['decision']['compared']}")
    if words := verdict_of(leaderboard):
        print(f"verdict    {words.title}")
    print(f"promoted   {', '.join(result.aliases) or why_not_promoted(leaderboard['decision'])}")
    for page in sorted(output.glob("tuning-*.html")):
        print(f"tuning     {page}")
    print(f"report     {output / 'report.html'}")
    print(f"published  {result.version}  in {result.registry}")


def why_not_promoted(decision: dict[str, Any]) -> str:
    """Why a version became no champion, from the leaderboard's decision, in one line."""
    taken = ["the champion was made from the same data and settings, or by a run that ended meanwhile"]
    return f"no: {'; '.join(taken if decision['promote'] else decision['reasons'])}"


@app.command()
def forecast(
    registry: RegistryUrl,
    model: Model,
    data: Data,
    output: Annotated[Path, typer.Option(help="File to write: .csv or .parquet.")],
    horizon: Annotated[int | None, typer.Option(help="Steps; default: the model's.")] = None,
    future: Annotated[str, typer.Option(help="File of known-future covariates over the horizon.")] = "",
    as_of: AsOf = "",
    unique_id: IdColumn = "",
    time: TimeColumn = "",
    target: TargetColumn = "",
    query: Query = "",
) -> None:
    """Forecast beyond the end of the data with a published ensemble."""
    from kubecast.data.timestamps import parse_time

    write = _writer(output)
    with _bundle(registry, model, "production") as bundle:
        options = data_options(unique_id, time, target, query)
        moment = parse_time(as_of, "--as-of") if as_of else None
        ahead = _rows(future, bundle, {}) if future else None
        write(bundle.forecast(_rows(data, bundle, options), horizon, ahead, moment))
    print(f"forecasts  {output}", file=sys.stderr)


@app.command()
def backtest(
    registry: RegistryUrl,
    model: Model,
    data: Data,
    stride: Annotated[int, typer.Option(help="Steps between origins.")],
    output: Annotated[Path | None, typer.Option(help="File for the forecasts: .csv or .parquet.")] = None,
    start: Annotated[str, typer.Option("--from", help="First origin; default: the earliest allowed.")] = "",
    unique_id: IdColumn = "",
    time: TimeColumn = "",
    target: TargetColumn = "",
    query: Query = "",
    as_json: Json = False,
) -> None:
    """Rolling forecasts of a version as it was evaluated, on rows that it has not seen."""
    from kubecast.data.timestamps import parse_time
    from kubecast.ensemble.bundle import mase

    write = _writer(output) if output else None
    with _bundle(registry, model, "evaluated") as bundle:
        moment = parse_time(start, "--from") if start else None
        rows = _rows(data, bundle, data_options(unique_id, time, target, query))
        table = bundle.backtest(rows, stride, moment)
        season = bundle.contract.spec.season_lengths[0]
    if write:
        write(table)
    scores = {
        "origins": len(table[["unique_id", "cutoff"]].drop_duplicates()),
        "first": str(table["cutoff"].min()),
        "last": str(table["cutoff"].max()),
        "season_length": season,
        "mase": round(mase(table, bundle.contract.training.data.columns), 6),
    }
    if as_json:
        print_json(scores)
    else:
        print_table("Backtest", list(scores), [list(scores.values())])


@app.command(name="compile")
def compile_(
    output: Annotated[Path, typer.Option(help="File to write: .yaml.")],
    config: ConfigDir = None,
    overrides: Overrides = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="tune: after a search; retrain: with the champion's settings; score: only forecast."
        ),
    ] = "train",
    as_json: Json = False,
) -> None:
    """Compile a pipeline for a Kubeflow Pipelines cluster."""
    from pipelines.compiling import compile_pipeline

    compile_pipeline(settings_with_scalars(config, overrides), output, mode)
    size = output.stat().st_size
    print_json({"pipeline": str(output), "bytes": size}) if as_json else print(
        f"pipeline   {output}  {size} bytes"
    )


@app.command()
def validate(
    config: ConfigDir = None,
    data: Annotated[str, typer.Option(help="Data to check against the settings, as for run.")] = "",
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
    """Check the settings, and the data if given: the parts, origins and minimum lengths that follow."""
    from kubecast.steps.validate import check_data, check_settings

    options = data_options(unique_id, time, target, query)
    settings = settings_with_scalars(config, overrides, horizon, frequency, season_lengths, data=options)
    facts = check_data(data, settings.training) if data else check_settings(settings.training)
    if as_json:
        print_json(facts)
        return
    findings = facts.pop("findings", [])
    print_table("Settings" if not data else f"{data}", ["what", "value"], [[k, v] for k, v in facts.items()])
    if findings:
        print_table("Found in the data", ["what", "series", "rows", "detail"], findings)


@app.command()
def report(
    source: Annotated[
        str,
        typer.Argument(
            help="Output folder of a run; with --registry NAME, NAME@ALIAS or NAME@VERSION.", metavar="SOURCE"
        ),
    ],
    registry: Annotated[str, typer.Option(help="Folder or URL of the registry of the version.")] = "",
    output: Annotated[
        Path | None,
        typer.Option(help="HTML file to write; default: report.html in SOURCE, or NAME-VERSION.html here."),
    ] = None,
) -> None:
    """Render the report of a run, or of a published version, again from its leaderboard and forecasts."""
    from kubecast.registry import Registry
    from kubecast.steps.render import render_folder, render_version

    if registry:
        store = Registry.open(registry)
        version = store.resolve(source)
        page = render_version(store, version)
        target = output or Path(f"{version.name}-{version.id}.html")
    else:
        page = render_folder(Path(source))
        target = output or Path(source) / "report.html"
    _write_whole(target, lambda partial: partial.write_text(page, "utf-8"))
    print(f"report     {target}")


@app.command()
def trial(
    parameters: Annotated[
        list[str],
        typer.Argument(help="NAME=VALUE of each parameter of the search space.", metavar="NAME=VALUE"),
    ],
) -> None:
    """Score one trial of a Katib experiment, which runs this in a pod.

    Everything but the parameters is JSON in the environment variable KUBECAST_TRIAL. Prints objective=NUMBER
    after every epoch and fold.
    """
    from kubecast.steps.trial import run_trial

    run_trial(parameters)


@app.command()
def sample(
    output: Annotated[Path, typer.Option(help="CSV file to write.")],
) -> None:
    """Write a real sample series: half-hourly electricity demand, 4,032 rows."""
    from kubecast.data.sample import write_sample

    print(f"data       {output}  {write_sample(output)} rows")


def _rows(location: str, bundle: "Bundle", options: Mapping[str, str]) -> "pd.DataFrame":
    """Data for a version, with its columns under the names that the version was trained with."""
    from kubecast.data.files import read_data, settings_for
    from kubecast.data.roles import rename_columns

    settings = settings_for(location, bundle.contract.training.data)
    trained = settings.columns
    names = {
        role: options[key] for role in type(trained).model_fields if (key := f"columns.{role}") in options
    }
    changes = {"columns": trained.model_copy(update=names), "query": options.get("query", settings.query)}
    rows = read_data(location, settings.model_copy(update=changes)).rows
    return rename_columns(rows, {name: getattr(trained, role) for role, name in names.items()})


@contextlib.contextmanager
def _bundle(registry: str, model: str, part: str) -> "Iterator[Bundle]":
    """A published bundle, verified and loaded."""
    from kubecast.ensemble.bundle import Bundle
    from kubecast.registry import Registry

    store = Registry.open(registry)
    version = store.resolve(model)
    with tempfile.TemporaryDirectory() as folder:
        yield Bundle.load(store.fetch(version, part, Path(folder)))


def _writer(output: Path) -> Any:
    if output.suffix not in {".csv", ".parquet"}:
        raise ConfigError(
            f"--output {output}: ends in {output.suffix or 'nothing'}, allowed: .csv or .parquet"
        )

    def write(table: "pd.DataFrame") -> None:
        save = table.to_csv if output.suffix == ".csv" else table.to_parquet
        _write_whole(output, lambda partial: save(partial, index=False))

    return write


def _write_whole(output: Path, write: Callable[[Path], object]) -> None:
    """Let a file appear only when it is complete."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    write(partial)
    partial.replace(output)


def print_leaderboard(evaluation: dict[str, Any]) -> None:
    """Print the rows of the test split as a table, the best first."""
    rows = [row for row in evaluation["leaderboard"] if row["split"] == "test"]
    rows.sort(key=lambda row: (row["mase"] is None, row["mase"]))
    columns = ["model", "mase", "skill", *evaluation["scoring"]]
    season = evaluation["season_length"]
    print_table(
        f"Test split, MASE with m = {season}", columns, [[row.get(c) for c in columns] for row in rows]
    )
