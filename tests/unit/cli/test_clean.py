"""`kubecast clean`: what it prints, removes and exits with. What is old is tested in tests/unit/storage."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from kubecast.cli import app
from kubecast.storage.store import Store, open_store
from kubecast.storage.work import Work
from tests.support.commands import kubecast_here

OLD, OLDER, NEW = "0" * 32, "1" * 32, "2" * 32
AGES = {OLD: 8, OLDER: 30, NEW: 1}


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app.app, ["clean", *words])


@pytest.fixture(params=["root", "s3_url"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """What three runs left, and a file of somebody else."""
    store = open_store(str(request.getfixturevalue(request.param)))
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "file").write_bytes(b"rows")
    for key, days in AGES.items():
        work = Work(store, key)
        work.begin(datetime.now(UTC) - timedelta(days=days))
        work.keep("rows-000", tmp_path / "part")
    store.write("notes/read-me", [b"not a run's"])
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "settings"


def configure(folder: Path, **work: object) -> None:
    folder.mkdir()
    (folder / "cluster.yaml").write_text(yaml.safe_dump({"cluster": {"work": work}}))


def left(store: Store) -> list[str]:
    return sorted(store.list_folders())


def test_clean_removes_what_is_older_than_a_week(store: Store) -> None:
    result = invoke("--work", store.url)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"removed    {store.url}/{OLD}",
        f"removed    {store.url}/{OLDER}",
        "total      the work of 2 runs, not used for 7 days",
    ]
    assert left(store) == [NEW, "notes"]


def test_clean_again_removes_nothing(store: Store) -> None:
    invoke("--work", store.url)
    result = invoke("--work", store.url)
    assert (result.exit_code, result.stdout) == (0, "total      the work of 0 runs, not used for 7 days\n")


def test_dry_run_removes_nothing(store: Store) -> None:
    result = invoke("--work", store.url, "--dry-run", "--older-than", "10")
    assert result.stdout.splitlines() == [
        f"due        {store.url}/{OLDER}",
        "total      would remove the work of 1 run, not used for 10 days",
    ]
    assert left(store) == [*sorted(AGES), "notes"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_json_has_the_runs_and_what_they_were_chosen_by(store: Store, dry_run: bool) -> None:
    result = invoke("--work", store.url, "--older-than", "0", "--json", *["--dry-run"] * dry_run)
    assert json.loads(result.stdout) == {
        "work": store.url,
        "older_than": 0,
        "dry_run": dry_run,
        "removed": sorted(AGES),
    }
    assert left(store) == ([*sorted(AGES), "notes"] if dry_run else ["notes"])


def test_folder_and_days_are_those_of_the_settings(store: Store, folder: Path) -> None:
    configure(folder, url=store.url, keep_days=9)
    result = invoke("--config", str(folder))
    assert result.stdout.splitlines()[-1] == "total      the work of 1 run, not used for 9 days"
    assert left(store) == [OLD, NEW, "notes"]


def test_options_go_before_settings(store: Store, folder: Path) -> None:
    configure(folder, url="s3://elsewhere/work", keep_days=90)
    assert invoke("--config", str(folder), "--work", store.url, "--older-than", "7").exit_code == 0
    assert left(store) == [NEW, "notes"]


def test_folder_that_is_not_there_has_nothing_to_remove(tmp_path: Path) -> None:
    result = invoke("--work", str(tmp_path / "none"))
    assert (result.exit_code, result.stdout) == (0, "total      the work of 0 runs, not used for 7 days\n")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "error: no folder is given; allowed: --work URL, or --config FOLDER with cluster.work.url"),
        (["--work", "ftp://me:word@host/x"], 2, "allowed: a path, file://…"),
        (["--work", "x", "--older-than", "-1"], 2, "--older-than"),
        (["--work", "x", "--older-than", "1000000000"], 2, "--older-than"),
        (["--config", "nowhere"], 2, "nowhere: no such configuration folder"),
    ],
)
def test_wrong_options_are_one_line(words: list[str], status: int, message: str) -> None:
    result = kubecast_here("clean", *words)
    assert (result.returncode, result.stdout) == (status, "")
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert "word" not in result.stderr


def test_settings_without_a_folder_say_what_to_give(folder: Path) -> None:
    configure(folder, keep_days=3)
    result = kubecast_here("clean", "--config", str(folder))
    assert result.returncode == 2
    assert "allowed: --work URL" in result.stderr


@pytest.mark.slow
def test_bucket_that_is_missing_is_an_error(s3_url: str) -> None:
    result = kubecast_here("clean", "--work", "s3://no-such-bucket/work")
    assert (result.returncode, result.stdout) == (1, "")
    assert "no-such-bucket" in result.stderr


def test_help_has_every_option_and_examples() -> None:
    result = invoke("--help")
    for word in ("--work", "--older-than", "--config", "--dry-run", "--json", "kubecast clean --work"):
        assert word in result.stdout
