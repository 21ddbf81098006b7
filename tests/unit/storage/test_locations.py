from pathlib import Path

import pytest

from kubecast.errors import ConfigError
from kubecast.storage.locations import BucketUrl, local_path, parse_bucket_url, scheme_of
from kubecast.storage.providers import PROVIDERS


@pytest.mark.parametrize(
    ("location", "scheme"),
    [
        ("s3://demand/x.csv", "s3"),
        ("s3:/demand", "s3"),
        ("file:///srv/x", "file"),
        ("git+ssh://host/x", "git+ssh"),
        ("/srv/x", ""),
        ("output/a:b.csv", ""),
        ("a:b", ""),
        ("", ""),
    ],
)
def test_scheme_tells_a_url_from_a_path(location: str, scheme: str) -> None:
    assert scheme_of(location) == scheme


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("file:///srv/my%20models", Path("/srv/my models")),
        ("/srv/my%20models", Path("/srv/my%20models")),
        ("models", Path("models")),
        ("file://host/models", None),
        ("file:////models", None),
        ("file:/models", None),
        ("s3://bucket/models", None),
    ],
)
def test_local_path_is_that_of_a_file_url_or_the_path_itself(location: str, path: Path | None) -> None:
    assert local_path(location) == path


@pytest.mark.parametrize("scheme", PROVIDERS)
def test_url_of_a_bucket_is_taken_apart_and_put_together(scheme: str) -> None:
    parts = parse_bucket_url(f"{scheme}://bucket/a/b%20c/")
    assert parts == BucketUrl(scheme, "bucket", "a/b c")
    assert str(parts) == f"{scheme}://bucket/a/b c"
    assert str(parse_bucket_url(f"{scheme}://bucket")) == f"{scheme}://bucket"


def test_unknown_scheme_is_refused_with_those_that_are_allowed() -> None:
    with pytest.raises(ConfigError, match=r"^ftp://…: allowed: .* SCHEME one of s3, gs, az, minio$"):
        parse_bucket_url("ftp://bucket/secret")
