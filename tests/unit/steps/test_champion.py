"""The champion against a new version: what is scored, what is not, and who is champion after."""

import json
import logging
import resource
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data import parquet
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.ensemble.bundle import Bundle
from kubecast.errors import (
    ConfigError,
    Conflict,
    DataError,
    IntegrityError,
    ModelError,
    RegistryError,
    StoreError,
)
from kubecast.evaluation.comparison import Champion
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.promotion import Decision
from kubecast.models import make_trainer
from kubecast.models.artifact import FORECASTS, keep_evaluated, read_card, write_model
from kubecast.models.base import FitPlan
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.neural.settings import LstmSettings
from kubecast.registry import Registry
from kubecast.settings.pipeline import PipelineSettings
from kubecast.steps import champion as champion_step
from kubecast.steps.artifacts import read_champion, read_earlier
from kubecast.steps.champion import forecast_champion, forecast_unseen
from kubecast.steps.resolve import Resolved, resolve_inputs
from kubecast.steps.run_settings import RUN, RunSettings, SearchPlan
from kubecast.steps.stack import stack_ensemble
from kubecast.steps.train import train_model
from kubecast.storage.folder import LocalStore
from tests.support.panels import hourly
from tests.support.runs import (
    CATBOOST,
    another,
    broken,
    panel_with,
    prepare,
    publish,
    register,
    resolved_inputs,
    run,
    texts,
    train,
)

pytestmark = pytest.mark.slow

KEYS = ["unique_id", "cutoff", "ds"]
LSTM = LstmSettings(hidden_units=[7]).model_dump_json()
FILE = {"catboost_settings": "{}"}  # a settings file other than the one that the champion was trained with
YESTERDAY = pd.Timestamp("2024-01-15T12:00")  # of the 400 hours from 2024-01-01, the last 47 come after it


def older() -> pd.DataFrame:
    rows = hourly()
    return rows[rows["ds"] <= YESTERDAY]


def table_of(champion: Champion) -> pd.DataFrame:
    return pd.concat(champion.forecasts.blocks(), ignore_index=True).astype({"unique_id": object})


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on older rows, whose version is the champion of its registry."""
    return run(older(), tmp_path_factory.mktemp("champion") / "before")


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on all rows, up to its ensemble."""
    return train(hourly(), tmp_path_factory.mktemp("champion") / "after")


@pytest.fixture
def registry(before: Path, tmp_path: Path) -> Path:
    """A copy of the champion's registry, to be changed."""
    return Path(shutil.copytree(before / "registry", tmp_path / "registry"))


def champion_of(registry: Path) -> str:
    return Registry.open(str(registry)).aliases("forecaster").get("champion", "")


def loaded(registry: Path, part: str, into: Path) -> Bundle:
    store = Registry.open(str(registry))
    return Bundle.load(store.fetch(store.resolve("forecaster@champion"), part, into))


def forecast(
    panel: Path, registry: Path, into: Path, champion: str | None = None, name: str = "champion"
) -> Path:
    """Run the step; its output is what ``register`` takes."""
    version = champion_of(registry) if champion is None else champion
    forecast_champion(panel, version, str(registry), "", "", into / name)
    return into / name


def reason(output: Path) -> str:
    found = read_champion(output)
    assert found is not None
    assert table_of(found).empty == bool(found.not_comparable)
    return found.not_comparable


def decision_of(registry: Path, reference: str) -> Decision:
    store = Registry.open(str(registry))
    version = store.resolve(reference)
    decision = Evaluation.model_validate_json(store.read_file(version, "leaderboard.json")).decision
    assert version.metadata["decision"] == decision.model_dump(mode="json")
    return decision


# --- what is scored -------------------------------------------------------------------------------------


def test_champion_is_scored_as_it_was_judged(before: Path, tmp_path: Path) -> None:
    found = read_champion(forecast(before / "panel", before / "registry", tmp_path))
    assert found is not None
    judged = pd.read_parquet(before / "ensemble" / FORECASTS)
    judged = judged[judged["split"] == "test"].rename(columns={"ensemble": "yhat"})
    columns = [name for name in table_of(found) if name != "fitted_through"]
    pd.testing.assert_frame_equal(
        table_of(found)[columns].sort_values(KEYS, ignore_index=True),
        judged[columns].sort_values(KEYS, ignore_index=True),
        rtol=1e-6,
    )
    assert "q0.1" in columns


def test_champion_that_memorised_its_rows_gains_nothing_by_it(
    before: Path, after: Path, tmp_path: Path
) -> None:
    """Its production fit has seen the rows that are scored, and would be nearly perfect on them."""
    memorised = Path(
        shutil.copytree(before, tmp_path / "memorised", ignore=shutil.ignore_patterns("registry"))
    )
    panel = Panel.load(after / "panel")
    settings = CatBoostSettings(iterations=150, depth=6, learning_rate=0.5, l2_leaf_reg=0.1)
    fitted, log = make_trainer("catboost", settings).fit(
        panel, panel.ends, FitPlan(fixed_fit={"members": [{"iterations": 150, "differences": [24]}]})
    )
    shutil.rmtree(memorised / "final")
    write_model(memorised / "final", fitted, read_card(before / "evaluated").model_copy(update={"log": log}))
    keep_evaluated(memorised / "final", before / "evaluated")
    shutil.copyfile(before / "final" / FORECASTS, memorised / "final" / FORECASTS)
    registry = tmp_path / "registry"
    register(memorised, registry=registry)
    register(before, registry=tmp_path / "honest")

    production = loaded(registry, "production", tmp_path / "bundle").ensemble.predict(
        panel, panel.split("test")
    )
    found, honest = (
        read_champion(forecast(after / "panel", path, tmp_path, name=f"by-{path.name}"))
        for path in (registry, tmp_path / "honest")
    )
    assert found is not None
    assert honest is not None
    pd.testing.assert_frame_equal(table_of(found), table_of(honest))
    targets = panel.targets(panel.split("test")).merge(production, on=KEYS).merge(table_of(found), on=KEYS)
    errors = {name: (targets["y"] - targets[name]).abs().mean() for name in ("yhat_x", "yhat_y")}
    assert errors["yhat_x"] < 0.6 * errors["yhat_y"]


def test_targets_after_an_origin_change_no_forecast_from_it(before: Path, tmp_path: Path) -> None:
    rows = hourly()
    tables = []
    origin = Panel.load(prepare(rows, tmp_path / "as_is")).split("test").frame["cutoff"].min()
    for name in ("as_is", "altered"):
        if name == "altered":
            rows.loc[rows["ds"] > origin, "y"] = rows.loc[rows["ds"] > origin, "y"] * 3 + 1e3
            prepare(rows, tmp_path / name)
        found = read_champion(forecast(tmp_path / name / "panel", before / "registry", tmp_path / name))
        assert found is not None
        tables.append(table_of(found))
    first, second = (table[table["cutoff"] == origin].reset_index(drop=True) for table in tables)
    assert len(first) == 18
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert not tables[0].equals(tables[1])


def test_origins_that_the_champion_has_seen_beyond_are_left_out(before: Path, tmp_path: Path) -> None:
    own = Panel.load(before / "panel").split("test").frame["cutoff"]
    late = prepare(older(), tmp_path / "late", data={"min_samples": 1, "val_ratio": 0.1, "test_ratio": 0.2})
    panel = Panel.load(late)
    found = read_champion(forecast(late, before / "registry", tmp_path))
    assert found is not None
    assert panel.split("test").frame["cutoff"].min() < own.min()
    assert table_of(found)["cutoff"].min() >= own.min()
    assert (table_of(found)["cutoff"] >= table_of(found)["fitted_through"]).all()


def test_series_that_is_new_to_the_champion_is_scored_after_all_that_it_has_seen(
    before: Path, tmp_path: Path
) -> None:
    rows = hourly()
    panel = Panel.load(prepare(rows.assign(unique_id="new-" + rows["unique_id"]), tmp_path / "new"))
    bundle = loaded(before / "registry", "evaluated", tmp_path)
    table = pd.concat(forecast_unseen(bundle, PanelBlocks.of(panel)))
    newest = max(bundle.contract.fitted_through.values())
    assert set(table["unique_id"]) == {"new-s0", "new-s1", "new-s2"}
    assert (table["fitted_through"] == newest).all()


# --- not comparable -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon": 4}, "its horizon: 6, this version's: 4"),
        ({"frequency": "30min"}, "its frequency: h, this version's: 30min"),
        ({"season_lengths": [168, 24]}, "its season length of MASE: 24, this version's: 168"),
        ({"future": ["price"]}, "its known-future covariates: \\[\\], this version's: \\['price'\\]"),
        ({"past": ["visitors"]}, "its past-only covariates"),
        ({"static": ["region"]}, "its static covariates"),
        ({"timezone": "Europe/Berlin"}, "its time zone: none, this version's: UTC"),
    ],
)
def test_champion_of_another_task_is_not_comparable(
    before: Path, after: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    panel = Panel.load(after / "panel")
    changed = replace(panel, spec=panel.spec.model_copy(update=change))
    with pytest.raises(ModelError, match=message):
        forecast_unseen(loaded(before / "registry", "evaluated", tmp_path), PanelBlocks.of(changed))


def test_longer_season_beside_the_one_of_mase_is_comparable(
    before: Path, after: Path, tmp_path: Path
) -> None:
    panel = Panel.load(after / "panel")
    changed = replace(panel, spec=panel.spec.model_copy(update={"season_lengths": [24, 168]}))
    bundle = loaded(before / "registry", "evaluated", tmp_path)
    assert sum(map(len, forecast_unseen(bundle, PanelBlocks.of(changed))))


def test_changed_horizon_publishes_and_leaves_the_champion(
    registry: Path, after: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(after, tmp_path / "run"))
    panel = Panel.load(folder / "panel")
    champion = champion_of(registry)
    replace(panel, spec=panel.spec.model_copy(update={"horizon": 4})).save(tmp_path / "shorter")
    shutil.copyfile(folder / "panel" / RUN, tmp_path / "shorter" / RUN)
    output = forecast(tmp_path / "shorter", registry, tmp_path)
    decision = decision_of(registry, register(folder, output, registry))
    assert champion_of(registry) == champion
    assert decision.champion == champion
    assert decision.not_comparable == "its horizon: 6, this version's: 4"
    assert decision.reasons == [
        f"not comparable with the champion {champion}: its horizon: 6, this version's: 4"
    ]


def test_champion_of_newer_rows_is_not_comparable(after: Path, tmp_path: Path) -> None:
    register(after, registry=tmp_path / "registry")
    panel = prepare(older(), tmp_path / "older")
    assert "up to which it was fitted or chosen" in reason(forecast(panel, tmp_path / "registry", tmp_path))


def damage(registry: Path) -> None:
    next((registry / "forecaster" / "versions").rglob("evaluated/ensemble.json")).write_text("{}")


def take_away(registry: Path) -> None:
    next((registry / "forecaster" / "commits").iterdir()).unlink()


def write_newer(registry: Path) -> None:
    commit = next((registry / "forecaster" / "commits").iterdir())
    commit.write_text(json.dumps({**json.loads(commit.read_text()), "schema_version": 9}))


@pytest.mark.parametrize(
    ("change", "message"),
    [(damage, "ensemble.json"), (take_away, "no version forecaster@"), (write_newer, "upgrade kubecast")],
)
def test_champion_that_cannot_be_read_is_not_comparable(
    registry: Path, after: Path, tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    champion = champion_of(registry)
    change(registry)
    assert message in reason(forecast(after / "panel", registry, tmp_path, champion))


class _NotFinite:
    name = "catboost"

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        return panel.grid(origins).assign(catboost=np.nan)

    def save(self, directory: Path) -> None:
        raise AssertionError("a broken model is not saved")


def test_forecasts_that_are_not_finite_are_not_comparable(before: Path, after: Path, tmp_path: Path) -> None:
    bundle = loaded(before / "registry", "evaluated", tmp_path)
    members = {name: _NotFinite() for name in bundle.ensemble.members}
    broken = replace(bundle, ensemble=replace(bundle.ensemble, members=members))
    with pytest.raises(ModelError, match="its forecasts are not finite"):
        list(forecast_unseen(broken, PanelBlocks.open(after / "panel")))


def fail(registry: Path) -> None:
    commit = next((registry / "forecaster" / "commits").iterdir())
    commit.unlink()
    commit.symlink_to(commit)


def test_store_that_fails_fails_the_step_so_that_it_is_repeated(
    registry: Path, after: Path, tmp_path: Path
) -> None:
    champion = champion_of(registry)
    fail(registry)
    with pytest.raises(StoreError):
        forecast(after / "panel", registry, tmp_path, champion)
    assert not (tmp_path / "champion").exists()


def test_full_disk_fails_the_step_so_that_it_is_repeated(registry: Path, after: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(RegistryError, match="cannot write to"):
            forecast(after / "panel", registry, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "champion").exists()


def test_panel_that_cannot_be_read_is_no_fault_of_the_champion(registry: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a panel"):
        forecast(tmp_path / "nowhere", registry, tmp_path)
    assert not (tmp_path / "champion").exists()


def test_no_champion_and_nothing_published(after: Path, tmp_path: Path) -> None:
    output = forecast(after / "panel", tmp_path / "none", tmp_path, champion="")
    assert pd.read_parquet(output / FORECASTS).empty
    assert read_champion(output) is None
    assert read_earlier(output) == []
    assert not (tmp_path / "none").exists()


def test_earlier_versions_are_told_with_their_own_figures(
    registry: Path, after: Path, tmp_path: Path
) -> None:
    output = forecast(after / "panel", registry, tmp_path)
    version = Registry.open(str(registry)).resolve("forecaster")
    (found,) = read_earlier(output)
    assert (found.version, found.champion) == (version.id, True)
    test = version.metadata["test"]
    assert isinstance(test, dict)
    assert (found.mase, found.skill) == (test["mase"], test["skill"])
    assert found.coverage["80"] == test["coverage_80"]


@pytest.mark.parametrize("content", ["[]", "{", None])
def test_status_of_another_shape_is_an_integrity_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "status.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"status\.json: not a champion's status") as caught:
        read_champion(tmp_path)
    assert "\n" not in str(caught.value)


# --- who is champion after ------------------------------------------------------------------------------


def test_newer_fit_of_the_same_recipe_becomes_champion(registry: Path, after: Path, tmp_path: Path) -> None:
    champion = champion_of(registry)
    published = register(after, forecast(after / "panel", registry, tmp_path), registry)
    decision = decision_of(registry, published)
    assert decision.champion == champion
    assert decision.promote, decision.reasons
    assert f"forecaster@{champion_of(registry)}" == published
    assert decision.comparison is not None
    test = Registry.open(str(registry)).resolve(published).metadata["test"]
    assert isinstance(test, dict)
    assert test["champion_mase"] == decision.comparison.champion_mase
    assert "champion" not in {row.model for row in _leaderboard(after)}


def _leaderboard(folder: Path) -> Any:
    return Evaluation.read(folder / "evaluation/leaderboard.json").leaderboard


def test_version_equal_to_the_champion_is_not_made_to_lose(before: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(before, tmp_path / "again"))
    registry = folder / "registry"
    first = champion_of(registry)
    published = register(folder, forecast(folder / "panel", registry, tmp_path), registry)
    decision = decision_of(registry, published)
    assert decision.comparison is not None
    assert decision.comparison.gain == 0.0
    assert decision.comparison.worst_loss == 0.0
    assert decision.promote
    assert champion_of(registry) != first


@pytest.mark.long
def test_two_runs_that_end_together_leave_one_champion_and_two_honest_decisions(
    registry: Path, after: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    champion = champion_of(registry)
    folders = [Path(shutil.copytree(after, tmp_path / name)) for name in ("left", "right")]
    for folder in folders:
        register(folder, forecast(folder / "panel", registry, folder), tmp_path / "elsewhere")
    another(folders[1])  # else both would be one version
    with ThreadPoolExecutor(2) as pool:
        published = list(pool.map(lambda folder: publish(folder, registry, folder.name), folders))
    decisions = [decision_of(registry, reference) for reference in published]
    assert len(set(published)) == 2
    assert [decision.champion for decision in decisions] == [champion, champion]
    assert all(decision.promote for decision in decisions)
    winner = f"forecaster@{champion_of(registry)}"
    assert winner in published
    loser = next(reference for reference in published if reference != winner)
    log = caplog.text
    assert f"{loser.partition('@')[2]} is not promoted: the champion is {champion_of(registry)} by now" in log


def test_repeated_step_publishes_and_promotes_once(registry: Path, after: Path, tmp_path: Path) -> None:
    register(after, forecast(after / "panel", registry, tmp_path), registry)
    champion = champion_of(registry)
    assert publish(after, registry) == f"forecaster@{champion}"
    assert champion_of(registry) == champion
    assert len(Registry.open(str(registry)).versions("forecaster")) == 2


def test_promotion_that_other_writers_hold_up_fails_the_step_so_that_it_is_repeated(
    registry: Path, after: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(store: LocalStore, path: str, data: bytes, expected: str | None) -> None:
        if path.endswith("refs.json"):
            raise Conflict("another writer was faster")
        swap(store, path, data, expected)

    swap, champion = LocalStore.compare_and_swap, champion_of(registry)
    output = forecast(after / "panel", registry, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "compare_and_swap", lose)
        patch.setattr("time.sleep", lambda seconds: None)
        with pytest.raises(Conflict, match="too many writers at once"):
            register(after, output, registry)
    assert champion_of(registry) == champion
    assert publish(after, registry) == f"forecaster@{champion_of(registry)}"
    assert champion_of(registry) != champion


# --- resolved inputs ----------------------------------------------------------------------------------


def test_registry_that_is_not_there_yet_has_no_champion(tmp_path: Path) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    assert resolved_inputs(tmp_path).champion == ""
    assert not (tmp_path / "registry").exists()


def test_run_is_told_the_champion_and_again_the_same_after_its_own_version_took_its_place(
    registry: Path, after: Path, tmp_path: Path
) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    resolved = resolved_inputs(tmp_path)
    assert resolved.champion == champion_of(registry)
    register(after, forecast(after / "panel", registry, tmp_path), registry, resolved.inputs_digest)
    assert champion_of(registry) != resolved.champion
    assert resolved_inputs(tmp_path) == resolved
    other = resolved_inputs(tmp_path, validation={"cv_folds": 4, "max_origins": 8})
    assert other.champion == champion_of(registry)
    assert other.inputs_digest != resolved.inputs_digest


def test_run_is_told_of_no_champion_after_its_own_version_became_the_first(
    after: Path, tmp_path: Path
) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    resolved = resolved_inputs(tmp_path)
    register(after, None, tmp_path / "registry", resolved.inputs_digest)
    assert champion_of(tmp_path / "registry")
    assert resolved_inputs(tmp_path) == resolved


def test_retraining_takes_the_champions_settings_of_what_it_holds(
    registry: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    files = resolved_inputs(tmp_path, parameters=FILE)
    champions = resolved_inputs(tmp_path, mode="retrain", parameters=FILE)
    merged, kept = RunSettings.parse(champions.settings), RunSettings.parse(files.settings)
    assert merged.of_kind("catboost").model_dump_json() == CATBOOST
    assert kept.of_kind("catboost") == CatBoostSettings()
    assert merged == kept.model_copy(
        update={"models": {**kept.models, "catboost": merged.models["catboost"]}}
    )
    assert champions.inputs_digest != files.inputs_digest
    assert champions.champion == files.champion == champion_of(registry)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.long
def test_retraining_goes_on_with_its_settings_after_its_own_version_took_the_champions_place(
    registry: Path, after: Path, tmp_path: Path
) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    resolved = resolved_inputs(tmp_path, mode="retrain")
    register(after, forecast(after / "panel", registry, tmp_path), registry, resolved.inputs_digest)
    assert champion_of(registry) != resolved.champion
    assert resolved_inputs(tmp_path, mode="retrain") == resolved


def test_retraining_without_a_champion_takes_the_files_values_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    assert resolved_inputs(tmp_path, mode="retrain") == resolved_inputs(tmp_path)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert caplog.messages == [
        "there is no champion yet; catboost keeps its settings file's values",
        "there is no champion yet; ensemble keeps its settings file's values",
    ]


def resolved_for_tuning(folder: Path, search: str = "{}") -> Resolved:
    tuning = {"tuner": "optuna", "models": ["catboost", "ensemble"]}
    pipeline = PipelineSettings.model_validate({"models": ["catboost"], "tuning": tuning})
    parameters: dict[str, Any] = {f"{name}_settings": text for name, text in texts().items()}
    parameters |= {"seed": 1, **FILE}
    parameters |= {"pipeline_settings": pipeline.model_dump_json(), "search_settings": search}
    return resolve_inputs(str(folder / "data.csv"), "", "tune", str(folder / "registry"), "", parameters)


@pytest.mark.long
def test_search_is_told_the_champions_settings_and_again_after_its_own_version_took_its_place(
    registry: Path, after: Path, tmp_path: Path
) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    resolved = resolved_for_tuning(tmp_path)
    expected = {"catboost": json.loads(CATBOOST), "ensemble": json.loads(texts()["ensemble"])}
    assert SearchPlan.parse(resolved.search).champion == expected
    assert RunSettings.parse(resolved.settings).of_kind("catboost") == CatBoostSettings()
    assert resolved_inputs(tmp_path).search == ""
    register(after, forecast(after / "panel", registry, tmp_path), registry, resolved.inputs_digest)
    assert champion_of(registry) != resolved.champion
    assert resolved_for_tuning(tmp_path) == resolved


def test_search_without_a_champion_is_told_of_none(tmp_path: Path) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    assert SearchPlan.parse(resolved_for_tuning(tmp_path).search).champion == {}


def test_search_space_that_a_model_does_not_allow_is_refused_first_of_all(tmp_path: Path) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    space = '{"catboost": {"depth": {"type": "int", "low": 1, "high": 99}}}'
    with pytest.raises(ConfigError, match=r"search\.catboost\.depth: .*found 99"):
        resolved_for_tuning(tmp_path, space)


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        ({}, "has no settings of catboost"),
        ({"settings": ["depth"]}, "has no settings of catboost"),
        ({"settings": {"catboost": {"depth": 99}}}, "depth"),
    ],
    ids=["older", "malformed", "not-allowed"],
)
def test_champions_settings_that_cannot_be_used_are_named(
    registry: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: dict[str, Any], reason: str
) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    store = Registry.open(str(registry))
    champion = store.resolve("forecaster@champion")
    bundle = store.fetch(champion, "production", tmp_path / "fetched").parent
    other = store.publish("forecaster", bundle, kept)
    store.set_alias("forecaster", "champion", other.id, expected=champion.id)
    found = [resolved_inputs(tmp_path, mode=mode, parameters=FILE).settings for mode in ("retrain", "train")]
    assert found[0] == found[1]
    warning = caplog.text
    assert reason in warning
    assert other.id in warning


def test_store_that_fails_tells_a_run_nothing(registry: Path, tmp_path: Path) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    fail(registry)
    with pytest.raises(StoreError):
        resolved_inputs(tmp_path)


@pytest.mark.parametrize("change", [take_away, write_newer])
def test_champion_whose_manifest_cannot_be_read_is_told_all_the_same(
    registry: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    change(registry)
    assert resolved_inputs(tmp_path).champion == champion_of(registry)


@pytest.mark.long
def test_retraining_takes_up_a_model_that_failed_the_night_before_as_it_was(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Path(shutil.copytree(before, tmp_path / "night"))
    for stale in ("registry", "ensemble"):
        shutil.rmtree(night / stale)
    broken(monkeypatch, ModelError("loss is NaN at epoch 3"))
    lstm = json.loads(LSTM)
    settings = RunSettings.read(night / "panel").models
    panel = panel_with(
        night / "panel", tmp_path / "panel", on_failure="continue", models={**settings, "lstm": lstm}
    )
    train_model("lstm", panel, night / "lstm")
    shutil.rmtree(night / "panel")
    panel.rename(night / "panel")
    members = {"catboost": night / "evaluated", "lstm": night / "lstm"}
    stack_ensemble(night / "panel", members, "", night / "ensemble")
    register(night, lstm=night / "lstm")
    assert retrained(night, "lstm", "{}") == LSTM


def retrained(folder: Path, kind: str, settings: str) -> str:
    """What a retraining of CatBoost and of a model whose file holds ``settings`` takes for that."""
    parameters: dict[str, Any] = {f"{name}_settings": text for name, text in texts().items()}
    models = list({"catboost", kind})
    parameters |= {"seed": 1, "pipeline_settings": json.dumps({"models": models})}
    parameters |= {"search_settings": "{}", f"{kind}_settings": settings}
    found = resolve_inputs(str(folder / "data.csv"), "", "retrain", str(folder / "registry"), "", parameters)
    return RunSettings.parse(found.settings).of_kind(kind).model_dump_json()


def test_retraining_takes_what_speaks_of_the_machine_from_the_file(registry: Path, tmp_path: Path) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    file = CatBoostSettings(iterations=7, time_limit=60).model_dump_json()
    found = CatBoostSettings.model_validate_json(retrained(tmp_path, "catboost", file))
    assert found == CatBoostSettings(iterations=20, depth=3, time_limit=60)


def test_retraining_tells_what_of_a_file_gives_way_to_the_champion(
    registry: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    resolved_inputs(tmp_path, mode="retrain", parameters=FILE)
    assert "iterations: 1000" in caplog.text


@pytest.mark.parametrize("size", [100, 500])
def test_blocks_of_series_change_no_forecast_of_the_champion(
    before: Path, after: Path, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = loaded(before / "registry", "evaluated", tmp_path)
    whole = Panel.load(after / "panel")
    [expected] = forecast_unseen(bundle, PanelBlocks.of(whole))
    monkeypatch.setattr(parquet, "BLOCK_ROWS", size)
    monkeypatch.setattr(champion_step, "FORECAST_ROWS", size)
    whole.save(tmp_path / "panel")
    blocks = [*forecast_unseen(bundle, PanelBlocks.open(tmp_path / "panel"))]
    assert len(blocks) > 1
    pd.testing.assert_frame_equal(pd.concat(blocks, ignore_index=True), expected, check_exact=True)
