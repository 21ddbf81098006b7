"""Writers of one registry that are killed and started again, and what must hold after it.

Each writer publishes its bundles in turn, moves the champion to each, and then writes a receipt. A writer
that was killed repeats what it has no receipt for. Garbage collection with short graces runs beside them, and
is killed as well.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

from kubecast.errors import Conflict, NotFound, StoreError
from kubecast.registry import Registry
from kubecast.registry.records import Records
from kubecast.storage.store import open_store
from tests.support.servers.seaweed import Seaweed

NAME = "demand"
DELETE_GRACE = timedelta(seconds=1)
PATIENCE_SECONDS = 120
KEPT_BY_RULE = 3  # champion, the one before it, the newest: these may take places of later versions

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["kubecast.registry"])


@dataclass(frozen=True)
class Scene:
    """One registry, who writes to it, and what happens to them.

    `life` is the longest time between two kills in seconds, `upload_grace` that of an upload.
    """

    url: str
    work: Path
    seed: int
    writers: int = 8
    bundles: int = 25
    kills: int = 250
    life: float = 0.1
    server_kills: int = 0
    max_versions: int = 1000
    upload_grace: float = 6
    environment: Mapping[str, str] = field(default_factory=dict)


def run(scene: Scene, server: Seaweed | None = None) -> dict[str, int]:
    """Run the writers until all is published; return what was done, and what went wrong."""
    _fill(scene)
    with patch.dict(os.environ, scene.environment):
        done = _run_and_kill(scene, server)
        return {**done, "uploads removed": len(list((scene.work / "removed").iterdir())), **_harm(scene)}


def faults(counts: Mapping[str, int]) -> int:
    """Sum up what went wrong."""
    return sum(
        counts[kind] for kind in ("missing", "lost", "corrupt", "duplicate", "dangling", "left behind")
    )


def open_registry(scene: Scene) -> Registry:
    """Open the registry with graces that end within a run."""
    grace = timedelta(seconds=scene.upload_grace)
    return Registry.open(scene.url, delete_grace=DELETE_GRACE, upload_grace=grace)


def _publish_all(scene: Scene, writer: int) -> None:
    os.environ.update(scene.environment)
    registry = open_registry(scene)
    work = scene.work
    for bundle in sorted((work / f"bundles-{writer}").iterdir()):
        receipt = work / f"receipts-{writer}" / bundle.name
        while not receipt.exists():
            with suppress(StoreError, Conflict):  # the server is down, or the upload was given up: again
                version = registry.publish(NAME, bundle, {"bundle": bundle.name}, scene.max_versions).id
                _promote(registry, version)
                draft = work / f"draft-{writer}"  # a kill while it is written leaves no receipt
                draft.write_text(version)
                draft.replace(receipt)


def _promote(registry: Registry, version: str) -> None:
    with suppress(Conflict, NotFound):  # another writer moved the champion, or retired this version
        registry.promote(f"{NAME}@{version}")


def _collect(scene: Scene) -> None:
    os.environ.update(scene.environment)
    registry = open_registry(scene)
    while True:
        with suppress(StoreError, Conflict):
            for version in registry.collect_garbage(NAME).uploads:
                (scene.work / "removed" / version).touch()
        time.sleep(0.2)


def _fill(scene: Scene) -> None:
    (scene.work / "removed").mkdir(parents=True)
    for writer in range(scene.writers):
        (scene.work / f"receipts-{writer}").mkdir()
        for number in range(scene.bundles):
            folder = scene.work / f"bundles-{writer}" / f"{writer}-{number:03}" / "evaluated"
            folder.mkdir(parents=True)
            for file in range(3):
                (folder / f"{file}.bin").write_bytes(f"{writer} {number} {file}".encode() * 20_000)


def _start(scene: Scene, number: int) -> BaseProcess:
    """Start a writer by its number, or garbage collection by the next one."""
    collects = number == scene.writers
    target, arguments = (_collect, (scene,)) if collects else (_publish_all, (scene, number))
    process = PROCESSES.Process(target=target, args=arguments)
    process.start()
    return process


def _run_and_kill(scene: Scene, server: Seaweed | None) -> dict[str, int]:
    """Kill processes, and the server, at random moments, and let what is left finish."""
    chance = random.Random(scene.seed)  # noqa: S311 not a secret
    running = [_start(scene, number) for number in range(scene.writers + 1)]
    server_kills = set(chance.sample(range(scene.kills), scene.server_kills))
    done = Counter({"kills": 0, "server kills": 0})
    try:
        while done["kills"] < scene.kills and any(one.is_alive() for one in running[:-1]):
            victim = chance.randrange(len(running))
            running[victim].join(chance.uniform(0, scene.life))
            if not running[victim].is_alive():
                continue
            if server and done["kills"] in server_kills:
                _restart(server, chance.uniform(0, 1))
                done["server kills"] += 1
            _end(running[victim])
            done["kills"] += 1
            running[victim] = _start(scene, victim)
        for process in running[:-1]:
            process.join(PATIENCE_SECONDS)
        time.sleep(2 * scene.upload_grace + 1)  # for garbage collection to find all that is left
    finally:
        for process in running:
            _end(process)
    return dict(done)


def _restart(server: Seaweed, pause: float) -> None:
    server.kill()
    time.sleep(pause)
    server.restart()


def _end(process: BaseProcess) -> None:
    process.kill()
    process.join()


def _harm(scene: Scene) -> dict[str, int]:
    registry = open_registry(scene)
    versions = registry.versions(NAME)
    live = {version.id for version in versions}
    receipts = {file.read_text() for file in scene.work.glob("receipts-*/*")}
    bundles = Counter(str(version.metadata["bundle"]) for version in versions)
    return {
        "published": len(receipts),
        "versions": len(live),
        "missing": scene.writers * scene.bundles - len(receipts),
        "lost": _lost(receipts, live, scene.max_versions),
        "corrupt": len(registry.verify(NAME).faults),
        "duplicate": sum(count - 1 for count in bundles.values()),
        "dangling": len(set(registry.aliases(NAME).values()) - live),
        "left behind": _left_behind(scene, live),
    }


def _lost(receipts: set[str], live: set[str], max_versions: int) -> int:
    """Count what was published and is gone, though retention was not to take it."""
    published = receipts | live
    newer = {version: sum(other > version for other in published) for version in receipts - live}
    taken = sum(count < max_versions - KEPT_BY_RULE for count in newer.values())
    return taken + max(0, min(len(receipts), max_versions) - len(live))


def _left_behind(scene: Scene, live: set[str]) -> int:
    """Count what is neither published nor removed, though all graces are over."""
    records = Records(open_store(scene.url), NAME)
    ids = {path.split("/")[1].removesuffix(".json") for path in records.paths() if "/" in path}
    return len((ids | set(records.refs().deleting)) - live)
