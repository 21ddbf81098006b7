"""Tuning by the command, through KFP's local runner, in processes of their own."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.support.commands import SETTINGS, arguments, executed, kubecast, kubecast_here
from tests.support.panels import hourly

pytestmark = pytest.mark.slow


def test_tuning_finds_settings_that_are_trained_published_and_taken_up_by_the_next_retraining(
    tmp_path: Path,
) -> None:
    words = ["--cache", "--models", "catboost", "--set", "training.optimization.n_trials=4", "--json"]
    spaces = tmp_path / "configs" / "search"
    spaces.mkdir(parents=True)
    training = yaml.safe_dump({"training": SETTINGS["training"]})
    (tmp_path / "configs" / "training.yaml").write_text(training)
    (spaces / "catboost.yaml").write_text(
        "catboost:\n"
        "  learning_rate: {type: float, low: 0.2, high: 0.5}\n"
        "  depth: {type: int, low: 2, high: 4}\n"
    )
    (tmp_path / "configs" / "catboost.yaml").write_text(
        "catboost: {iterations: 20, depth: 1, learning_rate: 0.001}\n"  # any trial is better
    )
    hourly().to_csv(tmp_path / "data.csv", index=False)

    def run(mode: str) -> tuple[dict[str, Any], list[str]]:
        done = kubecast(*arguments(tmp_path, "out", *words, "--mode", mode))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), executed(tmp_path, "out")

    tuned, ran = run("tune")
    assert "tune-catboost" in ran
    trials = pd.read_csv(tmp_path / "out" / "trials-catboost.csv")
    assert len(trials) == 4
    assert "Tuning of catboost" in (tmp_path / "out" / "tuning-catboost.html").read_text()
    shown = kubecast_here(
        "models", "show", tuned["version"], "--registry", str(tmp_path / "out" / "registry"), "--json"
    )
    settings = json.loads(shown.stdout)["metadata"]["settings"]["catboost"]
    best = trials.loc[trials["error"].idxmin()]
    assert settings["depth"] == best["depth"] > 1
    assert settings["learning_rate"] == pytest.approx(best["learning_rate"])
    assert settings["iterations"] == 20
    again, ran = run("tune")
    assert (again["version"], ran) == (tuned["version"], ["resolve-inputs"])
    retrained, ran = run("retrain")
    assert "tune-catboost" not in ran
    shown = kubecast_here(
        "models", "show", retrained["version"], "--registry", str(tmp_path / "out" / "registry"), "--json"
    )
    assert json.loads(shown.stdout)["metadata"]["settings"]["catboost"] == settings
