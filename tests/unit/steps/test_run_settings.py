"""The settings that one task fixes and later ones read beside the panel."""

import json
from pathlib import Path
from typing import Any

import pytest

from kubecast.config.training import TrainingSettings
from kubecast.errors import ConfigError, IntegrityError
from kubecast.models import KINDS
from kubecast.models.artifact import FORECASTS, evaluated_model, read_card
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.neural.settings import LstmSettings
from kubecast.settings.loading import AllSettings, load_settings
from kubecast.steps.run_settings import RUN, RunSettings, SearchPlan
from kubecast.steps.train import train_model
from tests.support.panels import hourly
from tests.support.runs import CATBOOST, panel_with, prepare, resolved_inputs

CONFIGS = Path("configs")


def changed() -> AllSettings:
    overrides = [
        "training.seed=7",
        "training.horizon=6",
        "training.season_lengths=[24, 168]",
        "catboost.depth=3",
        "lstm.early_stopping.patience=2",
        "ensemble.method=equal",
        "pipeline.models=[lstm, catboost]",
        "pipeline.on_trainer_failure=stop",
        "pipeline.tuning={tuner: optuna, models: [catboost], storage: database, workers: 2}",
    ]
    return load_settings(CONFIGS, overrides)


@pytest.mark.parametrize(
    "settings",
    [AllSettings(), load_settings(CONFIGS), load_settings(CONFIGS / "quick"), changed()],
    ids=["defaults", "configs", "quick", "changed"],
)
def test_text_is_read_as_what_was_written(settings: AllSettings, tmp_path: Path) -> None:
    run = RunSettings.from_settings(settings)
    assert RunSettings.parse(run.text()) == run
    run.write(tmp_path)
    assert RunSettings.read(tmp_path) == run
    assert run.training == settings.training
    assert (run.seed, run.on_failure) == (settings.training.seed, settings.pipeline.on_trainer_failure)
    for kind in (*KINDS, "ensemble"):
        assert run.of_kind(kind) == settings.of_kind(kind)


def test_which_models_are_trained_and_tuned_changes_no_panel() -> None:
    """So those that are trained in both runs are taken from the cache."""
    settings = load_settings(CONFIGS)
    others = load_settings(CONFIGS, ["pipeline.models=[catboost]", "pipeline.tuning.tuner=optuna"])
    assert RunSettings.from_settings(settings).text() == RunSettings.from_settings(others).text()


def test_search_is_told_the_spaces_of_what_is_tuned_alone() -> None:
    settings = changed()
    plan = SearchPlan.from_settings(settings)
    assert plan.tuning == settings.pipeline.tuning
    assert plan.spaces == settings.search.model_dump(mode="json", include={"catboost"})
    assert SearchPlan.parse(plan.text()) == plan
    with pytest.raises(ConfigError, match="parameter search: "):
        SearchPlan.parse("{}")


def test_text_leaves_out_what_is_the_default() -> None:
    fields = json.loads(RunSettings.from_settings(AllSettings()).text())
    assert fields == {"models": {kind: {} for kind in (*KINDS, "ensemble")}, "training": {}}


def test_model_that_the_run_does_not_know_is_refused() -> None:
    message = f"the run has no settings of prophet; allowed: {', '.join(KINDS)}, ensemble"
    with pytest.raises(ConfigError, match=message):
        RunSettings.from_settings(changed()).of_kind("prophet")


def test_setting_that_a_model_does_not_allow_is_named() -> None:
    run = RunSettings(training=TrainingSettings(), models={"catboost": {"depth": 99}})
    with pytest.raises(ConfigError, match=r"catboost_settings of the run: depth: .*found 99"):
        run.of_kind("catboost")


BROKEN = ["", "{", "[]", "{}", '{"training": {}, "models": {}, "more": 1}', '{"training": {"seed": "x"}}']


@pytest.mark.parametrize("text", BROKEN)
def test_parameter_of_another_shape_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="parameter settings: ") as caught:
        RunSettings.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, *BROKEN])
def test_file_of_another_shape_is_an_integrity_error(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / RUN).write_text(text)
    with pytest.raises(IntegrityError, match=r"run\.json: not a run's settings") as caught:
        RunSettings.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_panel_without_the_runs_settings_trains_nothing(tmp_path: Path) -> None:
    panel = prepare(hourly(series=1), tmp_path)
    (panel / RUN).unlink()
    with pytest.raises(IntegrityError, match=r"run\.json: not a run's settings"):
        train_model("catboost", panel, tmp_path / "model")


def test_what_was_resolved_is_kept_beside_the_panel_with_the_runs_parameters(tmp_path: Path) -> None:
    panel = prepare(hourly(), tmp_path, seed=5, on_failure="continue", season_lengths=None)
    run = RunSettings.read(panel)
    again = resolved_inputs(tmp_path, seed=5, on_failure="continue", season_lengths=None)
    assert run == RunSettings.parse(again.settings)
    assert (run.training.horizon, run.training.frequency, run.training.season_lengths) == (6, "h", [24])
    assert (run.seed, run.on_failure) == (5, "continue")
    assert set(run.models) == {*KINDS, "ensemble"}
    assert run.of_kind("catboost").model_dump_json() == CATBOOST


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"training_settings": '{"validation": {"scoring": ["mape"]}}'},
            "training_settings: validation.scoring.0: Input should be 'rmsse', .* found 'mape'",
        ),
        ({"ensemble_settings": '{"methods": "equal"}'}, "ensemble_settings: unknown key methods; did you"),
        # Though it is not trained:
        ({"arima_settings": "[]"}, "arima_settings: found list, allowed: a JSON object"),
        ({"training_settings": "{"}, "training_settings: not valid JSON"),
        ({"horizon": -1}, "horizon"),
        ({"season_lengths": "24,x"}, "season_lengths"),
    ],
    ids=["scoring", "ensemble", "not-trained", "training", "horizon", "seasons"],
)
def test_setting_is_refused_before_any_data_is_kept(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    hourly(series=1).to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(ConfigError, match=message):
        resolved_inputs(tmp_path, parameters=wrong)


def test_a_later_target_changes_nothing_in_the_runs_settings(tmp_path: Path) -> None:
    rows = hourly()
    before = prepare(rows, tmp_path / "before")
    rows.loc[rows["ds"] == rows["ds"].max(), "y"] += 1000
    after = prepare(rows, tmp_path / "after")
    assert (before / "panel.json").read_bytes() != (after / "panel.json").read_bytes()
    assert (before / RUN).read_bytes() == (after / RUN).read_bytes()


@pytest.mark.slow
def test_final_fit_takes_the_settings_of_the_model_that_it_repeats(tmp_path: Path) -> None:
    found = CatBoostSettings(iterations=11, depth=2)
    panel = prepare(hourly(), tmp_path)
    train_model("catboost", panel, tmp_path / "evaluated", found.model_dump_json())
    assert RunSettings.read(panel).of_kind("catboost") != found
    train_model("catboost", panel, tmp_path / "final", fitted=tmp_path / "evaluated")
    card = read_card(tmp_path / "final")
    assert card.settings == found.model_dump(mode="json")
    kept = evaluated_model(tmp_path / "final")
    assert read_card(kept) == read_card(tmp_path / "evaluated")
    assert not (kept / FORECASTS).exists()
    assert evaluated_model(tmp_path / "evaluated") == tmp_path / "evaluated"


def test_final_fit_of_a_model_that_failed_needs_no_settings_of_the_run(tmp_path: Path) -> None:
    panel = panel_with(prepare(hourly(series=1), tmp_path), tmp_path / "lenient", on_failure="continue")
    too_long = LstmSettings(sequence_length=5000, hidden_units=[4]).model_dump_json()
    status = train_model("lstm", panel, tmp_path / "evaluated", too_long)
    assert status.state == "failed"
    assert RunSettings.read(panel).models["lstm"] == {}
    assert train_model("lstm", panel, tmp_path / "final", fitted=tmp_path / "evaluated") == status
