"""Files that commands read and write, standard input and output among them."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kubecast.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from kubecast.config.training import DataSettings
    from kubecast.data.row_blocks import Rows
    from kubecast.ensemble.bundle import Bundle

STANDARD = Path("-")
"""Standard input or output, in the place of a file."""


@contextmanager
def data_file(data: str) -> Iterator[str]:
    """The file of ``--data`` or its URL; ``-`` is standard input, which becomes a file meanwhile."""
    if data != str(STANDARD):
        yield data
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard-input"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield str(path)


def read_rows(data: str, bundle: "Bundle", options: Mapping[str, str]) -> "pd.DataFrame":
    """Data for a version, with its columns under the names that the version was trained with."""
    from kubecast.data.files import read_data
    from kubecast.data.roles import rename_columns

    with data_file(data) as location:
        settings, names = _settings_for(location, bundle, options)
        return rename_columns(read_data(location, settings).rows, names)


def open_rows(data: str, bundle: "Bundle", options: Mapping[str, str], folder: Path) -> "Rows":
    """``read_rows`` in blocks of series, by way of files in a folder."""
    from kubecast.data.files import open_data
    from kubecast.data.roles import rename_columns

    with data_file(data) as location:
        settings, names = _settings_for(location, bundle, options)
        source = open_data(location, settings, None, folder, bundle.contract.spec.categories)
    return lambda: (rename_columns(block, names) for block in source.blocks())


def _settings_for(
    location: str, bundle: "Bundle", options: Mapping[str, str]
) -> "tuple[DataSettings, dict[str, str]]":
    """The settings to read data with, and the version's names of the columns that options name."""
    from kubecast.data.files import settings_for

    settings = settings_for(location, bundle.contract.training.data)
    trained = settings.columns
    named = {
        role: options[key] for role in type(trained).model_fields if (key := f"columns.{role}") in options
    }
    columns = type(trained).model_validate(trained.model_dump() | named)
    changes = {"columns": columns, "query": options.get("query", settings.query)}
    names = {getattr(columns, role): getattr(trained, role) for role in named}
    return settings.model_copy(update=changes), names


def writer(output: Path) -> Callable[["pd.DataFrame"], None]:
    """What writes a table to ``--output``, which is checked at once.

    Raises:
        ConfigError: The file's name does not say how.
    """
    if output == STANDARD:
        return lambda table: table.to_csv(sys.stdout, index=False)
    if output.suffix not in {".csv", ".parquet"}:
        raise ConfigError(
            f"--output {output}: ends in {output.suffix or 'nothing'}, allowed: .csv or .parquet"
        )

    def write(table: "pd.DataFrame") -> None:
        save = table.to_csv if output.suffix == ".csv" else table.to_parquet
        write_whole(output, lambda partial: save(partial, index=False))

    return write


def write_whole(output: Path, write: Callable[[Path], object]) -> None:
    """Let a file appear only when it is complete.

    Raises:
        ConfigError: It is a folder, or its folder cannot be made.
    """
    from kubecast.storage.locations import make_folder

    if output.is_dir():
        raise ConfigError(f"{output}: a folder; allowed: a file in one")
    make_folder(output.parent)
    partial = output.with_name(f".{output.name}.partial")
    write(partial)
    partial.replace(output)
