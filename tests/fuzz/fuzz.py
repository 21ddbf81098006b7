"""Kill fuzz of the registry: `make fuzz`, under 10 minutes.

Eight writers publish 25 versions each and are killed with signal 9 at random moments, on a local folder and
on a real S3 server, which is killed too. Exit status 1 when anything is missing, lost, corrupt, published
twice, dangling or left behind.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from kubecast.cli.console import print_table
from tests.fuzz.killing import Scene, faults, run
from tests.support.servers.seaweed import Seaweed

KEEP_ALL = 1000
KEEP_FEW = 5
BUCKET = "fuzz"


def scenes(work: Path, server: Seaweed, seed: int) -> dict[str, Scene]:
    """Every kind of registry, with and without retention, each on its own ground."""
    found: dict[str, Scene] = {}
    for kind, server_kills in (("folder", 0), ("S3", 0), ("S3 killed", 4)):
        for retention in (KEEP_ALL, KEEP_FEW):
            place = work / str(len(found))
            place.mkdir()
            remote = kind != "folder"
            found[kind if retention == KEEP_ALL else f"{kind} {retention}"] = Scene(
                url=f"s3://{BUCKET}/{place.name}" if remote else str(place / "registry"),
                work=place,
                seed=seed + len(found),
                life=0.05 if remote else 0.02,
                max_versions=retention,
                server_kills=server_kills,
                environment=server.environment() if remote else {},
            )
    return found


def main() -> int:
    """Run every scene and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="scenes whose title begins with this")
    options = parser.parse_args()
    found: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder, Seaweed() as server:
        server.create_bucket(BUCKET)
        for title, scene in scenes(Path(folder), server, options.seed).items():
            if title.startswith(options.only):
                started = time.monotonic()
                counts = run(scene, server)
                found[title] = {**counts, "seconds": round(time.monotonic() - started)}
                print(f"done       {title}: {found[title]}", flush=True)
    rows = [[what, *(counts[what] for counts in found.values())] for what in next(iter(found.values()), {})]
    title = f"Kill fuzz, seed {options.seed}; {KEEP_FEW}: with max_versions {KEEP_FEW}"
    print_table(title, ["count", *found], rows)
    return int(any(map(faults, found.values())))


if __name__ == "__main__":
    sys.exit(main())
