"""The store of the overlay `dev`: the server as its manifest starts it, and the variables of its tasks."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kubecast import retrying
from kubecast.storage.bucket import Deadlines, ObjectStore
from tests.support.servers import seaweed
from tests.support.servers.seaweed import MANIFEST, Seaweed, arguments

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
ADDRESS = "http://kubecast-seaweedfs:8333"
BUCKETS = ("demand", "kubecast", "other-team")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seaweed]:
    """A server, and in the environment what `configs/clusters/dev.yaml` names."""
    cluster = yaml.safe_load((ROOT / "configs/clusters/dev.yaml").read_text())["cluster"]
    monkeypatch.setattr(retrying, "LONGEST_PAUSE", 0.1)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    with Seaweed(as_shipped=True) as shipped:
        keys = shipped.environment()
        for name, value in cluster["environment"].items():
            monkeypatch.setenv(name, shipped.endpoint if value == ADDRESS else value)
        assert cluster["environment"]["AWS_ENDPOINT_URL"] == ADDRESS
        for name in cluster["secrets"][0]["variables"]:
            monkeypatch.setenv(name, keys[name])
        yield shipped


def test_data_artifacts_and_a_third_bucket_can_be_written(server: Seaweed) -> None:
    large = [bytes([part]) * 6_000_000 for part in range(2)]
    for bucket in BUCKETS:
        store = ObjectStore(f"s3://{bucket}/below")
        store.compare_and_swap("small", b"first", None)
        store.write("large", large)
    server.restart()
    with retrying.spending(retrying.Budget(60)):  # its volumes are there later than its port
        for bucket in BUCKETS:
            store = ObjectStore(f"s3://{bucket}/below", Deadlines(max_retries=0))
            assert store.read("small")[0] == b"first"
            assert b"".join(store.stream("large")) == b"".join(large)


def test_the_other_tests_use_the_server_of_the_manifest() -> None:
    shipped = arguments(MANIFEST)
    server = Seaweed()
    with server:
        running = Path(f"/proc/{server.pid}/cmdline").read_text().split("\0")
    same = {name for name, value in shipped.items() if f"-{name}={value}" in running}
    assert same >= {"s3", "volume.max", "master.volumeSizeLimitMB", "ip"}


def test_server_takes_other_ports_when_one_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    free_ports, tries = seaweed._free_ports, list[dict[str, int]]()
    with socket.create_server(("127.0.0.1", 0)) as taken:

        def ports() -> dict[str, int]:
            free = free_ports()
            tries.append(free if tries else free | {"filer.port": taken.getsockname()[1]})
            return tries[-1]

        monkeypatch.setattr(seaweed, "_free_ports", ports)
        with Seaweed() as server:
            assert server.port == tries[1]["s3.port"]
