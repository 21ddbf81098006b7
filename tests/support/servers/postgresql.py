"""A real PostgreSQL, which Debian's package brings, as the user postgres.

User, database and the variables that tasks open it by are those of `manifests/components/optuna-postgres` and
`configs/clusters/dev.yaml`.
"""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml

from kubecast.tuning import storage as storages

_ROOT = Path(__file__).parents[3]
_MANIFEST = _ROOT / "manifests/components/optuna-postgres/postgres.yaml"


@dataclass
class Server:
    """PostgreSQL, as the user postgres, with an empty database at `url`."""

    url: str
    start: Callable[[], object]
    stop: Callable[[], object]


@contextmanager
def running_postgres(folder: Path) -> Iterator[Server]:
    """A server whose files are in an empty folder; PGPASSWORD is set while it runs."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
    folder.chmod(0o755)
    for parent in (folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    (folder / "password").write_text("secret")
    shutil.chown(folder, "postgres")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    data = folder / "data"
    user, database, variables = shipped()
    how = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}", f"--username={user}"]
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL)
    run([*as_postgres, binaries / "initdb", "-D", data, *how])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
    control = [*as_postgres, binaries / "pg_ctl", "-D", data, "-w"]
    start = partial(run, [*control, "-o", options, "-l", folder / "log", "start"])
    stop = partial(run, [*control, "-m", "immediate", "stop"])
    start()
    with pytest.MonkeyPatch.context() as environment:
        (password,) = variables.keys() - {storages.URL_VARIABLE}
        environment.setenv(password, "secret")
        run([binaries / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", user, database])
        url = variables[storages.URL_VARIABLE].replace("@kubecast-postgres/", f"@127.0.0.1:{port}/")
        yield Server(url, start, stop)
    stop()


def shipped() -> tuple[str, str, dict[str, str]]:
    """User and database that the manifest makes, and the variables of tasks of the overlay `dev`."""
    items = yaml.safe_load_all(_MANIFEST.read_text())
    (server,) = (item for item in items if item["kind"] == "StatefulSet")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    made = {variable["name"]: variable["value"] for variable in container["env"]}
    cluster = yaml.safe_load((_ROOT / "configs/clusters/dev.yaml").read_text())["cluster"]
    searching = cluster["tuning"]
    secrets = {each["secret"]: each["variables"] for each in searching["secrets"]}
    url = {storages.URL_VARIABLE: searching["environment"][storages.URL_VARIABLE]}
    return made["POSTGRES_USER"], made["POSTGRES_DB"], url | secrets["kubecast-postgres"]
