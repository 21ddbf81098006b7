"""Commands on this machine: runs of the pipeline, and what is made of their results, settings and data."""

import contextlib
import json
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kubecast.cli.console import INTERRUPTED, Json, is_quiet, note, percent, print_json, print_table
from kubecast.cli.files import STANDARD, open_rows, read_rows, write_whole, writer
from kubecast.cli.options import (
    AsOf,
    ConfigDir,
    Data,
    Frequency,
    Horizon,
    IdColumn,
    Model,
    Overrides,
    Preset,
    Query,
    RegistryUrl,
    Seasons,
    TargetColumn,
    TimeColumn,
    data_options,
    examples,
    settings_folder,
    settings_with_scalars,
)
from kubecast.config.schedules import Mode
from kubecast.errors import ConfigError

if TYPE_CHECKING:
    from kubecast.cli.progress import View
    from kubecast.ensemble.bundle import Bundle
    from kubecast.pipelines.running.local import Result
    from kubecast.registry import Registry, Version

_DECISIVE = {"split": "split", "closed_days": "closed", "stale": "ended", "left_out": "left out"}
_SHOWN = 3

app = typer.Typer()


@app.command(
    epilog=examples(
        "kubecast run --data demand.csv --preset quick --horizon 48 --season-length 48,336 --output demand",
        "kubecast run --data demand.csv --config settings --models arima,catboost --output demand --resume",
    )
)
def run(
    data: Data,
    output: Annotated[Path, typer.Option(help="Folder for the leaderboard, the report and the forecasts.")],
    config: ConfigDir = None,
    preset: Preset = None,
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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on where the last run in --output stopped: take what is unchanged from it."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the whole pipeline on this machine and publish a version.

    Writes leaderboard.json, by_series.parquet and series.parquet (the figures of each series), report.html,
    ensemble.html, training-MODEL.html, forecasts.parquet (beyond the end of the data), backtest.parquet
    (every rolling forecast, with its target), pipeline.yaml and run.log to --output; where models are tuned,
    tuning-MODEL.html and trials-MODEL.csv too. The registry is OUTPUT/registry unless --registry names one.
    """
    from kubecast.cli.progress import progress
    from kubecast.pipelines.running.local import run_locally

    if data == str(STANDARD):
        raise ConfigError("--data -: a run reads its data more than once; allowed: a file or its URL")
    settings = settings_with_scalars(
        settings_folder(config, preset),
        overrides,
        horizon,
        frequency,
        season_lengths,
        models,
        data=data_options(unique_id, time, target, query),
    )
    with progress(quiet=as_json or is_quiet()) as view, interruptible(view, output):
        result = run_locally(settings, data, output, registry, as_of, mode, resume=resume, on_progress=view)
    leaderboard = json.loads((output / "leaderboard.json").read_text())
    if as_json:
        published = {"version": result.version, "aliases": result.aliases, "output": str(output)}
        print_json(published | {key: leaderboard[key] for key in ("missing", "decision", "leaderboard")})
    else:
        _print_outcome(result, leaderboard, output)


def _print_outcome(result: "Result", leaderboard: dict[str, Any], output: Path) -> None:
    from kubecast.evaluation.verdict import verdict_of

    if leaderboard["decision"]["evaluated"]:
        print_leaderboard(leaderboard)
    else:
        print("Test split: not evaluated")
    print("".join(f"{line}\n" for line in finding_lines(leaderboard["data"]["findings"])), end="")
    for name, reason in leaderboard["missing"].items():
        print(f"left out   {name}: {reason}")
    print(f"compared   {leaderboard['decision']['compared']}")
    if words := verdict_of(leaderboard):
        print(f"verdict    {words.title}")
    print(f"promoted   {', '.join(result.aliases) or why_not_promoted(leaderboard['decision'])}")
    for page in sorted(output.glob("tuning-*.html")):
        print(f"tuning     {page}")
    print(f"report     {output / 'report.html'}")
    print(f"published  {result.version}  in {result.registry}")


def finding_lines(findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The findings about the data that decide what is forecast, a line each; of a kind at most three."""
    for what, word in _DECISIVE.items():
        details = [
            f"{each['series']}: {each['detail']}".removeprefix(": ")
            for each in findings
            if each["what"] == what
        ]
        yield from (f"{word:<10} {detail}" for detail in details[:_SHOWN])
        if len(details) > _SHOWN:
            yield f"{word:<10} {len(details) - _SHOWN:,} more series: leaderboard.json names them"


@contextlib.contextmanager
def interruptible(view: "View", output: Path) -> "Iterator[None]":
    """Say after Ctrl-C what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        done, total = len(view.state.ended), len(view.state.tasks)
        kept = f"after {done} of {total} tasks, kept in {output}; the same command with --resume goes on"
        print(f"interrupted {kept if done else 'before any task had ended'}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def why_not_promoted(decision: dict[str, Any]) -> str:
    """Why a version became no champion, from the leaderboard's decision, in one line."""
    taken = ["the champion was made from the same data and settings, or by a run that ended meanwhile"]
    return f"no: {'; '.join(taken if decision['promote'] else decision['reasons'])}"


@app.command(
    epilog=examples(
        "kubecast forecast --registry demand/registry --model forecaster --data demand.csv --output next.csv"
    )
)
def forecast(
    registry: RegistryUrl,
    model: Model,
    data: Data,
    output: Annotated[Path, typer.Option(help="File to write: .csv or .parquet; -: CSV, printed.")],
    horizon: Annotated[int | None, typer.Option(help="Steps; default: the model's.")] = None,
    future: Annotated[str, typer.Option(help="File of known-future covariates over the horizon.")] = "",
    as_of: AsOf = "",
    unique_id: IdColumn = "",
    time: TimeColumn = "",
    target: TargetColumn = "",
    query: Query = "",
) -> None:
    """Forecast beyond the end of the data with a published ensemble."""
    from kubecast.data.row_blocks import in_folder
    from kubecast.data.timestamps import parse_time

    write = writer(output)
    with (
        _bundle(registry, model, "production") as bundle,
        tempfile.TemporaryDirectory() as given,
        tempfile.TemporaryDirectory() as history,
    ):
        options = data_options(unique_id, time, target, query)
        moment = parse_time(as_of, "--as-of") if as_of else None
        ahead = read_rows(future, bundle, {}) if future else None
        source = open_rows(data, bundle, options, Path(given))
        panel = bundle.contract.history(source, in_folder(Path(history)), ahead, moment, horizon)
        write(bundle.predict(panel, horizon))
    note(f"forecasts  {output}")


@app.command(
    epilog=examples(
        "kubecast backtest --registry demand/registry --model forecaster --data demand.csv --stride 24"
    )
)
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

    write = writer(output) if output else None
    with _bundle(registry, model, "evaluated") as bundle:
        moment = parse_time(start, "--from") if start else None
        rows = read_rows(data, bundle, data_options(unique_id, time, target, query))
        table = bundle.backtest(rows, stride, moment)
        season = bundle.contract.spec.season_lengths[0]
    if write:
        write(table)
    scores = {
        "origins": len(table[["unique_id", "cutoff"]].drop_duplicates()),
        "first": str(table["cutoff"].min()),
        "last": str(table["cutoff"].max()),
        "season_length": season,
        "mase": round(mase(table, bundle.columns), 6),
    }
    if as_json:
        print_json(scores)
    else:
        print_table("Backtest", list(scores), [list(scores.values())])


@app.command(name="compile", epilog=examples("kubecast compile --config settings --output pipeline.yaml"))
def compile_(
    output: Annotated[Path, typer.Option(help="File to write: .yaml.")],
    config: ConfigDir = None,
    preset: Preset = None,
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
    from kubecast.pipelines.compiling import compile_pipeline

    compile_pipeline(settings_with_scalars(settings_folder(config, preset), overrides), output, mode)
    size = output.stat().st_size
    print_json({"pipeline": str(output), "bytes": size}) if as_json else print(
        f"pipeline   {output}  {size} bytes"
    )


@app.command(
    epilog=examples(
        "kubecast report demand --open",
        "kubecast report forecaster@champion --registry demand/registry --output champion.html",
    )
)
def report(
    source: Annotated[
        str,
        typer.Argument(
            help="Output folder of a run; with a registry NAME, NAME@ALIAS or NAME@VERSION.", metavar="SOURCE"
        ),
    ],
    registry: RegistryUrl = "",
    output: Annotated[
        Path | None,
        typer.Option(help="HTML file to write; default: report.html in SOURCE, or NAME-VERSION.html here."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Render the report of a run, or of a published version, again from its leaderboard and forecasts."""
    from kubecast.evaluation.leaderboard import LEADERBOARD
    from kubecast.registry import Registry
    from kubecast.steps.render import render_folder, render_version

    if registry and not (Path(source) / LEADERBOARD).is_file():
        store = Registry.open(registry)
        version = store.resolve(source)
        page = render_version(store, version)
        target = output or Path(f"{version.name}-{version.id}.html")
    else:
        page = render_folder(Path(source))
        target = output or Path(source) / "report.html"
    write_whole(target, lambda partial: partial.write_text(page, "utf-8"))
    print_json({"report": str(target)}) if as_json else print(f"report     {target}")
    if show and not webbrowser.open(target.resolve().as_uri()):
        note("no browser was found; open the file by hand")


@app.command(epilog=examples("kubecast trial learning_rate=0.01"))
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


@app.command(epilog=examples("kubecast sample --output demand.csv", "kubecast sample --output - | head -3"))
def sample(
    output: Annotated[Path, typer.Option(help="File to write: .csv or .parquet; -: CSV, printed.")],
) -> None:
    """Write a real sample series: half-hourly electricity demand, 4,032 rows."""
    from kubecast.data.sample import sample_series

    rows = sample_series()
    writer(output)(rows)
    if output != STANDARD:
        print(f"data       {output}  {len(rows)} rows")


@contextlib.contextmanager
def _bundle(registry: str, model: str, part: str) -> "Iterator[Bundle]":
    """A published bundle, verified and loaded."""
    from kubecast.ensemble.bundle import Bundle
    from kubecast.registry import Registry

    store = Registry.open(registry)
    version = resolve(store, model)
    with tempfile.TemporaryDirectory() as folder:
        yield Bundle.load(store.fetch(version, part, Path(folder)))


def resolve(store: "Registry", model: str) -> "Version":
    """The version that a reference names; that it is no champion is said where that was not asked for."""
    from kubecast.registry import CHAMPION

    version = store.resolve(model)
    if "@" not in model and CHAMPION not in version.aliases:
        note(f"version    {version.id}: the newest of {model}, which has no champion")
    return version


def print_leaderboard(evaluation: dict[str, Any]) -> None:
    """Print the rows of the test split as a table, the best first."""
    rows = [row for row in evaluation["leaderboard"] if row["split"] == "test"]
    rows.sort(key=lambda row: (row["mase"] is None, row["mase"]))
    columns = ["model", "mase", "skill", *evaluation["scoring"]]
    season = evaluation["season_length"]
    print_table(
        f"Test split, MASE with m = {season}",
        columns,
        [[row.get(c) for c in columns] for row in rows],
        {"skill": percent},
    )
