"""``kubecast doctor``: what a cluster lacks for the runs of kubecast."""

import logging
from dataclasses import asdict

import typer

from kubecast.cli.console import Json, print_json
from kubecast.cli.options import (
    ConfigDir,
    Context,
    Host,
    Namespace,
    Overrides,
    ServiceAccount,
    TokenFile,
    connected_settings,
    examples,
)

app = typer.Typer()


@app.command(epilog=examples("kubecast doctor --config settings"))
def doctor(
    config: ConfigDir = None,
    overrides: Overrides = None,
    host: Host = "",
    namespace: Namespace = "",
    token_file: TokenFile = "",
    service_account: ServiceAccount = "",
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Check what a cluster lacks for the runs of these settings, and say how to mend it.

    It queries Kubeflow Pipelines, the API server of Kubernetes (with the rights of your kubeconfig) and the
    store, where it puts one object and deletes it. Nothing else is changed. Each line is ok, missing, or not
    known: what you may not read, or cannot reach from here. Exit status 1 where something is missing.
    """
    from kubecast.pipelines.running import doctor as checks

    settings = connected_settings(config, overrides, host, namespace, token_file, service_account, context)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # of what it tries again
    cluster = checks.Context.connect(settings)
    lines = []
    for line in checks.examine(cluster):
        lines.append(line)
        if not as_json:
            print(f"{line.state:<9}  {line.check}: {line.detail}", flush=True)
        if line.mend and not as_json:
            print(f"{'':<9}  -> {line.mend}", flush=True)
    if as_json:
        print_json({"namespace": cluster.namespace, "checks": [asdict(line) for line in lines]})
    if any(line.state == "missing" for line in lines):
        raise typer.Exit(1)
