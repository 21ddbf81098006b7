"""Read 500 ragged CSV files in processes that crowd the processors: `make fuzz`, in seconds.

Each must be refused by the line that is wrong. Exit status 1 where a process ends in any other way.
"""

import multiprocessing
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from kubecast.data.files import read_data
from kubecast.errors import DataError

FILES, PROCESSES, ROWS = 500, 8, 20_000


def write(path: Path, seed: int) -> int:
    """Write a file with a row too long or too short; return its line."""
    random = np.random.default_rng(seed)
    rows = [f"s,2024-01-01T{number % 24:02}:00,{number}" for number in range(ROWS)]
    bad = int(random.integers(ROWS))
    rows[bad] = rows[bad] + ",1" if seed % 2 else "s,2024-01-01"
    path.write_text("\n".join(["unique_id,ds,y", *rows]) + "\n")
    return bad + 2


def read_all(number: int) -> None:
    """Read this process's share of the files."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(number, FILES, PROCESSES):
            path = Path(folder) / f"{seed}.csv"
            line = write(path, seed)
            with pytest.raises(DataError, match=f": line {line}: "):
                read_data(str(path))
            path.unlink()


def main() -> int:
    """Start the processes and count those that ended well."""
    processes = [multiprocessing.Process(target=read_all, args=(number,)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    ended = [process.exitcode for process in processes]
    print(f"ragged     {FILES} files read by {PROCESSES} processes, which ended with {ended}")
    return int(any(ended))


if __name__ == "__main__":
    sys.exit(main())
