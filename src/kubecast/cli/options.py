"""Options that several commands share, and the settings that they make."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kubecast.settings.loading import AllSettings

ConfigDir = Annotated[
    Path | None,
    typer.Option(help="Folder of settings files, e.g. configs/quick; default: built-in settings."),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="FILE.KEY=VALUE, e.g. lstm.epochs=5; may be repeated.")
]
Data = Annotated[
    str,
    typer.Option(
        help="Path or URL of unique_id, ds, y and covariates: a CSV or Parquet file, a folder of them, a"
        " Delta Lake or Iceberg table, a DuckDB file or a PostgreSQL database."
    ),
]
IdColumn = Annotated[
    str, typer.Option("--id", help="Column that names each row's series; default: training.data.columns.")
]
TimeColumn = Annotated[
    str, typer.Option("--time", help="Column of the timestamps; default: training.data.columns.")
]
TargetColumn = Annotated[
    str, typer.Option("--target", help="Column of the target; default: training.data.columns.")
]
Query = Annotated[str, typer.Option(help="SQL, where --data is a database; default: training.data.query.")]
Horizon = Annotated[int | None, typer.Option(help="Steps to forecast; default: training.horizon.")]
Frequency = Annotated[str, typer.Option("--freq", help="A pandas offset alias, e.g. h, 30min, D, MS.")]
Seasons = Annotated[
    str, typer.Option("--season-length", help="In steps, with commas, the first is MASE's m.")
]
Model = Annotated[
    str, typer.Option("--model", help="NAME, NAME@ALIAS or NAME@VERSION; NAME is its champion.")
]
AsOf = Annotated[str, typer.Option("--as-of", help="ISO date or time, UTC; later targets are not seen.")]
RegistryUrl = Annotated[str, typer.Option("--registry", help="Folder or URL of the registry.")]

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
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def data_options(unique_id: str, ds: str, y: str, query: str) -> dict[str, str]:
    """The keys of ``training.data`` that options stand for; those that are not given are left out."""
    options = {"columns.unique_id": unique_id, "columns.ds": ds, "columns.y": y, "query": query}
    return {key: value for key, value in options.items() if value}


def settings_with_scalars(
    config: Path | None,
    overrides: list[str] | None,
    horizon: int | None = None,
    frequency: str = "",
    season_lengths: str = "",
    models: str = "",
    data: Mapping[str, str] | None = None,
) -> "AllSettings":
    """The settings files, with the options of a run on this machine on top; ``data`` as ``data_options``."""
    from kubecast.config.training import with_scalars
    from kubecast.settings.loading import load_settings

    chosen = [f"pipeline.models=[{models}]"] if models else []
    chosen += [f"training.data.{key}={json.dumps(value)}" for key, value in (data or {}).items()]
    settings = load_settings(config, [*(overrides or []), *chosen])
    training = with_scalars(settings.training, horizon, frequency, season_lengths, where="options")
    return settings.model_copy(update={"training": training})


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
