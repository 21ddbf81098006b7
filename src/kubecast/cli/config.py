"""``kubecast config``: the settings files."""

from pathlib import Path
from typing import Annotated

import typer

from kubecast.cli.console import Json, print_json

app = typer.Typer(help="Write settings files.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Write settings files."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Gets training.yaml, arima.yaml and so on.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Write every settings file with its defaults, each key with a sentence on what it does.

    Change what you need and leave the rest out, or keep it: what is left out has the same defaults.
    """
    from kubecast.settings.writing import write_settings

    paths = [str(path) for path in write_settings(folder, overwrite)]
    if as_json:
        print_json({"files": paths})
    else:
        print("\n".join(paths))
