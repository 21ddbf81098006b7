"""How many requests an operation costs, whatever the number of versions."""

import math
from pathlib import Path
from typing import Any

import pytest

from kubecast.registry import Registry, Version, publishing
from kubecast.storage.folder import LocalStore
from tests.support.bundles import MakeBundle

PAGE = 1000  # keys in one answer of S3 to a listing
MANY = 2500


class CountingStore(LocalStore):
    """Counts what would be requests to S3: a listing is one for each page."""

    requests = 0

    def read(self, path: str) -> tuple[bytes, str]:
        self.requests += 1
        return super().read(path)

    def list_folders(self, path: str = "") -> list[str]:
        self.requests += 1
        return super().list_folders(path)

    def list_files(self, folder: str, after: str = "") -> dict[str, int]:
        files = super().list_files(folder, after)
        self.requests += max(1, math.ceil(len(files) / PAGE))
        return files


@pytest.fixture
def newest(registry: Registry, make_bundle: MakeBundle, root: Path) -> Version:
    """The newest of many versions."""
    first = registry.publish("demand", make_bundle("first"), {}, max_versions=10**6)
    commits = root / "demand" / "commits"
    for number in range(MANY):
        (commits / f"20200101T{number:012}Z-00000000.json").write_bytes(b"{}")
    registry.promote(f"demand@{first.id}")
    return registry.publish("demand", make_bundle("newest"), {}, max_versions=10**6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "requests"), [("demand", 2), ("demand@champion", 2), ("demand@latest", 3)]
)
def test_finding_a_version_among_many_takes_few_requests(
    newest: Version, root: Path, reference: str, requests: int
) -> None:
    store = CountingStore(root)
    Registry(store).resolve(reference)
    assert store.requests == requests


@pytest.mark.slow
def test_latest_stays_cheap_when_a_writer_was_killed_before_it_told_the_refs(
    newest: Version, registry: Registry, root: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "retire", die)
        with pytest.raises(Killed):
            registry.publish("demand", make_bundle("untold"), {})
    store = CountingStore(root)
    assert Registry(store).resolve("demand@latest").id > newest.id
    assert store.requests == 3


@pytest.mark.slow
def test_latest_is_right_after_the_newest_was_deleted(
    newest: Version, registry: Registry, root: Path
) -> None:
    registry.delete("demand", newest.id)
    store = CountingStore(root)
    assert Registry(store).resolve("demand@latest").aliases == ("champion",)
    assert store.requests == 3


@pytest.mark.slow
def test_listing_reads_no_manifest(newest: Version, root: Path) -> None:
    store = CountingStore(root)
    assert len(Registry(store).entries("demand")) == MANY + 2
    assert store.requests == 1 + math.ceil((MANY + 2) / PAGE)


@pytest.mark.slow
def test_models_are_listed_at_two_requests_each(newest: Version, root: Path) -> None:
    store = CountingStore(root)
    assert Registry(store).models() == ["demand"]
    assert store.requests == 1 + 2
