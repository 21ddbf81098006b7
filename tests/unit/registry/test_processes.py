from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from kubecast.errors import Conflict
from kubecast.registry import Registry
from tests.fuzz.killing import NAME, PROCESSES, Scene, faults, run
from tests.support.bundles import MakeBundle
from tests.support.servers.seaweed import Seaweed

pytestmark = pytest.mark.long

PATIENCE_SECONDS = 60
SHORT = {"seed": 7, "writers": 4, "bundles": 10, "kills": 25, "upload_grace": 1}


@pytest.mark.parametrize("max_versions", [1000, 3])
def test_killed_writers_harm_nothing_in_a_folder(tmp_path: Path, max_versions: int) -> None:
    registry = str(tmp_path / "registry")
    counts = run(Scene(registry, tmp_path, life=0.02, max_versions=max_versions, **SHORT))
    assert counts["kills"] > 0
    assert faults(counts) == 0, counts


def test_killed_writers_and_a_killed_server_harm_nothing_in_a_bucket(
    tmp_path: Path, seaweed: Seaweed
) -> None:
    seaweed.create_bucket("killed")
    environment = seaweed.environment()
    counts = run(Scene("s3://killed/a", tmp_path, server_kills=1, environment=environment, **SHORT), seaweed)
    assert counts["kills"] > 0
    assert counts["server kills"] == 1
    assert faults(counts) == 0, counts


def claim(root: Path, version: str, start: Barrier, won: Path) -> None:
    """Try to be the one that makes the champion."""
    registry = Registry.open(str(root))
    start.wait()
    try:
        registry.set_alias(NAME, "champion", version, None)
    except Conflict:
        return
    won.touch()


def test_one_of_several_processes_wins_an_alias(tmp_path: Path, make_bundle: MakeBundle) -> None:
    registry = Registry.open(str(tmp_path / "registry"))
    versions = [registry.publish(NAME, make_bundle(str(i)), {}).id for i in range(3)]
    barrier = PROCESSES.Barrier(len(versions))
    processes = [
        PROCESSES.Process(target=claim, args=(tmp_path / "registry", version, barrier, tmp_path / version))
        for version in versions
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE_SECONDS)
        assert process.exitcode == 0
    winners = [version for version in versions if (tmp_path / version).exists()]
    assert registry.aliases(NAME) == {"champion": winners[0]}
    assert len(winners) == 1
