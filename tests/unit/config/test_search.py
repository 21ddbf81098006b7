"""One search space, as Optuna and as Katib have it."""

import json
import re
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from kubecast.config.search import Space, check_space, parameters_of, parse_parameters, with_parameters
from kubecast.errors import ConfigError
from kubecast.models.neural.settings import LstmSettings, TransformerSettings
from kubecast.settings.loading import AllSettings, load_settings
from kubecast.settings.search import SearchSettings

KINDS = list(SearchSettings.model_fields)
MIXED = SearchSettings(
    lstm={
        "hidden_units_1": {"type": "int", "low": 8, "high": 32, "step": 8},
        "batch_size": {"type": "int", "low": 16, "high": 256, "log": True},
        "dropout_rate": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.25},
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "linear_skip": {"type": "categorical", "choices": [True, False]},
        "patch_length": {"type": "categorical", "choices": [1, 12]},
        "loss": {"type": "categorical", "choices": ["mse", "mae"]},
    }
).lstm


def sampled_trial(space: Space) -> optuna.trial.FrozenTrial:
    """A trial with a value of Optuna's for every parameter."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    trial = study.ask()
    for name, parameter in space.items():
        parameter.suggest(trial, name)
    return study.trials[0]


def as_katib_says(name: str, distribution: Any) -> dict[str, Any]:
    """An Optuna distribution in the words of Katib, derived from the distribution alone."""
    if isinstance(distribution, CategoricalDistribution):
        texts = [json.dumps(choice).strip('"') for choice in distribution.choices]
        return {"name": name, "parameterType": "categorical", "feasibleSpace": {"list": texts}}
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    space = {
        "min": str(distribution.low),
        "max": str(distribution.high),
        "distribution": "logUniform" if distribution.log else "uniform",
    }
    if distribution.step not in (None, 1):
        space["step"] = str(distribution.step)
    kind = "int" if isinstance(distribution, IntDistribution) else "double"
    return {"name": name, "parameterType": kind, "feasibleSpace": space}


@pytest.mark.parametrize("space", [*map(SearchSettings().space_of, KINDS), MIXED], ids=[*KINDS, "mixed"])
def test_optuna_and_katib_are_given_the_same_space(space: Space) -> None:
    distributions = sampled_trial(space).distributions
    assert list(distributions) == list(space)
    katib = [parameter.katib(name).to_dict() for name, parameter in space.items()]
    assert katib == [as_katib_says(name, distribution) for name, distribution in distributions.items()]


@pytest.mark.parametrize("space", [*map(SearchSettings().space_of, KINDS), MIXED], ids=[*KINDS, "mixed"])
def test_what_optuna_draws_survives_katibs_texts(space: Space) -> None:
    drawn = sampled_trial(space).params
    texts = {name: json.dumps(value).strip('"') for name, value in drawn.items()}
    assert parse_parameters(space, texts) == drawn
    assert all(re.fullmatch(r"[A-Za-z0-9._+-]+", text) for text in texts.values())


def test_default_space_of_the_lstm_is_the_seeds() -> None:
    distributions = sampled_trial(SearchSettings().lstm).distributions
    assert distributions == {
        "hidden_units_1": IntDistribution(32, 256),
        "hidden_units_2": IntDistribution(16, 128),
        "dropout_rate": FloatDistribution(0.1, 0.5),
        "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_settings_lie_inside_their_space(kind: str) -> None:
    base, space = getattr(AllSettings(), kind), SearchSettings().space_of(kind)
    values = parameters_of(base, space)
    assert values is not None
    assert with_parameters(base, space, values) == base
    check_space(kind, base, space)


def test_items_of_a_list_are_put_in_and_read_back() -> None:
    space = SearchSettings().lstm
    base = LstmSettings(hidden_units=[32, 32, 32])
    values = {"hidden_units_1": 40, "hidden_units_2": 20, "dropout_rate": 0.3, "learning_rate": 0.001}
    settings = with_parameters(base, space, values)
    assert (settings.hidden_units, settings.dropout_rate) == ([40, 20], 0.3)
    assert parameters_of(settings, space) == values
    assert parameters_of(base, space) is None
    assert with_parameters(LstmSettings(hidden_units=[7]), space, {"hidden_units_2": 20}).hidden_units == [
        7,
        20,
    ]


@pytest.mark.parametrize(
    ("settings", "inside"),
    [
        ({"hidden_units": [16], "loss": "mse"}, True),
        ({"hidden_units": [17]}, False),
        ({"hidden_units": [40]}, False),
        ({"dropout_rate": 0.3}, False),
        ({"dropout_rate": 0.75}, False),
        ({"loss": "huber"}, False),
        ({"patch_length": 12, "linear_skip": True}, True),
    ],
    ids=["inside", "off-the-step", "above", "off-the-step-float", "above-float", "no-choice", "boolean"],
)
def test_settings_outside_the_space_have_no_parameters(settings: dict[str, Any], inside: bool) -> None:
    base = {"hidden_units": [8], "dropout_rate": 0.25, "batch_size": 32, **settings}
    assert (parameters_of(LstmSettings(**base), MIXED) is not None) == inside


@pytest.mark.parametrize(
    ("space", "why"),
    [
        ("{dropout_rate: {type: float, low: 0.1, high: 0.5, log: true, step: 0.1}}", "step 0.1 with log"),
        ("{dropout_rate: {type: float, low: 0.5, high: 0.1}}", "low 0.5 is above high 0.1"),
        ("{dropout_rate: {type: float, low: 0, high: 0.1, log: true}}", "low 0.0 with log"),
        ("{epochs: {type: int, low: 1, high: 10, step: 4}}", "step 4 does not lead from low 1 to high 10"),
        ("{epochs: {type: int, low: 1.5, high: 10}}", "valid integer"),
        ("{epochs: {type: whole, low: 1, high: 10}}", "'int', 'float', 'categorical'"),
        ("{epochs: {type: int, low: 1, high: 10, when: x}}", "Extra inputs"),
        ("{loss: {type: categorical, choices: [mse, 'a b']}}", r"choice 'a b'; allowed: letters, digits"),
        ("{loss: {type: categorical, choices: ['true', true]}}", "holds one twice"),
        ("{loss: {type: categorical, choices: []}}", "at least 1 item"),
        ("{Loss: {type: categorical, choices: [mse]}}", "should match pattern"),
        (
            "{units: {type: int, low: 1, high: 2}}",
            r"search\.lstm\.units: no setting units; allowed: time_limit",
        ),
        (
            "{time_limit_1: {type: int, low: 1, high: 2}}",
            r"search\.lstm\.time_limit_1: no setting time_limit_1",
        ),
        ("{loss_1: {type: categorical, choices: [m]}}", r"search\.lstm\.loss_1: no setting loss_1"),
        (
            "{epochs: {type: int, low: 1, high: 9, step: 2}}",
            "low 1 is no multiple of step 2, which Katib counts",
        ),
        (f"{{epochs: {{type: int, low: 1, high: {10**400}, step: 2}}}}", "step 2 does not lead from low 1"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value)[:40] if value.startswith("{") else "",
)
def test_wrong_space_is_refused_in_one_line(space: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as raised:
        load_settings(None, [f"search.lstm={space}"])
    assert "\n" not in str(raised.value)


def test_values_that_a_setting_does_not_allow_are_named() -> None:
    space = SearchSettings(lstm={"dropout_rate": {"type": "float", "low": 0.1, "high": 1.5}}).lstm
    with pytest.raises(ConfigError, match=r"search\.lstm\.dropout_rate: .*less than 1, found 1\.5"):
        check_space("lstm", LstmSettings(), space)
    heads = SearchSettings(transformer={"num_heads": {"type": "categorical", "choices": [4, 7]}}).transformer
    with pytest.raises(ConfigError, match=r"search\.transformer\.num_heads: num_heads 7 does not divide"):
        check_space("transformer", TransformerSettings(), heads)


def test_values_that_are_allowed_together_are_a_space() -> None:
    """Neither 3 nor 6 heads divide the width of the file, which is never tried."""
    space = {"num_heads": {"type": "categorical", "choices": [3, 6]}}
    space["d_model"] = {"type": "categorical", "choices": [48, 96]}
    check_space("transformer", TransformerSettings(), SearchSettings(transformer=space).transformer)


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ({"epochs": "3"}, "parameters epochs; allowed: hidden_units_1"),
        ({}, "parameters none; allowed"),
        ({"hidden_units_1": "many"}, "parameter hidden_units_1=many: not of the search space"),
        ({"hidden_units_1": "8.5"}, "parameter hidden_units_1=8.5"),
        ({"loss": "huber"}, "parameter loss=huber"),
        ({"learning_rate": "fast"}, "parameter learning_rate=fast"),
    ],
    ids=["unknown", "none", "text", "fraction", "choice", "number"],
)
def test_wrong_parameters_of_a_trial_are_refused(texts: dict[str, str], why: str) -> None:
    whole = {
        "hidden_units_1": "8",
        "batch_size": "32",
        "dropout_rate": "0.25",
        "learning_rate": "0.001",
        "linear_skip": "true",
        "patch_length": "12",
        "loss": "mse",
    }
    given = texts if len(texts) != 1 or "epochs" in texts else {**whole, **texts}
    with pytest.raises(ConfigError, match=why):
        parse_parameters(MIXED, given)


def test_whole_numbers_are_read_however_katib_writes_them() -> None:
    space = SearchSettings(lstm={"epochs": {"type": "int", "low": 1, "high": 10}}).lstm
    assert (
        parse_parameters(space, {"epochs": "4.0"})
        == parse_parameters(space, {"epochs": "4"})
        == {"epochs": 4}
    )


def test_a_setting_that_is_set_by_hand_is_not_searched() -> None:
    settings = load_settings(
        None, ["lstm.hidden_units=[64]", "lstm.dropout_rate=0.3", "catboost.iterations=5"]
    )
    assert list(settings.search.lstm) == ["learning_rate"]
    assert settings.search.catboost == SearchSettings().catboost


def test_space_of_a_model_that_is_tuned_is_checked_with_the_settings() -> None:
    wrong = "search.lstm.dropout_rate.high=1.5"
    load_settings(None, [wrong])
    with pytest.raises(ConfigError, match=r"search\.lstm\.dropout_rate: .*less than 1, found 1\.5"):
        load_settings(None, [wrong, "pipeline.tuning.tuner=optuna"])


def test_file_without_a_parameter_searches_nothing(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "lstm.yaml").write_text("lstm: {}\n")
    assert load_settings(tmp_path).search.lstm == {}


def test_each_folder_has_its_own_spaces(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    text = "catboost:\n  depth: {type: int, low: 2, high: 3}\n"
    (tmp_path / "search" / "catboost.yaml").write_text(text)
    settings = load_settings(tmp_path, ["search.catboost.depth.high=4"])
    assert (
        settings.search.catboost
        == SearchSettings(catboost={"depth": {"type": "int", "low": 2, "high": 4}}).catboost
    )
    assert settings.search.lstm == SearchSettings().lstm
    (tmp_path / "search" / "catbost.yaml").write_text(text)
    with pytest.raises(
        ConfigError, match=r"catbost\.yaml: not a settings file's name; did you mean catboost"
    ):
        load_settings(tmp_path)
