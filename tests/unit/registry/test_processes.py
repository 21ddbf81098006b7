import random
from collections import Counter
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from kubecast.errors import IntegrityError
from kubecast.registry import Registry, Version

from . import writers
from .conftest import MakeBundle

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "kubecast.registry"])
WRITERS = 4
BUNDLES = 30
KILLS = 40
PATIENCE_SECONDS = 60


def start(work: Path, writer: int, max_versions: int) -> BaseProcess:
    arguments = (work / "registry", work / f"bundles-{writer}", work / f"acknowledged-{writer}", max_versions)
    process = PROCESSES.Process(target=writers.publish_all, args=arguments)
    process.start()
    return process


def finish(process: BaseProcess) -> None:
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0


def fill(work: Path) -> None:
    for writer in range(WRITERS):
        (work / f"acknowledged-{writer}").mkdir()
        for i in range(BUNDLES):
            folder = work / f"bundles-{writer}" / f"{writer}-{i}" / "evaluated"
            folder.mkdir(parents=True)
            for file in range(3):
                (folder / f"{file}.bin").write_bytes(f"{writer} {i} {file}".encode() * 20_000)


def run_and_kill(work: Path, max_versions: int, chance: random.Random) -> int:
    """Run the writers, killing and restarting one at a time, then let each finish; return the kills."""
    running = [start(work, writer, max_versions) for writer in range(WRITERS)]
    kills = 0
    while kills < KILLS and (alive := [i for i, process in enumerate(running) if process.is_alive()]):
        victim = chance.choice(alive)
        running[victim].join(chance.uniform(0, 0.06))
        if running[victim].is_alive():
            running[victim].kill()
            running[victim].join()
            kills += 1
            running[victim] = start(work, victim, max_versions)
        Registry.open(str(work / "registry")).versions(writers.NAME)
    for process in running:
        finish(process)
    return kills


def harm(work: Path, max_versions: int) -> dict[str, int]:
    """Count what went wrong; with retention, `max_versions` of what was published must still be there."""
    registry = Registry.open(str(work / "registry"))
    versions = registry.versions(writers.NAME)
    ids = {version.id for version in versions}
    published = Counter(str(version.metadata["bundle"]) for version in versions)
    receipts = {receipt.read_text() for receipt in work.glob("acknowledged-*/*")}
    return {
        "not published": WRITERS * BUNDLES - len(receipts),
        "lost": max(0, min(len(receipts), max_versions) - len(receipts & ids)),
        "corrupt": sum(not loads(registry, version, work / "fetched") for version in versions),
        "duplicate": sum(count - 1 for count in published.values()),
        "dangling": len(set(registry.aliases(writers.NAME).values()) - ids),
    }


def loads(registry: Registry, version: Version, work: Path) -> bool:
    try:
        registry.fetch(version, "evaluated", work / version.id)
    except IntegrityError:
        return False
    return True


@pytest.mark.parametrize("max_versions", [1000, 3])
def test_killed_writers_lose_corrupt_duplicate_and_dangle_nothing(tmp_path: Path, max_versions: int) -> None:
    fill(tmp_path)
    kills = run_and_kill(tmp_path, max_versions, random.Random(7))  # noqa: S311 not a secret
    assert kills > 0
    counts = harm(tmp_path, max_versions)
    assert counts == dict.fromkeys(counts, 0)


def test_one_of_several_processes_wins_an_alias(tmp_path: Path, make_bundle: MakeBundle) -> None:
    registry = Registry.open(str(tmp_path / "registry"))
    versions = [registry.publish(writers.NAME, make_bundle(str(i)), {}).id for i in range(3)]
    barrier = PROCESSES.Barrier(len(versions))
    processes = [
        PROCESSES.Process(
            target=writers.claim, args=(tmp_path / "registry", version, barrier, tmp_path / version)
        )
        for version in versions
    ]
    for process in processes:
        process.start()
    for process in processes:
        finish(process)
    winners = [version for version in versions if (tmp_path / version).exists()]
    assert registry.aliases(writers.NAME) == {"champion": winners[0]}
    assert len(winners) == 1
