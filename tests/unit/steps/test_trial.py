"""`kubecast trial`: one trial of Katib, in a process of its own."""

import json
import math
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubecast.data.panel import Panel
from kubecast.errors import ConfigError, DataError, ModelError, TuningError
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.neural.settings import LstmSettings
from kubecast.settings.search import SearchSettings
from kubecast.steps.trial import run_trial
from kubecast.tuning.ensemble import make_objective
from kubecast.tuning.objective import ModelObjective
from kubecast.tuning.trial import ObjectStore
from tests.support.commands import kubecast_here

pytestmark = pytest.mark.slow

KUBECAST = [sys.executable, "-c", "from kubecast.cli.app import main; main()"]
# Katib 0.19, pkg/metricscollector: what its StdOut collector reads where no filter is given.
COLLECTED = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)")
SPACE = {
    "depth": {"type": "int", "low": 1, "high": 4},
    "learning_rate": {"type": "float", "low": 0.001, "high": 0.5, "log": True},
}
WORDS = ["depth=3", "learning_rate=5e-2"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def saved(panel: Panel, tmp_path: Path) -> Path:
    panel.save(tmp_path / "panel")
    return tmp_path / "panel"


def trial_json(panel: str, **changes: Any) -> str:
    given = {"kind": "catboost", "panel": panel, "settings": {"iterations": 20}, "search": SPACE}
    return json.dumps({**given, "seed": 1, "folds": 2, **changes})


def trial(variable: str, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "KUBECAST_TRIAL": variable}
    return subprocess.run(
        [*KUBECAST, "trial", *words], capture_output=True, text=True, check=False, env=environment
    )


def trial_here(variable: str, *words: str) -> "subprocess.CompletedProcess[str]":
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECAST_TRIAL", variable)
        return kubecast_here("trial", *words)


def collected(output: str) -> list[float]:
    """What Katib would read of the metric."""
    found = [COLLECTED.search(line) for line in output.splitlines()]
    return [float(match[2]) for match in found if match and match[1] == "objective"]


def test_trees_tell_katib_every_block_and_the_result(saved: Path, panel: Panel) -> None:
    done = trial(trial_json(str(saved)), *WORDS)
    assert done.returncode == 0, done.stderr
    settings = CatBoostSettings(iterations=20, depth=3, learning_rate=0.05)
    reports: list[float] = []
    objective = ModelObjective.from_panel(panel, "catboost", settings, 2)
    error = objective.error(settings, 1, lambda step, value: reports.append(value))
    assert collected(done.stdout) == pytest.approx([*reports, error], rel=1e-9)


def test_network_tells_katib_every_epoch(saved: Path) -> None:
    base = LstmSettings(sequence_length=48, patch_length=4, hidden_units=[8], epochs=2, batch_size=64)
    space = {"dropout_rate": {"type": "float", "low": 0.0, "high": 0.5}}
    variable = trial_json(str(saved), kind="lstm", settings=base.model_dump(mode="json"), search=space)
    done = trial_here(variable, "dropout_rate=0.1")
    assert done.returncode == 0, done.stderr
    values = collected(done.stdout)
    assert len(values) == 2 * (2 + 1) + 1
    assert all(math.isfinite(value) for value in values)


def test_value_that_is_not_finite_is_not_told_and_fails(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECAST_TRIAL", trial_json(str(saved)))

    def error(self: Any, settings: Any, seed: int, report: Any) -> float:
        report(1, 0.5)
        report(2, float("inf"))
        return float("nan")

    monkeypatch.setattr(ModelObjective, "error", error)
    with pytest.raises(ModelError, match="catboost: the error is nan") as raised:
        run_trial(WORDS)
    assert raised.value.exit_status != 0
    assert collected(capsys.readouterr().out) == [0.5]


@pytest.mark.parametrize(
    ("until", "limit"), [(None, 3600.0), (NOW.timestamp() + 90, 90.0), (NOW.timestamp() + 9000, 3600.0)]
)
def test_fits_end_with_their_search(
    saved: Path, monkeypatch: pytest.MonkeyPatch, until: float | None, limit: float
) -> None:
    """Jobs are made of one template, so that only the trial itself knows what is left when it begins."""
    monkeypatch.setenv("KUBECAST_TRIAL", trial_json(str(saved), limit=3600, until=until))
    limits: list[float] = []

    def objective(panel: Any, kind: Any, base: Any, members: Any, folds: int, limit: float) -> Any:
        limits.append(limit)
        return make_objective(panel, kind, base, members, folds, limit)

    monkeypatch.setattr("kubecast.steps.trial.make_objective", objective)
    run_trial(WORDS, lambda: NOW)
    assert limits == [limit]


def test_trial_of_a_search_that_is_over_is_not_begun(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECAST_TRIAL", trial_json(str(saved), until=NOW.timestamp()))
    with pytest.raises(TuningError, match=r"ended at 2026-01-01T00:00:00Z: training\.optimization\.timeout"):
        run_trial(WORDS, lambda: NOW)


def test_model_that_cannot_be_fitted_tells_nothing_and_fails(saved: Path) -> None:
    base = {"sequence_length": 5000, "hidden_units": [4]}
    space = {"dropout_rate": {"type": "float", "low": 0.0, "high": 0.5}}
    done = trial_here(trial_json(str(saved), kind="lstm", settings=base, search=space), "dropout_rate=0.1")
    assert done.returncode == 1
    assert collected(done.stdout) == []
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")]


def test_ensemble_is_a_trial_too(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"method": {"type": "categorical", "choices": ["greedy", "equal"]}}
    members = {"catboost": {"iterations": 20, "depth": 3}}
    variable = trial_json(str(saved), kind="ensemble", settings={}, search=space, members=members)
    monkeypatch.setenv("KUBECAST_TRIAL", variable)
    error = run_trial(["method=equal"])
    assert collected(capsys.readouterr().out) == pytest.approx([error, error])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["depth"], "'depth'; allowed: NAME=VALUE"),
        ([*WORDS, "depth=2"], "'depth=2'; allowed: NAME=VALUE, each name once"),
        (["depth=3"], "parameters depth; allowed: depth, learning_rate"),
        (["depth=deep", "learning_rate=0.1"], "parameter depth=deep: not of the search space"),
    ],
    ids=["no-value", "twice", "missing", "text"],
)
def test_wrong_words_are_refused(saved: Path, words: list[str], why: str) -> None:
    done = trial_here(trial_json(str(saved)), *words)
    assert done.returncode == 2
    assert why in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999", "0_1", "0.1 ", "\u0661", "0x1", ""])
@pytest.mark.parametrize("name", ["depth", "learning_rate"])
def test_text_that_is_no_finite_plain_number_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv("KUBECAST_TRIAL", trial_json("nowhere"))
    words = [word for word in WORDS if not word.startswith(name)]
    with pytest.raises(ConfigError, match=f"parameter {name}={text}: not of the search space"):
        run_trial([*words, f"{name}={text}"])


@pytest.mark.parametrize("text", ["-2", "+2.0", "2e0", ".5", "1.5e-01", "2."])
def test_number_that_katib_writes_is_read(text: str) -> None:
    (space,) = SearchSettings(
        lstm={"learning_rate": {"type": "float", "low": 0.1, "high": 1.0}}
    ).lstm.values()
    assert space.parse(text) == float(text)


@pytest.mark.parametrize(
    ("variable", "why"),
    [
        ("", "parameter KUBECAST_TRIAL: not valid JSON"),
        ("{}", "KUBECAST_TRIAL"),
        (
            '{"kind": "prophet", "panel": "p", "settings": {}, "search": {}}',
            "kind 'prophet'; allowed: training",
        ),
        ('{"kind": "lstm", "panel": "p", "settings": {"x": 1}, "search": {}}', "unknown key x"),
        ('{"kind": "lstm", "panel": "p", "settings": {}, "search": {}, "more": 1}', "unknown key more"),
    ],
    ids=["none", "empty", "kind", "settings", "key"],
)
def test_wrong_variable_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, why: str) -> None:
    monkeypatch.setenv("KUBECAST_TRIAL", variable)
    with pytest.raises(ConfigError, match=re.escape(why)):
        run_trial([])


def test_panel_is_fetched_from_an_object_store(
    saved: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubecast.storage.store import open_store

    store = open_store(s3_url)
    for file in saved.iterdir():
        store.write(file.name, [file.read_bytes()])
    monkeypatch.setenv("KUBECAST_TRIAL", trial_json(s3_url))
    fetched = run_trial(WORDS)
    monkeypatch.setenv("KUBECAST_TRIAL", trial_json(str(saved)))
    assert run_trial(WORDS) == fetched


def test_trial_in_a_pod_tells_its_error_in_json_with_its_run_and_its_model(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBECAST_RUN_ID", "6c1d")
    monkeypatch.delenv("KUBECAST_LOG_FORMAT", raising=False)
    done = trial(trial_json(str(saved)), *WORDS, "trees=5")
    line, shown = done.stderr.splitlines()
    found = json.loads(line)
    assert (found["level"], found["run"], found["model"]) == ("ERROR", "6c1d", "catboost")
    assert found["message"] == f"ConfigError: {shown.removeprefix('error: ')}"
    assert collected(done.stdout + done.stderr) == []


def test_file_outside_the_panel_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Sly:
        url = "s3://bucket/panel"

        def list_files(self, folder: str) -> dict[str, int]:
            return {"../panel.json": 1}

    monkeypatch.setattr("kubecast.steps.trial.open_store", lambda url: Sly())
    monkeypatch.setenv("KUBECAST_TRIAL", trial_json("s3://bucket/panel"))
    with pytest.raises(DataError, match=r"'\.\./panel\.json' is no file of a panel"):
        run_trial(WORDS)


def test_store_is_put_into_the_variables_that_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("AWS_ENDPOINT_URL", "KUBECAST_MINIO_ENDPOINT", "AWS_REGION", "AWS_ALLOW_HTTP")
    for name in names:
        monkeypatch.setenv(name, "kept")
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    ObjectStore(endpoint="http://store:9000", region="us-east-1").export()
    assert [os.environ[name] for name in names] == ["http://store:9000"] * 2 + ["eu-west-1", "true"]
