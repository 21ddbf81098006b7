"""The registry on S3 through a proxy that harms its requests, and on disks that are full."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from kubecast import retrying
from kubecast.errors import Conflict, IntegrityError, StoreError, StoreUnreachable, StoreUnsafe
from kubecast.registry import Registry
from kubecast.storage.bucket import Deadlines, ObjectStore
from kubecast.storage.store import open_store
from tests.faults.proxy import Harm, Proxy, proxy_to
from tests.support.servers.seaweed import OPEN_BUCKET, Seaweed

pytestmark = pytest.mark.long

IMPATIENT = Deadlines(
    read_timeout=timedelta(seconds=0.5), retry_timeout=timedelta(seconds=0.7), max_retries=1
)
LOST: tuple[Harm, ...] = ("drop request", "drop reply", "stall", "fail")


def proven(url: str, harm: Harm | None = None) -> ObjectStore:
    """Open a store that has proven its conditional writes; it does not wait long for a stalled answer."""
    answer = timedelta(seconds=0.5) if harm == "stall" else timedelta(seconds=30)
    store = ObjectStore(url, Deadlines(read_timeout=answer, max_retries=2))
    store.compare_and_swap("proven", b"", None)
    return store


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Try again what fails, at once."""
    monkeypatch.setattr(retrying, "LONGEST_PAUSE", 0.0)
    with retrying.spending(retrying.Budget(30)):
        yield


def at_once() -> AbstractContextManager[object]:
    """Try once what fails in here."""
    return retrying.spending(retrying.Budget(0))


@pytest.fixture
def proxy(seaweed: Seaweed, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with proxy_to(seaweed.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    for path, content in {"evaluated/model.json": b"evaluated", "production/model.bin": b"\1" * 5000}.items():
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.mark.parametrize("harm", LOST)
def test_request_that_is_lost_is_repeated(harm: Harm, s3_url: str, proxy: Proxy) -> None:
    store = proven(s3_url, harm)
    proxy.set(harm, "PUT", "m/a")
    store.write("m/a", [b"1"])
    assert proxy.harmed == 1
    proxy.set(harm, "PUT", "m/large")
    store.write("m/large", [b"1" * 9_000_000])
    assert proxy.harmed == 1
    proxy.set(harm, "GET", "m/a")
    assert store.read("m/a")[0] == b"1"
    assert proxy.harmed == 1
    assert store.list_files("m") == {"m/a": 1, "m/large": 9_000_000}


@pytest.mark.parametrize("expected", [None, "tag"])
@pytest.mark.parametrize("harm", LOST)
def test_conditional_write_that_is_lost_happens_once(
    harm: Harm, expected: str | None, s3_url: str, proxy: Proxy
) -> None:
    store = proven(s3_url, harm)
    if expected:
        store.compare_and_swap("m/refs.json", b"old", None)
        _, expected = store.read("m/refs.json")
    proxy.set(harm, "PUT", "m/refs.json")
    if harm in ("drop reply", "stall"):  # the server has acted, so the repeated request finds its own write
        with pytest.raises(Conflict):
            store.compare_and_swap("m/refs.json", b"new", expected)
    else:
        store.compare_and_swap("m/refs.json", b"new", expected)
    assert proxy.harmed == 1
    assert store.read("m/refs.json")[0] == b"new"


@pytest.mark.parametrize("part", ["/commits/", "/refs.json", "/model.bin"])
@pytest.mark.parametrize("harm", LOST)
def test_publishing_through_a_lost_answer_makes_one_version(
    harm: Harm, part: str, s3_url: str, proxy: Proxy, bundle: Path
) -> None:
    registry = Registry(proven(s3_url, harm))
    proxy.set(harm, "PUT", part)
    version = registry.publish("demand", bundle, {})
    registry.set_alias("demand", "champion", version.id, None)
    assert proxy.harmed == 1
    assert [each.id for each in registry.versions("demand")] == [version.id]
    assert registry.aliases("demand") == {"champion": version.id}


@pytest.mark.parametrize("harm", LOST)
def test_version_whose_commit_stays_unanswered_is_there_once_after_the_next_try(
    harm: Harm, s3_url: str, proxy: Proxy, bundle: Path
) -> None:
    store = proven(s3_url)
    proxy.set(harm, "PUT", "/commits/", times=1000)
    with at_once(), pytest.raises(StoreError, match=r"commits/.*after 2 tries|did not answer in time"):
        Registry(ObjectStore(s3_url, IMPATIENT)).publish("demand", bundle, {})
    assert proxy.harmed
    proxy.set(harm, "PUT", times=0)
    version = Registry(store).publish("demand", bundle, {})
    assert [each.id for each in Registry(store).versions("demand")] == [version.id]


@pytest.mark.parametrize("times", [1, 2])
def test_file_that_is_cut_is_read_on_from_there(times: int, s3_url: str, proxy: Proxy) -> None:
    store = proven(s3_url)
    content = bytes(range(256)) * 40_000
    store.write("m/a", [content])
    proxy.set("cut reply", "GET", "m/a", times=times)
    assert b"".join(store.stream("m/a")) == content
    assert proxy.harmed == times


def test_file_that_is_always_cut_is_an_error(s3_url: str, proxy: Proxy) -> None:
    store = proven(s3_url)
    store.write("m/a", [b"1" * 10_000_000])
    proxy.set("cut reply", "GET", "m/a", times=1000)
    with at_once(), pytest.raises(StoreUnreachable, match=r"m/a: .*body error"):
        list(store.stream("m/a"))


def test_flipped_bit_is_found_before_the_file_is_there(
    s3_url: str, proxy: Proxy, bundle: Path, tmp_path: Path
) -> None:
    registry = Registry(proven(s3_url))
    version = registry.publish("demand", bundle, {})
    proxy.set("flip bit", "GET", "model.bin")
    with pytest.raises(IntegrityError, match=r"model\.bin"):
        registry.fetch(version, "production", tmp_path / "to")
    assert proxy.harmed == 1
    assert not list((tmp_path / "to").iterdir())
    registry.fetch(version, "production", tmp_path / "to")


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_store_that_ignores_a_condition_is_refused(
    header: Literal["If-Match", "If-None-Match"],
    seaweed: Seaweed,
    monkeypatch: pytest.MonkeyPatch,
    bundle: Path,
) -> None:
    seaweed.create_bucket(OPEN_BUCKET)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")  # nothing can be taken out of a signed request
    with proxy_to(seaweed.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.set(f"forget {header}", "PUT", times=1000)
        registry = Registry.open(f"s3://{OPEN_BUCKET}/{header}")
        for _ in range(2):
            with pytest.raises(StoreUnsafe, match="ignores conditional writes"):
                registry.publish("demand", bundle, {})
        assert registry.models() == []
        assert not [name for name in open_store(f"s3://{OPEN_BUCKET}").list_files(header) if "probe" in name]


def test_conditional_writes_are_proven_once_in_a_process(s3_url: str, proxy: Proxy) -> None:
    for number in range(3):
        ObjectStore(s3_url).compare_and_swap(f"m/{number}", b"", None)
    probes = [path for method, path in proxy.seen if method == "PUT" and "probe" in path]
    assert len(probes) == 4


def test_reading_proves_nothing(s3_url: str, proxy: Proxy) -> None:
    assert Registry.open(s3_url).models() == []
    assert {method for method, _ in proxy.seen} == {"GET"}


FILL_FOLDER = """
from kubecast.errors import StoreFull
from kubecast.registry import Registry
registry = Registry.open(f"{place}/registry")
first = registry.publish("demand", bundle(b"1"), {})
try:
    registry.publish("demand", bundle(os.urandom(3_000_000)), {})
except StoreFull as error:
    print(error)
assert registry.resolve("demand@latest").id == first.id
registry.fetch(first, "production", place / "fetched")
assert registry.publish("demand", bundle(b"2"), {}).id == registry.resolve("demand@latest").id
"""

FILL_SERVER = """
from kubecast.errors import StoreError
from kubecast.registry import Registry
from kubecast.storage.bucket import Deadlines, ObjectStore
from tests.support.servers.seaweed import Seaweed
with Seaweed(place) as server:
    server.create_bucket("registry")
    os.environ.update(server.environment())
    registry = Registry(ObjectStore("s3://registry/x", Deadlines(max_retries=1)))
    first = registry.publish("demand", bundle(os.urandom(1_000_000)), {})
    try:
        registry.publish("demand", bundle(os.urandom(60_000_000)), {})
    except StoreError as error:
        print(error)
    assert [version.id for version in registry.versions("demand")] == [first.id]
    registry.fetch(first, "production", place.parent / "fetched")
"""


def on_small_disk(megabytes: int, script: str, place: Path) -> str:
    """Run a script whose folder `place` is a file system of its own, and return what it printed."""
    bundled = (
        "import os, pathlib, sys\n"
        "place = pathlib.Path(sys.argv[1])\n"
        "def bundle(content):\n"
        "    folder = place.parent / f'bundle-{len(content)}-{content[:1].hex()}' / 'production'\n"
        "    folder.mkdir(parents=True)\n"
        "    (folder / 'model.bin').write_bytes(content)\n"
        "    return folder.parent\n"
    )
    place.mkdir()
    mount = f'mount -t tmpfs -o size={megabytes}m tmpfs "$0" && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(place)]
    done = subprocess.run(
        [*command, sys.executable, "-W", "error", "-c", bundled + script, str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_full_disk_publishes_nothing_and_older_versions_stay(tmp_path: Path) -> None:
    output = on_small_disk(2, FILL_FOLDER, tmp_path / "disk")
    assert "production/model.bin: No space left on device" in output


def test_server_on_a_full_disk_publishes_nothing_and_older_versions_stay(tmp_path: Path) -> None:
    output = on_small_disk(40, FILL_SERVER, tmp_path / "disk")
    assert (
        "(bucket registry) cannot do it now: InternalError, after 2 tries" in output
    )  # SeaweedFS does not say why
