"""Put and get through the registry's store, boto3 and s3fs on one SeaweedFS server: `make bench-registry`.

The clients take turns in every repeat, so that what else the machine does meets all of them. boto3 and s3fs
are used as their documentation says, with boto3's own transfer manager; the store writes each file under the
condition that there is none, as the registry does. Files are random bytes, which nothing compresses.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import boto3
import s3fs

from benchmarks.measure import first_cores, median_ratio, spread
from benchmarks.report import Results, Table
from kubecast.storage.bucket import ObjectStore
from kubecast.storage.checksums import CHUNK_BYTES
from tests.support.servers.seaweed import Seaweed

BUCKET = "bench"
MEGABYTE = 1_000_000


class Client(Protocol):
    """Copies files between this machine and the bucket."""

    def put(self, file: Path, key: str) -> None:
        """Upload a file."""

    def get(self, key: str, file: Path) -> None:
        """Download to a file."""


class Kubecast:
    """The registry's own store."""

    def __init__(self) -> None:
        """Use the bucket, as the environment says."""
        self._store = ObjectStore(f"s3://{BUCKET}")

    def put(self, file: Path, key: str) -> None:
        """Upload a file in the parts that a registry reads it in."""
        self._store.write(key, _chunks(file))

    def get(self, key: str, file: Path) -> None:
        """Download to a file."""
        with file.open("wb") as stream:
            for chunk in self._store.stream(key):
                stream.write(chunk)


class Boto3:
    """boto3's transfer manager."""

    def __init__(self) -> None:
        """Use the bucket, as the environment says."""
        self._client = boto3.client("s3")

    def put(self, file: Path, key: str) -> None:
        """Upload a file."""
        self._client.upload_file(str(file), BUCKET, key)

    def get(self, key: str, file: Path) -> None:
        """Download to a file."""
        self._client.download_file(BUCKET, key, str(file))


class S3fs:
    """fsspec's file system."""

    def __init__(self) -> None:
        """Use the bucket, as the environment says."""
        self._files = s3fs.S3FileSystem(use_listings_cache=False)

    def put(self, file: Path, key: str) -> None:
        """Upload a file."""
        self._files.put_file(str(file), f"{BUCKET}/{key}")

    def get(self, key: str, file: Path) -> None:
        """Download to a file."""
        self._files.get_file(f"{BUCKET}/{key}", str(file))


@dataclass(frozen=True)
class Load:
    """A number of files of so many megabytes each."""

    files: int
    megabytes: int

    @property
    def name(self) -> str:
        """The load as the table shows it."""
        return f"{self.files} x {self.megabytes} MB"


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--small", type=int, default=40, help="files of 1 MB (default 40)")
    options.add_argument("--large", type=int, default=200, help="megabytes of the large file (default 200)")
    options.add_argument("--repeats", type=int, default=5, help="rounds in which every client takes its turn")
    chosen = options.parse_args()
    os.sched_setaffinity(0, first_cores(2))  # of the server too, which is started here
    with Seaweed() as server, tempfile.TemporaryDirectory() as scratch:
        server.create_bucket(BUCKET)
        os.environ.update(server.environment())
        clients = {"kubecast": Kubecast(), "boto3": Boto3(), "s3fs": S3fs()}
        loads = (Load(chosen.small, 1), Load(1, chosen.large))
        tables = [_table(load, _measure(clients, load, chosen.repeats, Path(scratch))) for load in loads]
    Results.collect("registry", "Registry", tables, packages=("boto3", "obstore", "s3fs")).save()


def _measure(
    clients: dict[str, Client], load: Load, repeats: int, scratch: Path
) -> dict[tuple[str, str], list[float]]:
    """Measure MB/s by operation and client, one value for each repeat after a first round that warms up."""
    source, target = scratch / "source", scratch / "target"
    source.write_bytes(os.urandom(load.megabytes * MEGABYTE))
    speeds: dict[tuple[str, str], list[float]] = {}
    for repeat in range(repeats + 1):
        order = list(clients.items())
        for name, client in order[repeat % len(order) :] + order[: repeat % len(order)]:
            keys = [f"{load.megabytes}/{name}/{repeat}/{number}" for number in range(load.files)]
            put = _seconds(lambda keys=keys, client=client: [client.put(source, key) for key in keys])
            get = _seconds(lambda keys=keys, client=client: [client.get(key, target) for key in keys])
            if target.read_bytes() != source.read_bytes():
                raise RuntimeError(f"{name} did not return what it was given")
            if repeat:
                total = load.files * load.megabytes
                speeds.setdefault(("put", name), []).append(total / put)
                speeds.setdefault(("get", name), []).append(total / get)
    return speeds


def _table(load: Load, speeds: dict[tuple[str, str], list[float]]) -> Table:
    rows = [
        {
            "operation": operation,
            "client": name,
            "MB/s": spread(speeds[operation, name]),
            "kubecast's by its": median_ratio(speeds[operation, "kubecast"], speeds[operation, name]),
        }
        for operation in ("put", "get")
        for name in ("kubecast", "boto3", "s3fs")
    ]
    return Table(title=load.name, rows=rows, note="Files of random bytes, on one SeaweedFS server.")


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


if __name__ == "__main__":
    main()
