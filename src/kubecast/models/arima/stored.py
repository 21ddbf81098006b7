"""The ARIMAs of many series in one file: a hundred thousand of them are too large to be held as objects."""

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from kubecast.models.arima.recipe import SeriesModel, read_series_model

GROUP = 1_000
"""Series that are read at once."""

_SCHEMA = pa.schema([("unique_id", pa.string()), ("models", pa.string())])


class StoredModels(Mapping[str, list[SeriesModel]]):
    """The models of each series, read where they are asked for; cheap where that is in the order of names."""

    def __init__(self, content: bytes) -> None:
        """Take what ``write_models`` wrote: a file may be gone before its models are used."""
        self._file = pyarrow.parquet.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        self._names: list[str] = self._file.read(columns=["unique_id"])["unique_id"].to_pylist()
        groups = range(self._file.num_row_groups)
        self._ends = np.cumsum([self._file.metadata.row_group(group).num_rows for group in groups])
        self._read = (-1, list[str]())
        self._lock = Lock()  # a file of Arrow's is not for several threads at a time

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a file."""
        return cls(path.read_bytes())

    def __getitem__(self, series: str) -> list[SeriesModel]:
        """The models of a series.

        Raises:
            KeyError: It has none.
        """
        position = bisect_left(self._names, series)
        if position == len(self._names) or self._names[position] != series:
            raise KeyError(series)
        group = int(np.searchsorted(self._ends, position, side="right"))
        first = int(self._ends[group - 1]) if group else 0
        text = self._texts(group)[position - first]
        return [read_series_model(fields) for fields in json.loads(text)]

    def _texts(self, group: int) -> list[str]:
        with self._lock:
            if group != self._read[0]:
                table = self._file.read_row_group(group, columns=["models"])
                self._read = (group, table["models"].to_pylist())
            return self._read[1]

    def __iter__(self) -> Iterator[str]:
        """The names of the series, ascending."""
        return iter(self._names)

    def __len__(self) -> int:
        """The number of series."""
        return len(self._names)


def write_models(models: Mapping[str, list[SeriesModel]], path: Path) -> None:
    """Write the models of series; numbers are written so that they read back exactly."""
    names = iter(sorted(models))
    with _writer(path) as writer:
        while some := list(islice(names, GROUP)):
            texts = [json.dumps([asdict(model) for model in models[name]], allow_nan=False) for name in some]
            writer.write_table(pa.table([some, texts], schema=_SCHEMA))


def join_models(parts: Sequence[Path], path: Path) -> None:
    """Write those of several files, the series of each after those of the one before, into one."""
    with _writer(path) as writer:
        for part in parts:
            file = pyarrow.parquet.ParquetFile(pa.BufferReader(part.read_bytes()))
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))


def _writer(path: Path) -> pyarrow.parquet.ParquetWriter:
    return pyarrow.parquet.ParquetWriter(path, _SCHEMA, compression="zstd", write_page_checksum=True)
