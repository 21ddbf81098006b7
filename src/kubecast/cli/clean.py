"""``kubecast clean``: remove what runs keep for their shards."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from kubecast.cli.console import Json, print_json
from kubecast.cli.options import ConfigDir, examples
from kubecast.errors import ConfigError

_MOST_DAYS = 36500  # a century, as of cluster.work.keep_days

app = typer.Typer()


@app.command(
    epilog=examples(
        "kubecast clean --work s3://demand/batches/.work --dry-run",
        "kubecast clean --config settings --older-than 2",
    )
)
def clean(
    work: Annotated[
        str,
        typer.Option(
            help="Path or URL of the folder, e.g. the folder of the batches and /.work; default:"
            " cluster.work.url."
        ),
    ] = "",
    older_than: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=_MOST_DAYS,
            metavar="DAYS",
            help="Since a run last began to work with it; default: cluster.work.keep_days, which is 7 unless"
            " set. 0: all, that of running runs too.",
        ),
    ] = None,
    config: ConfigDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Remove the data and forecasts that runs keep for their shards, and list it.

    A run keeps them, so that one that is begun again need not make them again; batches are kept elsewhere.
    Each run of the scoring pipeline removes what is old; this is for a folder that no run uses any more, or
    that is too large. Whatever else is in the folder is left alone.
    """
    from kubecast.settings.loading import load_settings
    from kubecast.storage.store import open_store
    from kubecast.storage.work import clear_work

    settings = load_settings(config, []).cluster.work
    url = work or settings.url
    if not url:
        raise ConfigError(
            "no folder is given; allowed: --work URL, or --config FOLDER with cluster.work.url set"
        )
    days = settings.keep_days if older_than is None else older_than
    store = open_store(url)
    keys = sorted(clear_work(store, datetime.now(UTC) - timedelta(days=days), dry_run))
    if as_json:
        print_json({"work": store.url, "older_than": days, "dry_run": dry_run, "removed": keys})
        return
    for key in keys:
        print(f"{'due' if dry_run else 'removed':<10} {store.url}/{key}")
    print(f"total      {_total(len(keys), days, dry_run)}")


def _total(count: int, days: int, dry_run: bool) -> str:
    what = f"the work of {count:,} run{'s' * (count != 1)}, not used for {days} day{'s' * (days != 1)}"
    return f"would remove {what}" if dry_run else what
