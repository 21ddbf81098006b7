"""Secrets in the messages of errors."""

import pytest

from kubecast.config.training import ModelRegistrySettings
from kubecast.config.validation import validate
from kubecast.errors import ConfigError
from kubecast.masking import masked
from kubecast.storage.store import open_store


def test_no_message_of_an_error_holds_a_secret_of_a_url() -> None:
    with pytest.raises(ConfigError, match=r"^registry 'file://\*\*\*@host/models': allowed"):
        open_store("file://me:secret@host/models")
    settings = {"path": ["file:///models?token=secret"]}
    with pytest.raises(ConfigError, match=r"path: .*, found \['file:///models\?\*\*\*$"):
        validate(ModelRegistrySettings, settings, "training.yaml")


def test_what_follows_a_url_in_quotes_is_kept() -> None:
    text = 'Post "https://host:443/mutate?token=secret": connection refused'
    assert masked(text) == 'Post "https://host:443/mutate?***": connection refused'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"postgresql://me:{'x' * 3000}@db/data is wrong", "postgresql://***@db/data is wrong"),
        (f"s3://bucket/key?token={'x' * 9000} is wrong", "s3://bucket/key?*** is wrong"),
        ("http://me@host and a@b", "http://***@host and a@b"),
    ],
)
def test_long_secrets_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
