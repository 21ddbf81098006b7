import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from kubecast.config.training import TrainingSettings, with_scalars
from kubecast.config.validation import parse_settings
from kubecast.config.yaml import parse_yaml
from kubecast.errors import ConfigError
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.neural.settings import LstmSettings
from kubecast.settings.loading import SECTIONS, AllSettings, load_settings

CONFIGS = Path(__file__).parents[3] / "configs"

SEED = """
arima:
  max_order: [5, 1, 5]
  seasonal: false
  information_criterion: 'aic'
  stepwise: true
  seasonal_test: 'ocsb'
lstm:
  sequence_length: 60
  hidden_units: [128, 64]
  dropout_rate: 0.2
  batch_size: 32
  epochs: 100
  early_stopping:
    patience: 10
    monitor: 'val_loss'
transformer:
  d_model: 512
  num_heads: 8
  num_layers: 6
  dff: 2048
  dropout_rate: 0.1
  sequence_length: 60
catboost:
  iterations: 1000
  learning_rate: 0.1
  depth: 6
  l2_leaf_reg: 3
  bootstrap_type: 'Bayesian'
  bagging_temperature: 1
  od_type: 'Iter'
  od_wait: 50
training:
  data:
    train_ratio: 0.7
    val_ratio: 0.2
    test_ratio: 0.1
    min_samples: 1000
  optimization:
    n_trials: 100
    timeout: 3600  # 1 hour
    pruner: 'median'
  validation:
    cv_folds: 5
    scoring: ['mse', 'mae', 'r2']
  model_registry:
    path: '/app/models'
    versioning: 'timestamp'
    max_versions: 10
"""


def leaves(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value by its dotted key."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def write(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.mark.parametrize("key", leaves(yaml.safe_load(SEED)))
def test_every_key_of_the_seed_keeps_its_default(key: str) -> None:
    assert leaves(AllSettings().model_dump())[key] == leaves(yaml.safe_load(SEED))[key]


@pytest.mark.parametrize("name", ["arima", "lstm", "transformer", "catboost", "training"])
def test_the_documents_of_the_seed_load_as_they_are(name: str, tmp_path: Path) -> None:
    write(tmp_path, name, yaml.safe_dump({name: yaml.safe_load(SEED)[name]}))
    assert load_settings(tmp_path) == AllSettings()


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in CONFIGS.rglob("*.yaml") if path.parent.name != "search"}),
    ids=lambda p: p.name,
)
def test_every_shipped_folder_loads(folder: Path) -> None:
    load_settings(folder)


def test_shipped_training_file_names_every_key_of_the_seed() -> None:
    shipped = yaml.safe_load((CONFIGS / "training.yaml").read_text())
    assert {key for key in leaves(yaml.safe_load(SEED)) if key.startswith("training.")} <= set(
        leaves(shipped)
    )


def test_shipped_files_hold_the_defaults() -> None:
    assert load_settings(CONFIGS) == AllSettings()


@pytest.mark.parametrize("name", [name for name in SECTIONS if name != "search"])
def test_shipped_file_names_every_key(name: str) -> None:
    text = (CONFIGS / f"{name}.yaml").read_text()
    keys = {part for key in leaves(SECTIONS[name]().model_dump()) for part in key.split(".")}
    assert {key for key in keys if not re.search(rf"^[ #]*{key}:", text, re.MULTILINE)} == set()


def test_defaults_hold_without_a_folder_or_file(tmp_path: Path) -> None:
    assert load_settings(None) == load_settings(tmp_path) == AllSettings()


def test_settings_survive_json() -> None:
    settings = load_settings(None, ["catboost.bootstrap_type=MVS", "lstm.epochs=5"])
    for name, model in SECTIONS.items():
        part: BaseModel = getattr(settings, name)
        assert parse_settings(model, part.model_dump_json(), name) == part


def test_set_overrides_the_file(tmp_path: Path) -> None:
    write(tmp_path, "lstm", "lstm:\n  epochs: 3\n  early_stopping: {patience: 2}\n")
    overrides = ["lstm.early_stopping.patience=7", "lstm.hidden_units=[8]", "training.data.timezone=UTC"]
    found = load_settings(tmp_path, overrides)
    assert (found.lstm.epochs, found.lstm.early_stopping.patience, found.lstm.hidden_units) == (3, 7, [8])
    assert found.training.data.timezone == "UTC"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lstm.epochs", r"allowed: FILE.KEY=VALUE"),
        ("epochs=5", r"allowed: FILE.KEY=VALUE"),
        ("lstn.epochs=5", r"unknown file lstn; did you mean lstm\?"),
        ("lstm.epoch=5", r"--set lstm.epoch=5: unknown key lstm.epoch; did you mean epochs\?"),
        ("lstm.epochs=ten", r"--set lstm.epochs=ten: lstm.epochs: .* found 'ten'"),
        ("lstm.epochs=", r"lstm.epochs: .* found None"),
        ("training.seed.deep=1", r"training.seed: Input should be a valid integer"),
        ("lstm.epochs.deep=1", r"epochs holds a value, allowed: the name of a group"),
        ("training.model_name=../x", r"model name '../x' is not allowed"),
        ("training.season_lengths=[]", r"training.season_lengths"),
        ("training.data.covariates.future=[y]", r"y is a name of the panel's own"),
        ("training.data.covariates={future: [a], past: [a]}", r"a is listed twice"),
        ("training.data.columns.y=ds", r"column ds has two roles"),
        ("training.data={columns: {y: sales}, covariates: {past: [sales]}}", r"column sales has two roles"),
        ("training.data.train_ratio=0.8", r"test_ratio is 1.1; allowed: 1"),
        ("training.model_registry.max_versions=true", r"max_versions: .* found True"),
        ("training.data.max_missing=.nan", r"max_missing: .* found '.nan'"),
        ("training.data.max_missing=1e999", r"max_missing"),
        ("transformer.num_heads=7", r"num_heads 7 does not divide d_model 512"),
        ("lstm.patch_length=7", r"patch_length 7 does not divide sequence_length 60"),
        ("catboost.bootstrap_type=No; catboost.bagging_temperature=2", r"bagging_temperature has no effect"),
        ("ensemble.quantiles=[0.9, 0.1]", r"not in ascending order"),
        ("pipeline.models=[arima, arima]", r"names one twice"),
        ("arima.max_order=[5, 1]", r"arima.max_order"),
        (
            "training.validation.scoring=[mae, mape]",
            r"^--set .*: training.validation.scoring.1: Input should be 'rmsse', 'wape', .*found 'mape'$",
        ),
        ("training.validation.scoring=[mase]", r"scoring.0: Input should be 'rmsse', .*, found 'mase'"),
    ],
)
def test_wrong_override_is_refused_in_one_line(override: str, message: str, tmp_path: Path) -> None:
    if override == "lstm.epochs.deep=1":
        write(tmp_path, "lstm", "lstm: {epochs: 5}")
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(tmp_path, override.split("; "))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found no mapping"),
        ("- lstm", "found no mapping"),
        ("lstm:", "holds NoneType"),
        ("lstm: {}\nother: {}", "unknown key other"),
        ("lstm: {epochs: -1}", r"lstm.yaml: lstm.epochs: Input should be greater than 0, found -1"),
        ("lstm: {epochs: a, batch_size: b}", r"batch_size: .* found 'b' \(and 1 more\)"),
        ("lstm: {a: b: c}", "line 1:"),
        ("lstm: {1: 2}", "key 1 is not text"),
        ("lstm: {? [a] : 2}", r"key \['a'\] is not text"),
        ("lstm: {}\n---\nlstm: {}", "another document"),
        ("lstm: \x07", "not YAML"),
        ("lstm: {epochs: " + "9" * 5000 + "}", "cannot be read"),
    ],
)
def test_wrong_file_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(write(tmp_path, "lstm", text))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_file_that_is_not_text_or_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lstm.yaml").write_bytes("lstm: {} # é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 11\)"):
        load_settings(tmp_path)
    (tmp_path / "lstm.yaml").unlink()
    (tmp_path / "lstm.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path)


@pytest.mark.parametrize("name", ["training.yml", "trainning.yaml"])
def test_misspelt_file_is_not_passed_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text("cluster: {}")
    (tmp_path / name).write_text("training: {}")
    with pytest.raises(ConfigError, match=r"did you mean training.yaml\?"):
        load_settings(tmp_path)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration folder"):
        load_settings(tmp_path / "none")


def test_plain_yaml_is_read_as_yaml_1_2() -> None:
    numbers = "a: 010, b: 1e3, d: 1.5, e: -3, g: .5, k: 1., l: +"
    text = f"{{{numbers}, c: yes, f: , h: true, i: 2016-01-01, j: ~, m: <<}}"
    assert parse_yaml(text, "x") == {
        "a": "010", "b": 1000.0, "c": "yes", "d": 1.5, "e": -3, "f": None, "g": 0.5, "h": True,
        "i": "2016-01-01", "j": None, "k": 1.0, "l": "+", "m": "<<",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "found list, allowed: a JSON object"),
        ('{"epochs": 1, "epochs": 2}', "duplicate key epochs"),
        ('{"learning_rate": NaN}', "NaN is not a JSON number"),
        ('{"epoch": 1}', r"unknown key epoch; did you mean epochs\?"),
        ('{"epochs": 5.0}', "parameter lstm_settings: epochs"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_wrong_parameter_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_settings(LstmSettings, text, "lstm_settings")
    assert "\n" not in str(caught.value)


def test_unknown_key_far_from_any_other_lists_them() -> None:
    with pytest.raises(ConfigError, match="unknown key xyzzy; allowed: deseasonalize, engine, fourier_terms"):
        parse_settings(ArimaSettings, json.dumps({"xyzzy": 1}), "arima_settings")


def test_scalar_parameters_come_before_the_file() -> None:
    training = TrainingSettings(horizon=3, frequency="D", model_name="a")
    kept = with_scalars(training, 4)
    assert (kept.horizon, kept.frequency, kept.model_name) == (4, "D", "a")
    changed = with_scalars(training, 4, "h", "[24, 168]", "b")
    assert (changed.frequency, changed.season_lengths, changed.model_name) == ("h", [24, 168], "b")
    with pytest.raises(ConfigError, match="allowed: whole numbers with commas"):
        with_scalars(training, 4, season_lengths="day")
    with pytest.raises(ConfigError, match=r"parameters: training.horizon: .* found 0"):
        with_scalars(training, 0)
    assert with_scalars(training, season_lengths="24,").season_lengths == [24]
    assert with_scalars(training, season_lengths=" ").season_lengths == training.season_lengths
    with pytest.raises(ConfigError, match="allowed: whole numbers with commas"):
        with_scalars(training, season_lengths="24,,168")
    with pytest.raises(ConfigError, match=r"options: training.season_lengths: "):
        with_scalars(training, season_lengths="[]", where="options")


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("arima.averaged=2", "arima.n_models"),
        ("catboost.averaged=2", "catboost.n_models"),
        ("cluster.notices={secret: hook}", "cluster.notifications"),
    ],
)
def test_setting_with_a_former_name_is_refused_with_the_name_of_now(override: str, allowed: str) -> None:
    with pytest.raises(ConfigError, match=f"has another name now; allowed: {re.escape(allowed)}$"):
        load_settings(None, [override])
