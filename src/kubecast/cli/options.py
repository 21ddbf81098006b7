"""Options that several commands share, and the settings that they make."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from kubecast.errors import ConfigError
from kubecast.settings import presets

if TYPE_CHECKING:
    from kubecast.settings.loading import AllSettings

ConfigDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of settings files, as `kubecast init` writes it; default: built-in settings.",
        metavar="FOLDER",
        rich_help_panel="Settings",
    ),
]
Preset = Annotated[
    presets.Preset | None,
    typer.Option(
        help="Settings that come with kubecast, in place of a folder: quick, for a laptop; balanced, for"
        " accuracy in minutes; cluster, every default.",
        metavar="NAME",
        rich_help_panel="Settings",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="One setting, e.g. lstm.epochs=5; may be repeated.",
        metavar="FILE.KEY=VALUE",
        rich_help_panel="Settings",
    ),
]
Data = Annotated[
    str,
    typer.Option(
        help="Path or URL of unique_id, ds, y and covariates: a CSV or Parquet file, a folder of them, a"
        " Delta Lake or Iceberg table, a DuckDB file or a PostgreSQL database; or -, the input.",
        rich_help_panel="Data",
    ),
]
Horizon = Annotated[
    int | None, typer.Option(help="Steps to forecast; default: training.horizon.", rich_help_panel="Data")
]
Frequency = Annotated[
    str, typer.Option("--freq", help="A pandas offset alias, e.g. h, 30min, D, MS.", rich_help_panel="Data")
]
IdColumn = Annotated[
    str,
    typer.Option(
        "--id",
        help="Column that names each row's series; default: training.data.columns.",
        rich_help_panel="Data",
    ),
]
TimeColumn = Annotated[
    str,
    typer.Option(
        "--time",
        help="Column of the timestamps; default: training.data.columns.",
        rich_help_panel="Data",
    ),
]
TargetColumn = Annotated[
    str,
    typer.Option(
        "--target",
        help="Column of the target; default: training.data.columns.",
        rich_help_panel="Data",
    ),
]
Query = Annotated[
    str,
    typer.Option(
        help="SQL, where --data is a database; default: training.data.query.",
        rich_help_panel="Data",
    ),
]
Seasons = Annotated[
    str,
    typer.Option(
        "--season-length", help="In steps, with commas, the first is MASE's m.", rich_help_panel="Data"
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model", help="NAME, NAME@ALIAS or NAME@VERSION; NAME is its champion.", rich_help_panel="Registry"
    ),
]
AsOf = Annotated[
    str,
    typer.Option(
        "--as-of", help="ISO date or time, UTC; later targets are not seen.", rich_help_panel="Data"
    ),
]
RegistryUrl = Annotated[
    str,
    typer.Option(
        "--registry",
        envvar="KUBECAST_REGISTRY",
        help="Folder or URL of the registry.",
        rich_help_panel="Registry",
    ),
]

Host = Annotated[
    str,
    typer.Option(
        envvar="KUBECAST_KFP_HOST",
        help="Address of Kubeflow Pipelines, e.g. http://localhost:8080; default: cluster.connection.host,"
        " or the pod's own cluster. KUBECAST_KFP_TOKEN holds a token, KUBECAST_KFP_COOKIES cookies.",
        rich_help_panel="Cluster",
    ),
]
Namespace = Annotated[
    str,
    typer.Option(
        envvar="KUBECAST_KFP_NAMESPACE",
        help="Profile, where Kubeflow has several users.",
        rich_help_panel="Cluster",
    ),
]
Context = Annotated[
    str,
    typer.Option(
        help="Of the kubeconfig, by which the cluster is read; default: cluster.connection.context.",
        rich_help_panel="Cluster",
    ),
]
TokenFile = Annotated[
    str,
    typer.Option(envvar="KUBECAST_KFP_TOKEN_FILE", help="File of a bearer token.", rich_help_panel="Cluster"),
]
ServiceAccount = Annotated[
    str,
    typer.Option(
        help="Of the runs' pods; default: cluster.connection.service_account.", rich_help_panel="Cluster"
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def data_options(unique_id: str, ds: str, y: str, query: str) -> dict[str, str]:
    """The keys of ``training.data`` that options stand for; those that are not given are left out."""
    options = {"columns.unique_id": unique_id, "columns.ds": ds, "columns.y": y, "query": query}
    return {key: value for key, value in options.items() if value}


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join([f"Example{'s' * (len(lines) > 1)}:", *lines])


def settings_folder(config: Path | None, preset: presets.Preset | None) -> Path | None:
    """The folder of settings that ``--config`` or ``--preset`` names; None for the built-in ones."""
    if config and preset:
        raise ConfigError(f"--config {config} and --preset {preset}; allowed: one of them")
    if config and not config.is_dir() and config.name in get_args(presets.Preset):
        raise ConfigError(f"{config}: no such configuration folder; did you mean --preset {config.name}?")
    return presets.preset_folder(preset) if preset else config


def settings_with_scalars(
    config: Path | None,
    overrides: list[str] | None,
    horizon: int | None = None,
    frequency: str = "",
    season_lengths: str = "",
    models: str = "",
    cluster: Path | None = None,
    data: Mapping[str, str] | None = None,
) -> "AllSettings":
    """The settings files, with the options of a run on this machine on top.

    Args:
        config: Their folder.
        overrides: Of ``--set``.
        horizon: Of ``--horizon``.
        frequency: Of ``--freq``.
        season_lengths: Of ``--season-length``.
        models: Of ``--models``.
        cluster: File in the place of the folder's ``cluster.yaml``.
        data: As ``data_options`` has them.
    """
    from kubecast.config.training import with_scalars
    from kubecast.settings.loading import load_settings

    chosen = [f"pipeline.models=[{_known(models)}]"] if models else []
    chosen += [f"training.data.{key}={json.dumps(value)}" for key, value in (data or {}).items()]
    settings = load_settings(config, [*(overrides or []), *chosen], cluster)
    training = with_scalars(settings.training, horizon, frequency, season_lengths, where="options")
    return settings.model_copy(update={"training": training})


def _known(models: str) -> str:
    """The kinds of ``--models``, each of which is one."""
    from kubecast.config.validation import nearest
    from kubecast.models import KINDS

    for name in models.split(","):
        if name.strip() not in KINDS:
            raise ConfigError(f"--models: unknown kind {name.strip()!r}; {nearest(name.strip(), KINDS)}")
    return models


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
