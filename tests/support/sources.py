"""One panel's rows as files, folders, tables and databases hold them."""

import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from kubecast.config.training import TrainingSettings
from kubecast.data.files import read_data
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel
from tests.support.panels import hourly, small_settings


def long_rows() -> pd.DataFrame:
    """Three hourly series, with a column that nothing names and lists that nobody reads."""
    rows = hourly()
    return rows.assign(note="São Paulo, 100%", tags=[[1, 2]] * len(rows))


def panel_of(location: str, settings: TrainingSettings | None = None) -> Panel:
    """The panel of what is at a location."""
    settings = settings or small_settings()
    return build_panel(read_data(location, settings.data).rows, settings)


def write_folder(folder: Path, rows: pd.DataFrame, kind: str, files: int, partitions: list[str]) -> str:
    """Write the rows, cut into so many files in each of the partitions, as `csv`, `csv.gz` or `parquet`."""
    groups = rows.groupby(partitions) if partitions else [((), rows)]
    for keys, group in groups:
        inside = folder.joinpath(*(f"{name}={key}" for name, key in zip(partitions, keys, strict=True)))
        inside.mkdir(parents=True, exist_ok=True)
        for number in range(files):
            part = group.iloc[number::files].drop(columns=partitions)
            _write(inside / f"part-{number}.{kind}", pa.Table.from_pandas(part, preserve_index=False), kind)
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.crc").write_bytes(b"crc")
    return str(folder)


def _write(path: Path, table: pa.Table, kind: str) -> None:
    if kind == "parquet":
        return pq.write_table(table, path)
    sink = pa.BufferOutputStream()
    flat = [field.name for field in table.schema if not pa.types.is_nested(field.type)]
    pyarrow.csv.write_csv(table.select(flat), sink)
    text = sink.getvalue().to_pybytes()
    path.write_bytes(gzip.compress(text) if kind == "csv.gz" else text)
