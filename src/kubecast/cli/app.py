"""The ``kubecast`` command, put together from its groups, and how it ends.

Nothing heavy is imported before a command needs it, so that ``--help`` is quick.
"""

import logging
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from kubecast import logs
from kubecast.cli import cluster, config, doctor, models, runs, schedules
from kubecast.errors import KubecastError

app = typer.Typer(
    help="Train, stack, evaluate and publish time-series forecasting models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(runs.app)
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")
app.add_typer(cluster.app)
app.add_typer(schedules.app, name="schedule")
app.add_typer(doctor.app)


@app.callback()
def _options(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the trace of an error.")] = False,
) -> None:
    context.ensure_object(dict)["verbose"] = verbose


def main() -> None:
    """Run the command; an error is one line on standard error."""
    options: dict[str, bool] = {}  # filled by the callback, before the command runs
    try:
        logging.basicConfig(handlers=[logs.configure()])  # other libraries' warnings too
        sys.exit(app(standalone_mode=False, obj=options))
    except KubecastError as error:
        _fail(str(error), error.exit_status, **options)
    except typer.TyperException as error:  # a wrong option or command
        _fail(error.format_message(), error.exit_code, **options)
    except OSError as error:
        _fail(": ".join(str(part) for part in (error.filename, error.strerror) if part), 1, **options)


def _fail(message: str, status: int, verbose: bool = False) -> NoReturn:
    if verbose:
        print(logs.masked(traceback.format_exc()), end="", file=sys.stderr)
    if message:  # none where a command without arguments has shown its help
        print(f"error: {' '.join(logs.masked(message).split())}", file=sys.stderr)
    sys.exit(status)
