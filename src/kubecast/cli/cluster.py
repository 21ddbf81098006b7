"""``kubecast submit`` and ``status``: runs on a Kubeflow Pipelines cluster."""

import logging
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kubecast.cli.console import INTERRUPTED, Json, is_quiet, print_json, print_table
from kubecast.cli.options import (
    ConfigDir,
    Context,
    DryRun,
    Host,
    Namespace,
    Overrides,
    Preset,
    ServiceAccount,
    TokenFile,
    connected_settings,
    examples,
    settings_folder,
)
from kubecast.errors import ClusterError, ConfigError

if TYPE_CHECKING:
    from kubecast.pipelines.running.client import Client
    from kubecast.pipelines.running.following import Progress
    from kubecast.pipelines.running.submitting import PipelineRef
    from kubecast.settings.loading import AllSettings

app = typer.Typer()


@app.command(
    epilog=examples(
        "kubecast submit --config settings --param data=s3://demand/demand.csv --wait",
        "kubecast submit --config settings --param data=s3://demand/demand.csv --offline",
    )
)
def submit(
    config: ConfigDir = None,
    preset: Preset = None,
    overrides: Overrides = None,
    params: Annotated[
        list[str] | None,
        typer.Option(
            "--param", help="NAME=VALUE of the pipeline, e.g. data=s3://demand/demand.csv; may be repeated."
        ),
    ] = None,
    mode: Annotated[
        Literal["train", "tune", "retrain", "score"],
        typer.Option(help="retrain: with the champion's settings; score: forecast new data with it."),
    ] = "train",
    name: Annotated[str, typer.Option(help="Of the run; default: the mode and the time.")] = "",
    host: Host = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
    service_account: ServiceAccount = "",
    context: Context = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Until the run ends; exit status 1 unless it succeeds.")
    ] = False,
    dry_run: DryRun = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="As --dry-run, without a cluster: what needs one is not checked."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compile a pipeline and run it on a cluster.

    The pipeline, its version (named by a hash of the compiled file) and the experiment are made where there
    are none yet.
    """
    from kubecast.pipelines.running import preflight
    from kubecast.pipelines.running.parameters import read_assignments
    from kubecast.pipelines.running.submitting import (
        compile_mode,
        ensure_pipeline_ref,
        experiment_of,
        find_pipeline_ref,
    )
    from kubecast.pipelines.running.submitting import submit as start

    if wait and (dry_run or offline):
        raise ConfigError("--wait: nothing runs that could end; allowed: without --dry-run and --offline")
    folder = settings_folder(config, preset)
    settings = connected_settings(folder, overrides, host, namespace, token_file, service_account, context)
    experiment = experiment_of(settings)
    with tempfile.TemporaryDirectory() as scratch:
        compiled = compile_mode(settings, mode, Path(scratch))
        parameters = read_assignments(params or [], compiled.spec)
        preflight.check_name(name)
        preflight.check_run(settings, compiled, parameters, "--param ")
        record = {"pipeline": compiled.name, "version": compiled.version, "experiment": experiment}
        run_name = name or f"{mode}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        if offline:
            _print_plan(None, record, run_name, parameters, as_json)
            return
        preflight.check_cluster(settings, [mode])
        client = client_of(settings)
        if dry_run:
            _print_plan(
                find_pipeline_ref(client, compiled, experiment), record, run_name, parameters, as_json
            )
            return
        ref = ensure_pipeline_ref(client, compiled, experiment)
    run_id = start(client, ref, run_name, parameters, settings.cluster.connection.service_account)
    record |= {"run": run_id, "link": client.run_link(run_id)}
    if not as_json:
        _print_pairs(record)
    ended = _follow(settings, client, run_id, quiet=as_json or is_quiet()) if wait else None
    if as_json:
        print_json(record | (_progress(ended) if ended else {}))
    if ended:
        _end(ended)


@app.command(epilog=examples("kubecast status 6c1d0d3e-5f0a-4b7c-9d53-0a4f6c1b8e2d --config settings"))
def status(
    run: Annotated[str, typer.Argument(help="Id of the run.")],
    config: ConfigDir = None,
    host: Host = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Show a run's tasks: their states, how long they took, and why they failed or do not start.

    Read are, as far as you may, the run's Workflow, its pods and events, and what Kubeflow Pipelines says.
    """
    from kubecast.cli.run_view import COLUMNS, details, rows
    from kubecast.pipelines.running.following import follower

    settings = connected_settings(config, None, host, namespace, token_file, context=context)
    client = client_of(settings)
    progress = follower(client, settings.cluster.connection).look(run)
    if as_json:
        print_json(_progress(progress) | {"link": client.run_link(run)})
        return
    print(f"run        {progress.name}  {progress.state}")
    print_table("Tasks", COLUMNS, rows(progress))
    link = client.run_link(run)
    print("\n".join([*details(progress), f"source     {progress.source}", f"link       {link}"]))


def client_of(settings: "AllSettings") -> "Client":
    """The client of the settings' Kubeflow Pipelines."""
    from kubecast.pipelines.running.client import Client
    from kubecast.pipelines.running.connection import connect

    # What it retries in vain is one error at the end.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    return Client(connect(settings.cluster.connection))


def _print_pairs(pairs: dict[str, Any]) -> None:
    for key, value in pairs.items():
        print(f"{key:<10} {value}")


def _print_plan(
    ref: "PipelineRef | None",
    record: dict[str, Any],
    run_name: str,
    parameters: dict[str, Any],
    as_json: bool,
) -> None:
    """Print what would be done; without ids of the cluster, what was not checked too."""
    from kubecast.pipelines.running.preflight import ON_THE_CLUSTER

    unchecked = [] if ref else ON_THE_CLUSTER
    exists = {
        key: getattr(ref, f"{key}_id") is not None if ref else None
        for key in ("pipeline", "version", "experiment")
    }
    if as_json:
        plan = {"run_name": run_name, "parameters": parameters, "exists": exists}
        print_json(record | plan | {"not_checked": unchecked})
        return
    states = {True: "exists", False: "would be created", None: "would be created where it is not there yet"}
    for key, state in exists.items():
        print(f"{key:<10} {record[key]}  {states[state]}")
    print(f"run        {run_name}  would be created, with {parameters or 'the default parameters'}")
    if unchecked:
        print(f"unchecked  {', '.join(unchecked)}: kubecast doctor looks at them")


def _follow(settings: "AllSettings", client: "Client", run_id: str, quiet: bool) -> "Progress":
    from kubecast.cli.run_view import shown
    from kubecast.pipelines.running.following import follower

    try:
        with shown(quiet) as show:
            return follower(client, settings.cluster.connection).wait(run_id, show)
    except KeyboardInterrupt:
        print(f"the run goes on; kubecast status {run_id} shows it", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _progress(progress: "Progress") -> dict[str, Any]:
    from dataclasses import asdict

    fields = asdict(progress)
    return {"run": fields.pop("run_id"), **fields}


def _end(ended: "Progress") -> None:
    from kubecast.cli.run_view import details, summary
    from kubecast.pipelines.running.following import SUCCEEDED

    if ended.state == SUCCEEDED:
        print("state      SUCCEEDED", file=sys.stderr)
        return
    print("\n".join(details(ended)), file=sys.stderr)
    why = summary(ended)
    raise ClusterError(f"run {ended.run_id} ended as {ended.state}{': ' if why else ''}{why}")
