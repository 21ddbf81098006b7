"""`kubecast models`: what it prints, asks and exits with. What it does is tested in tests/unit/registry."""

import json
import os
import pty
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from kubecast.cli import app
from kubecast.errors import NotFound
from kubecast.registry import Registry, Version

COMMANDS = ["list", "show", "diff", "promote", "rollback", "verify", "gc", "delete", "export"]
COMPARISON: dict[str, Any] = {
    "origins": 12,
    "series": 3,
    "mase": 0.3,
    "champion_mase": 0.4,
    "gain": 0.25,
    "interval": "80",
    "coverage": 0.79,
    "champion_coverage": 0.81,
    "worst_segment": "a",
    "worst_loss": 0.0,
    "paired": {
        "against": "champion",
        "difference": -0.1,
        "standard_error": None,
        "over": None,
        "origins": 12,
        "disjoint_origins": 1,
        "series": 3,
    },
}
ABSENT = "20260101T000000000000Z-00000000"


def invoke(*words: str, **options: Any) -> Result:
    return CliRunner().invoke(app.app, ["models", *words], **options)


def metadata(number: int) -> dict[str, Any]:
    """Of the first version, which there was no champion to compare with, and of others, which are worse."""
    decision: dict[str, Any] = {"promote": True, "compared": "none", "checks": []}
    if number:
        decision |= {"promote": False, "champion": "20260101", "comparison": {"gain": -0.159}}
        decision["reasons"] = ["15.9 % worse than the champion"]
    return {
        "test": {"mase": 0.5 + number, "skill": 0.25 - 0.1 * number, "coverage_80": 0.81},
        "decision": {"reasons": ["every check is passed"], **decision},
        "horizon": 48,
        "frequency": "30min",
        "season_lengths": [48, 336],
        "final_fit": {
            "arima": {"state": "ok", "reason": ""},
            "lstm": {"state": "failed", "reason": "too short"},
        },
        "packages": {"kubecast": "0.1.0"},
        "data_digest": "0123456789abcdef",
        "settings": {
            "training": {"horizon": 48, "seed": 42, "data": {"min_samples": 100}},
            "lstm": {"epochs": 100},
        },
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def versions(root: Path, tmp_path: Path) -> list[Version]:
    """Three versions of `demand`, oldest first; the first is its champion."""
    registry = Registry.open(str(root))
    published = []
    for number in range(3):
        bundle = tmp_path / f"bundle-{number}"
        (bundle / "production").mkdir(parents=True)
        (bundle / "production" / "model.json").write_text(f"{number}")
        published.append(registry.publish("demand", bundle, metadata(number)))
    registry.promote(f"demand@{published[0].id}")
    return published


def printed(root: Path, *words: str) -> Any:
    found = invoke(words[0], "--registry", str(root), *words[1:], "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_every_option(command: str) -> None:
    found = invoke(command, "--help")
    assert found.exit_code == 0
    assert "--registry" in found.stdout
    assert "--json" in found.stdout


def test_list_shows_the_newest_and_counts_the_rest(root: Path, versions: list[Version]) -> None:
    rows = printed(root, "list")
    assert [(row["version"], row["test_mase"], row["aliases"]) for row in rows] == [
        (versions[2].id, 2.5, ""),
        (versions[1].id, 1.5, ""),
        (versions[0].id, 0.5, "champion"),
    ]
    assert [(row["skill"], row["against_champion"], row["decision"]) for row in rows] == [
        (pytest.approx(0.05), -0.159, "refused"),
        (pytest.approx(0.15), -0.159, "refused"),
        (0.25, None, "not shown"),
    ]
    found = invoke("list", "--registry", str(root), "demand", "--limit", "2")
    header, *lines = [line.split("\t") for line in found.stdout.splitlines()]
    assert header == ["model", "version", "aliases", "skill", "against_champion", "decision"]
    assert [line[1] for line in lines] == [versions[2].id, versions[1].id]
    assert "2 of 3 versions; --limit 0 shows all" in found.stderr
    assert invoke("list", "--registry", str(root), "--limit", "0").stderr == ""


def test_list_tells_what_is_being_deleted_or_damaged(root: Path, versions: list[Version]) -> None:
    Registry.open(str(root)).delete("demand", versions[1].id)
    (root / "demand" / "commits" / f"{versions[2].id}.json").write_text("{")
    assert [row["state"] for row in printed(root, "list")] == ["damaged", "deleting", ""]
    assert "deleting" in invoke("list", "--registry", str(root)).stdout


def test_list_in_a_terminal_fits_80_columns_and_shortens_versions(
    root: Path, versions: list[Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KUBECAST_REGISTRY", str(root))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", invoke("list").stdout).splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if line.startswith("demand ")]
    assert len(rows) == len(versions)
    newest = rows[0]
    assert versions[2].id.startswith(newest[1])
    assert newest[2:] == ["5.0", "%", "\N{MINUS SIGN}15.9", "%", "refused"]


def test_show_is_a_page(root: Path, versions: list[Version]) -> None:
    shown = invoke("show", "--registry", str(root), f"demand@{versions[1].id}").stdout.splitlines()
    assert shown[0] == f"demand@{versions[1].id}"
    assert shown[2:10] == [
        "aliases    none",
        "skill      15.0 % over a naive forecast, without an interval; MASE 1.5000",
        "intervals  the one of 80 % holds 81.0 % of the test split's values",
        "champion   15.9 % worse on the same rows than 20260101",
        "decision   refused: 15.9 % worse than the champion",
        "forecasts  48 steps of 30min, seasons 48, 336",
        "models     arima, lstm (too short)",
        "data       sha256 0123456789ab",
    ]
    assert len(shown) <= 14


def test_show_of_what_was_promoted_by_hand_does_not_contradict_itself(root: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle" / "production").mkdir(parents=True)
    (tmp_path / "bundle" / "production" / "model.json").write_text("0")
    skill = {"naive": "seasonal_naive_24", "value": -0.1, "interval": {"low": -0.2, "high": 0.1}}
    decision = {
        "promote": False,
        "compared": "none",
        "reasons": ["skill is -0.1"],
        "checks": [],
        "skill": skill,
    }
    registry = Registry.open(str(root))
    facts = {"test": {"mase": 1.1, "skill": -0.1}, "decision": decision}
    version = registry.publish("demand", tmp_path / "bundle", facts)
    registry.promote(f"demand@{version.id}")
    assert invoke("show", "--registry", str(root), "demand").stdout.splitlines()[2:7] == [
        "aliases    champion",
        "skill      over seasonal naive 24 is \N{MINUS SIGN}10.0 % (95 %: \N{MINUS SIGN}20.0 % to 10.0 %);"
        " MASE 1.1000",
        "compared   none",
        "at its run Not promoted: not better than seasonal naive 24",
        "because    skill is -0.1",
    ]


def test_diff_is_a_table_of_what_changed(root: Path, versions: list[Version], tmp_path: Path) -> None:
    changed = metadata(0)
    changed["settings"]["training"]["data"]["min_samples"] = 200
    changed["decision"] |= {"champion": versions[0].id, "comparison": COMPARISON}
    (tmp_path / "bundle-3" / "production").mkdir(parents=True)
    (tmp_path / "bundle-3" / "production" / "model.json").write_text("3")
    newer = Registry.open(str(root)).publish("demand", tmp_path / "bundle-3", changed)
    words = f"demand@{versions[0].id}", f"demand@{newer.id}"
    result = invoke("diff", "--registry", str(root), *words)
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        ["what", "before", "after"],
        ["figures.mase", "0.4", "0.3"],
        ["figures.coverage_80", "0.81", "0.79"],
        ["training.data.min_samples", "100", "200"],
    ]
    assert "12 origins of 3 series, which neither was fitted on" in result.stderr
    document = printed(root, "diff", *words)
    assert document["settings"] == [{"name": "training.data.min_samples", "before": "100", "after": "200"}]
    assert document["figures"][0] == {"name": "mase", "before": 0.4, "after": 0.3}


def test_diff_puts_no_errors_of_different_rows_side_by_side(root: Path, versions: list[Version]) -> None:
    result = invoke("diff", "--registry", str(root), f"demand@{versions[1].id}", f"demand@{versions[2].id}")
    assert result.stdout == "what\tbefore\tafter\n"
    assert "\nfigures    not comparable: demand@" in result.stderr


def test_show_of_what_was_published_by_hand_leaves_out_what_is_not_known(root: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle" / "production").mkdir(parents=True)
    (tmp_path / "bundle" / "production" / "model.json").write_text("0")
    Registry.open(str(root)).publish("own", tmp_path / "bundle", {"decision": "none", "note": 3})
    lines = invoke("show", "--registry", str(root), "own").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["created", "aliases", "files", "more"]
    assert printed(root, "list")[0]["decision"] == ""


def test_settings_are_those_that_are_not_the_default(root: Path, versions: list[Version]) -> None:
    shown = invoke("show", "--registry", str(root), "demand", "--settings").stdout
    assert yaml.safe_load(shown) == {"training": {"horizon": 48, "data": {"min_samples": 100}}}


def test_promote_and_rollback_tell_where_the_alias_is(root: Path, versions: list[Version]) -> None:
    promoted = printed(root, "promote", "demand@latest", "--expect", versions[0].id)
    assert promoted == {"model": "demand", "alias": "champion", "version": versions[2].id}
    back = invoke("rollback", "--registry", str(root), "demand")
    assert back.stdout == f"champion   demand@{versions[0].id}\n"
    assert printed(root, "promote", "demand@latest", "--alias", "challenger")["alias"] == "challenger"


def test_verify_exits_1_and_names_the_fault(root: Path, versions: list[Version]) -> None:
    assert printed(root, "verify")["demand"]["versions"] == 3
    (root / "demand" / "versions" / versions[1].id / "production" / "model.json").write_text("x")
    whole = invoke("verify", "--registry", str(root))
    one = invoke("verify", "--registry", str(root), f"demand@{versions[1].id}", "--json")
    assert (whole.exit_code, one.exit_code) == (1, 1)
    assert f"{versions[1].id}/production/model.json" in whole.stdout
    assert len(json.loads(one.stdout)["demand"]["faults"]) == 1
    assert invoke("verify", "--registry", str(root), f"demand@{versions[0].id}").exit_code == 0


def test_verify_of_all_passes_over_a_model_whose_only_upload_failed(
    root: Path, versions: list[Version]
) -> None:
    (root / "failed" / "versions").mkdir(parents=True)
    assert list(printed(root, "verify")) == ["demand"]
    assert isinstance(invoke("verify", "--registry", str(root), "failed").exception, NotFound)


def test_gc_tells_what_it_would_do_and_does_it(root: Path, versions: list[Version]) -> None:
    abandoned = root / "demand" / "versions" / ABSENT.replace("2026", "2020") / "split"
    abandoned.parent.mkdir()
    abandoned.touch()
    planned = printed(root, "gc", "--dry-run")
    assert planned == {"demand": {"deleted": [], "uploads": [abandoned.parent.name], "records": []}}
    assert "unfinished upload" in invoke("gc", "--registry", str(root), "demand").stdout
    assert not abandoned.exists()
    assert printed(root, "gc")["demand"]["records"] == [abandoned.parent.name]
    assert invoke("gc", "--registry", str(root)).stdout == "removed    nothing: nothing is due\n"


def test_delete_needs_a_yes_where_there_is_no_terminal(root: Path, versions: list[Version]) -> None:
    words = ("delete", "--registry", str(root), f"demand@{versions[1].id}")
    refused = invoke(*words)
    assert refused.exception is not None
    assert "no terminal to ask on; allowed: --yes" in str(refused.exception)
    assert len(Registry.open(str(root)).versions("demand")) == 3
    done = invoke(*words, "--yes")
    assert f"deleted    demand@{versions[1].id}; the next publish or gc after" in done.stdout
    assert len(Registry.open(str(root)).versions("demand")) == 2
    assert printed(root, "delete", f"demand@{versions[2].id}", "--yes")["version"] == versions[2].id


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "left"), [("y\n", 2), ("n\n", 3), ("\x04", 3)])
def test_delete_asks_on_a_terminal(root: Path, versions: list[Version], answer: str, left: int) -> None:
    ours, terminal = pty.openpty()
    os.write(ours, answer.encode())
    words = ["models", "delete", "--registry", str(root), f"demand@{versions[1].id}"]
    done = subprocess.run(
        [sys.executable, "-c", "from kubecast.cli.app import main; main()", *words],
        stdin=terminal,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(ours)
    os.close(terminal)
    assert "It cannot be brought back" in done.stderr
    assert done.returncode == (left == 3)
    assert "Traceback" not in done.stderr
    assert len(Registry.open(str(root)).versions("demand")) == left


def test_export_writes_a_folder(root: Path, versions: list[Version], tmp_path: Path) -> None:
    found = printed(root, "export", "demand", "--output", str(tmp_path / "copy"))
    assert (found["version"], found["files"], found["bytes"]) == (versions[0].id, 1, 1)
    assert (tmp_path / "copy" / "production" / "model.json").read_text() == "0"
    words = ("export", "--registry", str(root), "demand@latest", "--output", str(tmp_path / "other"))
    assert f"demand@{versions[2].id}  1 files, 1 bytes, to " in invoke(*words).stdout


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["promote", "demand@shadow"], 2, "no alias demand@shadow"),
        (["promote", "demand@latest", "--alias", "latest"], 2, "is reserved"),
        (["promote", "demand@latest", "--expect", ABSENT], 1, "nothing was changed"),
        (["rollback", "demand"], 2, "no earlier version to go back to"),
        (["rollback", "none"], 2, "no alias none@champion"),
        (["list", "none"], 2, "its models: demand"),
        (["delete", "demand@20250101", "--yes"], 2, "no version begins so"),
        (["verify", f"demand@{ABSENT}"], 2, f"no version demand@{ABSENT}"),
        (["verify", "demand@champion"], 2, "allowed: a version id"),
        (["delete", "demand"], 2, "allowed: NAME@VERSION"),
        (["delete", "demand@champion", "--yes"], 2, "allowed: a version id"),
        (["delete", f"demand@{ABSENT}", "--yes"], 2, f"no version demand@{ABSENT}"),
        (["delete", f"demand@{ABSENT}"], 2, f"no version demand@{ABSENT}"),
        (["export", "demand", "--output", "."], 2, "exists already"),
        (["gc", "../x"], 2, "model name '../x' is not allowed"),
        (["list", "--limit", "-1"], 2, "--limit"),
    ],
)
def test_error_is_one_line_and_its_status(
    words: list[str],
    status: int,
    message: str,
    root: Path,
    versions: list[Version],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubecast", "models", *words, "--registry", str(root)])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == status
    assert message in line


def test_version_with_an_alias_is_not_deleted(root: Path, versions: list[Version]) -> None:
    for words in ([], ["--yes"]):  # said before it asks
        found = invoke("delete", "--registry", str(root), f"demand@{versions[0].id}", *words)
        assert "is champion; move that alias first" in str(found.exception)


def test_files_of_a_deleted_version_go_at_gc(root: Path, versions: list[Version]) -> None:
    invoke("delete", "--registry", str(root), f"demand@{versions[1].id}", "--yes")
    assert printed(root, "gc")["demand"]["deleted"] == []
    registry = Registry.open(str(root), delete_grace=timedelta(0))
    assert registry.collect_garbage("demand").deleted == [versions[1].id]
