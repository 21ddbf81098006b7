"""A real store that is away for longer than its client waits, and comes back."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubecast import retrying
from kubecast.data.files import read_data
from kubecast.errors import IntegrityError, StoreBusy, StoreForbidden, StoreUnreachable
from kubecast.registry import Registry
from kubecast.steps.checkpoint import checkpoints
from kubecast.storage.bucket import Deadlines, ObjectStore
from kubecast.storage.checksums import Reread
from kubecast.storage.store import open_store
from tests.faults.proxy import Proxy, proxy_to
from tests.support.clock import Clock
from tests.support.servers.seaweed import Seaweed

pytestmark = pytest.mark.long

CSV = b"unique_id,ds,y\na,2024-01-01,1\n"
LARGE = b"x" * 9_000_000  # more than goes into one request


@pytest.fixture
def proxy(seaweed: Seaweed, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with proxy_to(seaweed.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle" / "production"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(LARGE)
    return folder.parent


def store_at(url: str) -> ObjectStore:
    """A store that has proven its conditional writes, and whose client asks once."""
    store = ObjectStore(url, Deadlines(max_retries=0))
    store.compare_and_swap("proven", b"", None)
    return store


def test_run_goes_on_when_the_store_has_restarted(
    seaweed: Seaweed, s3_url: str, bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(s3_url)
    store.write("data.csv", [CSV])
    registry = Registry(store)
    first = registry.publish("demand", bundle, {})

    def keep_a_checkpoint() -> None:
        with checkpoints(f"{s3_url}/checkpoints", "0a", lambda epoch, loss: None) as (file, keep):
            assert file
            file.write_bytes(LARGE)
            keep(1, 0.5)
            assert open_store(f"{s3_url}/checkpoints").list_files("0a")

    for work in (
        lambda: read_data(f"{s3_url}/data.csv"),
        keep_a_checkpoint,
        lambda: registry.publish("other", bundle, {}),
        lambda: registry.fetch(first, "production", tmp_path / "fetched"),
    ):
        seaweed.kill()
        clock = Clock(during=lambda number: seaweed.restart() if number == 3 else None)
        with retrying.spending(clock.budget(600)):
            work()  # type: ignore[no-untyped-call]
        assert len(clock.pauses) == 3
    assert {version.id for version in registry.versions("demand")} == {first.id}
    assert len(registry.versions("other")) == 1
    assert "cannot be reached: Connection refused; try 2 follows in" in caplog.text
    assert "no checkpoints are kept" not in caplog.text


@pytest.mark.parametrize("part", ["/commits/", "/refs.json", "/model.bin"])
@pytest.mark.parametrize("harm", ["fail", "drop request", "drop reply"])
def test_publishing_through_many_lost_answers_makes_one_version(
    harm: Any, part: str, s3_url: str, proxy: Proxy, bundle: Path
) -> None:
    registry = Registry(store_at(s3_url))
    clock = Clock()
    proxy.set(harm, "PUT", part, times=4)
    with retrying.spending(clock.budget(600)):
        version = registry.publish("demand", bundle, {})
        registry.set_alias("demand", "champion", version.id, None)
    assert proxy.harmed == 4
    assert clock.pauses
    assert [each.id for each in registry.versions("demand")] == [version.id]
    assert registry.aliases("demand") == {"champion": version.id}


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_large_file_is_written_again_from_its_start(method: str, s3_url: str, proxy: Proxy) -> None:
    store, clock = store_at(s3_url), Clock()
    proxy.set("drop reply", method, "m/large", times=3)
    with retrying.spending(clock.budget(600)):
        store.write("m/large", Reread(lambda: iter([LARGE])))
    assert clock.pauses
    content = b"".join(store.stream("m/large"))
    assert hashlib.sha256(content).digest() == hashlib.sha256(LARGE).digest()


def test_large_file_of_an_iterator_is_never_written_in_part(s3_url: str, proxy: Proxy) -> None:
    store, clock = store_at(s3_url), Clock()
    proxy.set("fail", "PUT", "m/large")
    with retrying.spending(clock.budget(600)), pytest.raises(StoreBusy):
        store.write("m/large", iter([LARGE]))
    assert not clock.pauses
    assert store.list_files("m") == {}


def test_download_goes_on_behind_what_was_read(s3_url: str, proxy: Proxy) -> None:
    store, clock = store_at(s3_url), Clock()
    content = bytes(range(256)) * 120_000
    store.write("m/a", [content])
    proxy.set("cut reply", "GET", "m/a", times=5)
    with retrying.spending(clock.budget(600)):
        assert b"".join(store.stream("m/a")) == content
    assert proxy.harmed == 5
    assert clock.pauses


def test_download_is_not_of_two_files(s3_url: str, proxy: Proxy) -> None:
    store = store_at(s3_url)
    store.write("m/a", [b"1" * 30_000_000])

    def replace(number: int) -> None:
        store.remove("m/a")
        store.write("m/a", [b"2" * 30_000_000])

    proxy.set("cut reply", "GET", "m/a")
    with retrying.spending(Clock(during=replace).budget(600)), pytest.raises(Exception, match="m/a: another"):
        list(store.stream("m/a"))


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (lambda store: store.read("m/a"), StoreUnreachable),
        (lambda store: store.compare_and_swap("m/b", b"", None), StoreUnreachable),
    ],
)
def test_store_that_stays_away_is_told_with_tries_and_time(
    use: Callable[[ObjectStore], object], kind: type[Exception], seaweed: Seaweed, s3_url: str
) -> None:
    store, clock = store_at(s3_url), Clock()
    seaweed.kill()
    try:
        message = (
            r"cannot be reached: Connection refused; tried \d+ times in 600 s, KUBECAST_RETRY_SECONDS is 600"
        )
        with retrying.spending(clock.budget(600)), pytest.raises(kind, match=message):
            use(store)
    finally:
        seaweed.restart()
    assert sum(clock.pauses) == pytest.approx(600)


def test_what_does_not_pass_is_not_waited_for(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, proxy: Proxy, bundle: Path, tmp_path: Path
) -> None:
    registry, clock = Registry(store_at(s3_url)), Clock()
    version = registry.publish("demand", bundle, {})
    with retrying.spending(clock.budget(600)):
        proxy.set("flip bit", "GET", "model.bin")
        with pytest.raises(IntegrityError):
            registry.fetch(version, "production", tmp_path / "to")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(StoreForbidden):
            ObjectStore(s3_url).read("m/a")
    assert not clock.pauses


def test_plain_http_behind_https_is_told_at_once(seaweed: Seaweed, s3_url: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed.endpoint.replace("http:", "https:"))
    clock = Clock()
    with (
        retrying.spending(clock.budget(600)),
        pytest.raises(Exception, match="cannot be trusted: its TLS is not valid: InvalidContentType"),
    ):
        ObjectStore(s3_url).read("m/a")
    assert not clock.pauses
