"""``kubecast schedule``: recurring runs on a Kubeflow Pipelines cluster."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubecast.cli.cluster import client_of
from kubecast.cli.console import Json, print_json, print_table
from kubecast.cli.options import (
    ConfigDir,
    Context,
    DryRun,
    Host,
    Namespace,
    Overrides,
    ServiceAccount,
    TokenFile,
    connected_settings,
    examples,
)

if TYPE_CHECKING:
    from kubecast.pipelines.running.scheduling import Change, DesiredSchedule, Scheduler
    from kubecast.pipelines.running.submitting import Compiled, PipelineRef
    from kubecast.settings.loading import AllSettings

app = typer.Typer(
    help="Keep the schedules of cluster.yaml on a cluster; their times are in its zone, UTC as a rule.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Of the schedule.")]
Names = Annotated[list[str] | None, typer.Argument(help="Only these schedules; default: all.")]


@app.command(epilog=examples("kubecast schedule apply --config settings --dry-run"))
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
    from kubecast.pipelines.running import preflight
    from kubecast.pipelines.running.schedule_orphans import remove_orphans
    from kubecast.pipelines.running.scheduling import Scheduler
    from kubecast.pipelines.running.submitting import ensure_pipeline_ref

    settings = connected_settings(config, overrides, host, namespace, token_file, service_account, context)
    connection = settings.cluster.connection
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(settings, names or [], Path(folder))
        modes = {each.mode for each in settings.cluster.schedules if not names or each.name in names}
        preflight.check_cluster(settings, modes)
        client = client_of(settings)
        scheduler = Scheduler(client)
        done: dict[str, str] = {}
        refs: dict[str, PipelineRef] = {}
        for desired, compiled in prepared:
            if dry_run:
                done[desired.name] = scheduler.preview(desired)
            else:
                refs[desired.name] = ensure_pipeline_ref(client, compiled, desired.spec["experiment"])
                done[desired.name] = scheduler.apply(desired, refs[desired.name])
    look = "created" in done.values()
    for line in remove_orphans(client, refs, connection.context, look) if refs else ():
        print(line, file=sys.stderr)
    if as_json:
        print_json(done)
    for name, action in {} if as_json else done.items():
        print(f"{'would be ' * (dry_run and action != 'unchanged')}{action:<10} {name}")
    if "superseded" in done.values():
        raise typer.Exit(1)


@app.command(epilog=examples("kubecast schedule diff --config settings"))
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

    settings = connected_settings(config, overrides, host, namespace, token_file, service_account)
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(settings, names or [], Path(folder))
    changes = _scheduler(settings).diff([desired for desired, _ in prepared])
    changes = [change for change in changes if not names or change.name in names]
    if as_json:
        print_json([asdict(change) for change in changes])
    elif changes:
        print_table("Changes", ["schedule", "key", "actual", "desired"], [_row(change) for change in changes])
    else:
        print("unchanged  every schedule is as it should be")


@app.command(name="list", epilog=examples("kubecast schedule list --config settings"))
def list_schedules(
    config: ConfigDir = None,
    host: Host = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
    as_json: Json = False,
) -> None:
    """List the schedules that `apply` made."""
    scheduler = _scheduler(connected_settings(config, None, host, namespace, token_file))
    rows = [
        {"schedule": name, "enabled": each.enabled, **scheduler.spec_of(each), "id": each.id}
        for name, each in sorted(scheduler.current().items())
    ]
    if as_json:
        print_json(rows)
        return
    columns = ["schedule", "enabled", "cron", "pipeline", "version"]
    print_table("Schedules", columns, [[row.get(column) for column in columns] for row in rows])


@app.command(epilog=examples("kubecast schedule pause nightly --config settings"))
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


@app.command(epilog=examples("kubecast schedule resume nightly --config settings"))
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


@app.command(epilog=examples("kubecast schedule delete nightly --config settings"))
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


def _prepared(
    settings: "AllSettings", names: list[str], folder: Path
) -> "list[tuple[DesiredSchedule, Compiled]]":
    """The schedules of the settings, each with its pipeline, after the checks of their runs."""
    from kubecast.pipelines.running.preflight import check_run
    from kubecast.pipelines.running.scheduling import prepare

    prepared = prepare(settings, names, folder, settings.cluster.connection.service_account)
    for desired, compiled in prepared:
        check_run(settings, compiled, desired.spec["parameters"], f"schedule {desired.name}: parameters.")
    return prepared


def _scheduler(settings: "AllSettings") -> "Scheduler":
    from kubecast.pipelines.running.scheduling import Scheduler

    return Scheduler(client_of(settings))


def _row(change: "Change") -> list[Any]:
    return [change.name, change.key, change.actual, change.desired]
