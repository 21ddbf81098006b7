"""``kubecast submit``, ``status`` and ``schedule``: runs on a Kubeflow Pipelines cluster."""

import logging
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kubecast.cli.console import Json, print_json, print_table
from kubecast.errors import ClusterError

if TYPE_CHECKING:
    from kubecast.settings.loading import AllSettings
    from pipelines.running.client import Client
    from pipelines.running.following import Progress
    from pipelines.running.scheduling import Change, Scheduler
    from pipelines.running.submitting import Place

INTERRUPTED = 130  # as a shell tells it

app = typer.Typer()
schedules = typer.Typer(
    help="Keep the schedules of cluster.yaml on a cluster; their times are in its zone, UTC as a rule.",
    no_args_is_help=True,
)
app.add_typer(schedules, name="schedule")

ConfigDir = Annotated[
    Path | None,
    typer.Option(help="Folder of settings files, e.g. configs/quick; default: built-in settings."),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="FILE.KEY=VALUE, e.g. lstm.epochs=5; may be repeated.")
]
Host = Annotated[
    str,
    typer.Option(
        envvar="KUBECAST_KFP_HOST",
        help="Address of Kubeflow Pipelines, e.g. http://localhost:8080; default: cluster.connection.host,"
        " or the pod's own cluster. KUBECAST_KFP_TOKEN holds a token, KUBECAST_KFP_COOKIES cookies.",
    ),
]
Namespace = Annotated[
    str, typer.Option(envvar="KUBECAST_KFP_NAMESPACE", help="Profile, where Kubeflow has several users.")
]
Context = Annotated[
    str,
    typer.Option(
        help="Of the kubeconfig, by which the cluster is read; default: cluster.connection.context."
    ),
]
TokenFile = Annotated[str, typer.Option(envvar="KUBECAST_KFP_TOKEN_FILE", help="File of a bearer token.")]
ServiceAccount = Annotated[
    str, typer.Option(help="Of the runs' pods; default: cluster.connection.service_account.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]
Name = Annotated[str, typer.Argument(help="Of the schedule.")]
Names = Annotated[list[str] | None, typer.Argument(help="Only these schedules; default: all.")]


@app.command()
def submit(
    config: ConfigDir = None,
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
    as_json: Json = False,
) -> None:
    """Compile a pipeline and run it on a cluster.

    The pipeline, its version (named by a hash of the compiled file) and the experiment are made where there
    are none yet.
    """
    from pipelines.running import preflight
    from pipelines.running.parameters import read_assignments
    from pipelines.running.submitting import compile_mode, ensure_place, experiment_of, find_place
    from pipelines.running.submitting import submit as start

    settings = connected_settings(config, overrides, host, namespace, token_file, service_account, context)
    experiment = experiment_of(settings)
    with tempfile.TemporaryDirectory() as folder:
        compiled = compile_mode(settings, mode, Path(folder))
        parameters = read_assignments(params or [], compiled.spec)
        preflight.check_name(name)
        preflight.check_run(settings, compiled, parameters, "--param ")
        preflight.check_cluster(settings, [mode])
        client = _client(settings)
        told = {"pipeline": compiled.name, "version": compiled.version, "experiment": experiment}
        run_name = name or f"{mode}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        if dry_run:
            _tell_plan(find_place(client, compiled, experiment), told, run_name, parameters, as_json)
            return
        place = ensure_place(client, compiled, experiment)
    run_id = start(client, place, run_name, parameters, settings.cluster.connection.service_account)
    told |= {"run": run_id, "link": client.run_link(run_id)}
    if not as_json:
        _tell(told)
    ended = _follow(settings, client, run_id, quiet=as_json) if wait else None
    if as_json:
        print_json(told | (_progress(ended) if ended else {}))
    if ended:
        _end(ended)


@app.command()
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
    from pipelines.running.following import follower

    settings = connected_settings(config, None, host, namespace, token_file, context=context)
    client = _client(settings)
    found = follower(client, settings.cluster.connection).look(run)
    if as_json:
        print_json(_progress(found) | {"link": client.run_link(run)})
        return
    print_table(f"{found.name}  {found.state}", COLUMNS, rows(found))
    print("\n".join([*details(found), f"source     {found.source}", f"link       {client.run_link(run)}"]))


@schedules.command()
def apply(
    names: Names = None,
    config: ConfigDir = None,
    overrides: Overrides = None,
    host: Host = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
    service_account: ServiceAccount = "",
    context: Context = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make the cluster's schedules those of cluster.yaml; again and again does no harm.

    One that changed is replaced, while the runs that it started go on. Schedules that are not in the file are
    left alone. Exit status 1 when somebody else applied another version at the same time.
    """
    from pipelines.running import preflight
    from pipelines.running.orphans import remove_orphans
    from pipelines.running.scheduling import Scheduler, prepare
    from pipelines.running.submitting import ensure_place

    settings = connected_settings(config, overrides, host, namespace, token_file, service_account, context)
    connection = settings.cluster.connection
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(settings, names or [], Path(folder), connection.service_account)
        for wanted, compiled in prepared:
            where = f"schedule {wanted.name}: parameters."
            preflight.check_run(settings, compiled, wanted.spec["parameters"], where)
        modes = {each.mode for each in settings.cluster.schedules if not names or each.name in names}
        preflight.check_cluster(settings, modes)
        client = _client(settings)
        scheduler = Scheduler(client)
        done: dict[str, str] = {}
        places: dict[str, Place] = {}
        for wanted, compiled in prepared:
            if dry_run:
                done[wanted.name] = scheduler.preview(wanted)
            else:
                places[wanted.name] = ensure_place(client, compiled, wanted.spec["experiment"])
                done[wanted.name] = scheduler.apply(wanted, places[wanted.name])
    look = "created" in done.values()
    for line in remove_orphans(client, places, connection.context, look) if places else ():
        print(line, file=sys.stderr)
    if as_json:
        print_json(done)
    for name, action in {} if as_json else done.items():
        print(f"{'would be ' * (dry_run and action != 'unchanged')}{action:<10} {name}")
    if "overtaken" in done.values():
        raise typer.Exit(1)


@schedules.command()
def diff(
    names: Names = None,
    config: ConfigDir = None,
    overrides: Overrides = None,
    host: Host = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
    service_account: ServiceAccount = "",
    as_json: Json = False,
) -> None:
    """Show what `apply` would change, key by key."""
    from dataclasses import asdict

    from pipelines.running.scheduling import prepare

    settings = connected_settings(config, overrides, host, namespace, token_file, service_account)
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(settings, names or [], Path(folder), settings.cluster.connection.service_account)
    changes = _scheduler(settings).diff([wanted for wanted, _ in prepared])
    changes = [change for change in changes if not names or change.name in names]
    if as_json:
        print_json([asdict(change) for change in changes])
    elif changes:
        print_table("Changes", ["schedule", "key", "now", "wanted"], [_row(change) for change in changes])
    else:
        print("unchanged  every schedule is as it should be")


@schedules.command(name="list")
def list_schedules(
    config: ConfigDir = None,
    host: Host = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
    as_json: Json = False,
) -> None:
    """List the schedules that `apply` made."""
    scheduler = _scheduler(connected_settings(config, None, host, namespace, token_file))
    told = [
        {"schedule": name, "enabled": each.enabled, **scheduler.spec_of(each), "id": each.id}
        for name, each in sorted(scheduler.current().items())
    ]
    if as_json:
        print_json(told)
        return
    columns = ["schedule", "enabled", "cron", "pipeline", "version"]
    print_table("Schedules", columns, [[row.get(column) for column in columns] for row in told])


@schedules.command()
def pause(
    name: Name,
    config: ConfigDir = None,
    host: Host = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
) -> None:
    """Let a schedule start no runs until it is resumed or, with `enabled: true`, applied."""
    _scheduler(connected_settings(config, None, host, namespace, token_file)).switch(name, enabled=False)
    print(f"paused     {name}")


@schedules.command()
def resume(
    name: Name,
    config: ConfigDir = None,
    host: Host = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
) -> None:
    """Let a paused schedule start runs again."""
    _scheduler(connected_settings(config, None, host, namespace, token_file)).switch(name, enabled=True)
    print(f"resumed    {name}")


@schedules.command()
def delete(
    name: Name,
    config: ConfigDir = None,
    host: Host = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
) -> None:
    """Delete a schedule; the runs that it started go on."""
    _scheduler(connected_settings(config, None, host, namespace, token_file)).delete(name)
    print(f"deleted    {name}")


def connected_settings(
    config: Path | None,
    overrides: list[str] | None,
    host: str,
    namespace: str,
    token_file: str,
    service_account: str = "",
    context: str = "",
) -> "AllSettings":
    """The settings files, with the options that say how the cluster is reached on top."""
    from kubecast.config.schedules import ConnectionSettings
    from kubecast.config.validation import validate
    from kubecast.settings.loading import load_settings

    settings = load_settings(config, overrides or [])
    options = {
        "host": host,
        "namespace": namespace,
        "token_file": token_file,
        "service_account": service_account,
        "context": context,
    }
    given = {key: value for key, value in options.items() if value}
    merged = settings.cluster.connection.model_dump() | given
    connection = validate(ConnectionSettings, merged, "options", "connection")
    cluster = settings.cluster.model_copy(update={"connection": connection})
    return settings.model_copy(update={"cluster": cluster})


def _client(settings: "AllSettings") -> "Client":
    from pipelines.running.client import Client
    from pipelines.running.connection import connect

    logging.getLogger("urllib3.connectionpool").setLevel(
        logging.ERROR
    )  # what it retries in vain is told once
    return Client(connect(settings.cluster.connection))


def _scheduler(settings: "AllSettings") -> "Scheduler":
    from pipelines.running.scheduling import Scheduler

    return Scheduler(_client(settings))


def _tell(told: dict[str, Any]) -> None:
    for key, value in told.items():
        print(f"{key:<10} {value}")


def _tell_plan(
    place: Any, told: dict[str, Any], run_name: str, parameters: dict[str, Any], as_json: bool
) -> None:
    ids = {"pipeline": place.pipeline_id, "version": place.version_id, "experiment": place.experiment_id}
    if as_json:
        exists = {key: found is not None for key, found in ids.items()}
        print_json(told | {"run_name": run_name, "parameters": parameters, "exists": exists})
        return
    for key, found in ids.items():
        print(f"{key:<10} {told[key]}  {'exists' if found else 'would be created'}")
    print(f"run        {run_name}  would be created, with {parameters or 'the default parameters'}")


def _follow(settings: "AllSettings", client: "Client", run_id: str, quiet: bool) -> "Progress":
    from kubecast.cli.run_view import shown
    from pipelines.running.following import follower

    try:
        with shown(quiet) as show:
            return follower(client, settings.cluster.connection).wait(run_id, show)
    except KeyboardInterrupt:
        print(f"the run goes on; kubecast status {run_id} shows it", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _progress(progress: "Progress") -> dict[str, Any]:
    from dataclasses import asdict

    found = asdict(progress)
    return {"run": found.pop("run_id"), **found}


def _end(ended: "Progress") -> None:
    from kubecast.cli.run_view import details, summary
    from pipelines.running.following import SUCCEEDED

    if ended.state == SUCCEEDED:
        print("state      SUCCEEDED", file=sys.stderr)
        return
    print("\n".join(details(ended)), file=sys.stderr)
    why = summary(ended)
    raise ClusterError(f"run {ended.run_id} ended as {ended.state}{': ' if why else ''}{why}")


def _row(change: "Change") -> list[Any]:
    return [change.name, change.key, change.now, change.wanted]
