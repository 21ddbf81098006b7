import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from kubecast.data.files import read_data
from kubecast.errors import (
    BucketNotFound,
    ConfigError,
    DataError,
    NotFound,
    RegistryError,
    StoreBusy,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreTimeout,
    StoreUnreachable,
    StoreUnsafe,
)
from kubecast.registry import Registry
from kubecast.storage.bucket import Bucket, Deadlines, ObjectStore
from kubecast.storage.store import Store, open_store
from tests.support.bundles import MakeBundle
from tests.support.servers.seaweed import Seaweed

pytestmark = pytest.mark.slow

PATIENT = Deadlines(max_retries=1)
IMPATIENT = Deadlines(
    read_timeout=timedelta(seconds=0.3), retry_timeout=timedelta(seconds=0.5), max_retries=1
)

OPERATIONS: Mapping[str, Callable[[Store], object]] = {
    "folders": lambda store: store.list_folders(),
    "sizes": lambda store: store.list_files("m"),
    "stream": lambda store: list(store.stream("m/a")),
    "read": lambda store: store.read("m/a"),
    "write": lambda store: store.write("m/new", [b"1"]),
    "write large": lambda store: store.write("m/new", [b"1" * 9_000_000]),
    "swap": lambda store: store.compare_and_swap("m/new", b"1", None),
    "remove": lambda store: store.remove("m/a"),
}
WRITING = ("write", "write large", "swap", "remove")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    def use(environment: Mapping[str, str]) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return use


def fails(
    operation: str, url: str, kind: type[RegistryError], message: str, deadlines: Deadlines = PATIENT
) -> None:
    """See that an operation fails as `kind`, in one line that names endpoint and bucket and no key."""
    with pytest.raises(kind, match=message) as caught:
        OPERATIONS[operation](ObjectStore(url, deadlines))
    assert type(caught.value) is kind
    text = str(caught.value)
    assert "\n" not in text
    assert "secret" not in text
    assert "-key" not in text
    assert "object store http://" in text
    assert f"(bucket {url.split('/')[2]})" in text


@pytest.mark.slow
def test_published_version_is_resolved_and_fetched_from_s3(
    s3_url: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(**{"production/large.bin": b"\1" * 9_000_000})
    registry = Registry.open(s3_url)
    version = registry.publish("demand", bundle, {"horizon": 48})
    registry.set_alias("demand", "champion", version.id, None)
    assert registry.publish("demand", bundle, {"horizon": 48}).id == version.id
    champion = Registry.open(s3_url).resolve("demand@champion")
    assert (champion.id, champion.aliases) == (version.id, ("champion",))
    fetched = registry.fetch(champion, "production", tmp_path / "fetched")
    assert (fetched / "large.bin").read_bytes() == b"\1" * 9_000_000
    assert registry.models() == ["demand"]


def test_oldest_versions_above_the_limit_leave_s3(s3_url: str, make_bundle: MakeBundle) -> None:
    registry = Registry.open(s3_url, delete_grace=timedelta(0))
    published = [registry.publish("demand", make_bundle(f"b{n}"), {}, max_versions=2) for n in range(5)]
    assert [version.id for version in registry.versions("demand")] == [
        version.id for version in reversed(published[-2:])
    ]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_missing_bucket_is_told(
    operation: str, seaweed: Seaweed, use: Callable[[Mapping[str, str]], None]
) -> None:
    use(seaweed.environment("writer"))
    fails(operation, "s3://not-there/x", BucketNotFound, "has no such bucket")


@pytest.mark.parametrize("operation", WRITING)
def test_reader_reads_and_is_forbidden_to_write(
    operation: str, seaweed: Seaweed, s3_url: str, use: Callable[[Mapping[str, str]], None]
) -> None:
    open_store(s3_url).write("m/a", [b"1"])
    use(seaweed.environment("reader"))
    fails(operation, s3_url, StoreForbidden, "does not allow this to these credentials")
    reader = ObjectStore(s3_url)
    assert reader.read("m/a")[0] == b"1"
    assert reader.list_files("m") == {"m/a": 1}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "wrong", [{"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, {"AWS_ACCESS_KEY_ID": "unknown-key"}]
)
def test_wrong_key_is_forbidden(
    operation: str, wrong: dict[str, str], s3_url: str, use: Callable[[Mapping[str, str]], None]
) -> None:
    use(wrong)
    fails(operation, s3_url, StoreForbidden, "does not allow this to these credentials: ")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_store_that_is_down_is_unreachable(
    operation: str, s3_url: str, use: Callable[[Mapping[str, str]], None]
) -> None:
    use({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    fails(operation, s3_url, StoreUnreachable, "cannot be reached: Connection refused, after 2 tries")


def test_host_that_is_not_there_is_unreachable(s3_url: str, use: Callable[[Mapping[str, str]], None]) -> None:
    use({"AWS_ENDPOINT_URL": "http://nowhere.invalid:9000"})
    fails("read", s3_url, StoreUnreachable, "cannot be reached: failed to lookup address")


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_store_that_does_not_answer_is_a_timeout_and_goes_on_later(
    operation: str, seaweed: Seaweed, s3_url: str
) -> None:
    open_store(s3_url).write("m/a", [b"1"])
    seaweed.pause()
    try:
        fails(operation, s3_url, StoreTimeout, "did not answer in time", IMPATIENT)
    finally:
        seaweed.resume()
    assert open_store(s3_url).read("m/a")[0] == b"1"


@pytest.mark.slow
def test_restarted_server_holds_what_was_written(seaweed: Seaweed, s3_url: str) -> None:
    store = open_store(s3_url)
    store.write("m/a", [b"1"])
    store.compare_and_swap("m/refs.json", b"2", None)
    seaweed.kill()
    fails("read", s3_url, StoreUnreachable, "Connection refused")
    seaweed.restart()
    assert store.read("m/a")[0] == b"1"
    assert store.read("m/refs.json")[0] == b"2"


class Answering(BaseHTTPRequestHandler):
    """Gives one answer to everything, as stores do that there is no server of here."""

    status: int
    body: bytes

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_PUT = do_HEAD = do_POST = do_GET  # noqa: N815 http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def answering(status: int, code: str) -> Iterator[str]:
    """Run a store that answers every request with this status and error code."""
    body = f"<Error><Code>{code}</Code></Error>".encode()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("One", (Answering,), {"status": status, "body": body})
    )
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "kind", "message"),
    [
        (507, "XMinioStorageFull", StoreFull, "is full: XMinioStorageFull, after 2 tries"),
        (403, "QuotaExceeded", StoreFull, "is full: QuotaExceeded"),
        (404, "ContainerNotFound", BucketNotFound, "has no such bucket"),
        (501, "NotImplemented", StoreUnsafe, "knows no conditional writes"),
        (401, "Expired", StoreForbidden, "does not allow this"),
        (400, "ExpiredToken", StoreForbidden, "does not allow this to these credentials: ExpiredToken"),
        (503, "SlowDown", StoreBusy, "cannot do it now: SlowDown, after 2 tries"),
        (429, "TooManyRequests", StoreBusy, "cannot do it now"),
        (400, "RequestTimeout", StoreBusy, "cannot do it now"),
        (400, "Strange", StoreError, "failed: Strange"),
    ],
)
def test_answer_of_another_store_is_told_by_its_kind(
    status: int,
    code: str,
    kind: type[RegistryError],
    message: str,
    use: Callable[[Mapping[str, str]], None],
) -> None:
    with answering(status, code) as endpoint:
        use({"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"})
        use({"AWS_ACCESS_KEY_ID": "some-key", "AWS_SECRET_ACCESS_KEY": "secret"})
        fails("write", "s3://bucket/x", kind, message)


def test_missing_file_is_no_missing_bucket(s3_url: str) -> None:
    with pytest.raises(NotFound, match=f"{s3_url}/m/a: no such file"):
        ObjectStore(s3_url).read("m/a")


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:secret@bucket/x",
        "s3://bucket/x?token=secret",
        "s3://bucket/x#secret",
        "s3://bucket/a/../secret",
        "s3://bucket/%2e%2e/secret",
        "s3://bucket/a//secret",
        "s3://bucket/secret\n",
        "s3://bucket/secret%00",
        "s3://",
        "s3:///secret",
        "s3://ab/secret",
        "s3:/secret",
        "gs://",
        "az://..",
        "minio://-secret",
    ],
)
def test_address_that_is_no_bucket_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"allowed: SCHEME://BUCKET\[/PREFIX\]") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b%20c/", "s3://bucket/a/b c"),
        ("gs://my_bucket.example/x", "gs://my_bucket.example/x"),
        ("minio://mlpipeline/v2", "minio://mlpipeline/v2"),
    ],
)
def test_address_of_a_bucket_is_opened(url: str, shown: str) -> None:
    assert open_store(url).url == shown


@pytest.mark.parametrize("endpoint", ["ftp://host", "host:9000", "http://", "http://key:secret@host"])
def test_endpoint_that_is_no_address_is_refused(
    endpoint: str, use: Callable[[Mapping[str, str]], None]
) -> None:
    use({"AWS_ENDPOINT_URL": endpoint})
    with pytest.raises(ConfigError, match=r"allowed: http\(s\)://HOST") as caught:
        Bucket("s3://bucket")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["not-to-be-shown\n", "not-to-be-shown-é"])
@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"]
)
def test_key_that_fits_in_no_header_is_refused_and_not_repeated(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name} holds") as caught:
        ObjectStore("s3://bucket")
    assert "not-to-be-shown" not in str(caught.value)


def test_endpoint_without_tls_must_be_allowed(
    use: Callable[[Mapping[str, str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use({"AWS_ENDPOINT_URL": "http://host:9000"})
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    with pytest.raises(ConfigError, match="AWS_ALLOW_HTTP=true"):
        Bucket("s3://bucket")
    use({"AWS_ALLOW_HTTP": "true"})
    assert Bucket("s3://bucket").endpoint == "http://host:9000"


def test_s3_without_an_endpoint_is_that_of_its_region(
    use: Callable[[Mapping[str, str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    assert Bucket("s3://bucket").endpoint == "https://s3.us-east-1.amazonaws.com"
    use({"AWS_DEFAULT_REGION": "eu-central-1"})
    assert Bucket("s3://bucket").endpoint == "https://s3.eu-central-1.amazonaws.com"


def test_minio_is_at_the_configured_endpoint(
    seaweed: Seaweed, s3_url: str, use: Callable[[Mapping[str, str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Bucket("minio://mlpipeline/x").endpoint == "http://seaweedfs.kubeflow:9000"
    open_store(s3_url).write("m/a", [b"1"])
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    use({"KUBECAST_MINIO_ENDPOINT": seaweed.endpoint, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert open_store(s3_url.replace("s3://", "minio://")).read("m/a")[0] == b"1"


def test_data_file_is_read_from_any_bucket_a_registry_can_be_in(
    seaweed: Seaweed, s3_url: str, use: Callable[[Mapping[str, str]], None]
) -> None:
    use({"KUBECAST_MINIO_ENDPOINT": seaweed.endpoint})
    open_store(s3_url).write("folder/demand 1.csv", [b"unique_id,ds,y\n", b"a,2024-01-01,1\n"])
    for location in (
        f"{s3_url}/folder/demand%201.csv",
        f"{s3_url}/folder/demand 1.csv".replace("s3:", "minio:"),
    ):
        assert len(read_data(location).rows) == 1
    with pytest.raises(DataError, match=f"{s3_url}/none.csv: no such file"):
        read_data(f"{s3_url}/none.csv")


def test_azure_needs_its_account(
    use: Callable[[Mapping[str, str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ConfigError, match="Account must be specified") as caught:
        open_store("az://box/x")
    assert "\n" not in str(caught.value)
    use({"AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0"})
    assert Bucket("az://box/x").endpoint == "https://account.blob.core.windows.net"


def test_google_keys_are_read_from_the_mounted_file(
    tmp_path: Path, use: Callable[[Mapping[str, str]], None]
) -> None:
    (tmp_path / "key.json").write_text(json.dumps({"type": "service_account"}))
    use({"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")})
    with pytest.raises(ConfigError, match=r"gs://bucket: .*service account file") as caught:
        open_store("gs://bucket")
    assert "\n" not in str(caught.value)
