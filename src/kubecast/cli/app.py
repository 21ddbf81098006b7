"""The ``kubecast`` command, put together from its groups, and how it ends.

Nothing heavy is imported before a command needs it, so that ``--help`` is quick.
"""

import logging
import platform
import sys
import traceback
from importlib import metadata
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from kubecast import logs
from kubecast.cli import clean, cluster, console, doctor, init, models, runs, schedules, validate
from kubecast.cli.options import examples
from kubecast.errors import KubecastError
from kubecast.masking import masked

_ANYWHERE = ("-q", "--quiet", "-v", "--verbose")


class _Root(TyperGroup):
    """Takes its flags after a command's name too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        flags = [word for word in args[:end] if word in _ANYWHERE]
        return super().parse_args(
            ctx, flags + [word for word in args[:end] if word not in flags] + args[end:]
        )


app = typer.Typer(
    cls=_Root,
    help="Train, stack, evaluate and publish time-series forecasting models.",
    epilog=examples(
        "kubecast sample --output demand.csv",
        "kubecast run --data demand.csv --preset quick --horizon 48 --season-length 48,336 --output demand",
    ),
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(runs.app)
app.add_typer(validate.app)
app.add_typer(init.app)
app.add_typer(models.app, name="models")
app.add_typer(cluster.app)
app.add_typer(schedules.app, name="schedule")
app.add_typer(doctor.app)
app.add_typer(clean.app)


def _print_version(requested: bool) -> None:
    if requested:
        python = f"Python {platform.python_version()}"
        print(f"kubecast {metadata.version('kubecast')}, {python}, {_version_of('kfp')}")
        raise typer.Exit


def _version_of(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"no {package}"


@app.callback()
def _options(
    context: typer.Context,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Print results, warnings and errors alone; before or after COMMAND."
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the trace of an error; before or after COMMAND.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the versions of kubecast, Python and kfp.",
        ),
    ] = False,
) -> None:
    console.set_quiet(quiet)
    context.ensure_object(dict)["verbose"] = verbose


def main() -> None:
    """Run the command; an error is one line on standard error."""
    options: dict[str, bool] = {}  # filled by the callback, before the command runs
    for stream in (sys.stdout, sys.stderr):
        console.write_any_text(stream)
    try:
        logging.basicConfig(handlers=[logs.configure()])  # other libraries' warnings too
        sys.exit(app(prog_name="kubecast", standalone_mode=False, obj=options))
    except KubecastError as error:
        _fail(str(error), error.exit_status, **options)
    except typer.TyperException as error:  # a wrong option or command
        _fail(error.format_message().rstrip(".") + _usage_hint(error), error.exit_code, **options)
    except BrokenPipeError:  # of `kubecast ... | head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        _fail(": ".join(str(part) for part in (error.filename, error.strerror) if part), 1, **options)


def _usage_hint(error: typer.TyperException) -> str:
    """Where the help is that says what a command takes; empty where there is no command."""
    context = getattr(error, "ctx", None)
    return (
        f"; {context.command_path} --help has what is allowed" if context and error.format_message() else ""
    )


def _fail(message: str, status: int, verbose: bool = False) -> NoReturn:
    if verbose:
        print(masked(traceback.format_exc()), end="", file=sys.stderr)
    if message:  # none where a command without arguments has shown its help
        print(f"error: {' '.join(masked(message).split())}", file=sys.stderr)
    sys.exit(status)
