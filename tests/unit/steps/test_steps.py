"""The steps, one after another on a small panel, as a container would run them."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.config.training import Columns
from kubecast.data import parquet
from kubecast.data.panel import Panel, Split
from kubecast.data.row_blocks import in_memory, one_block
from kubecast.ensemble import bundle as bundle_module
from kubecast.ensemble.bundle import Bundle, _padded, mase
from kubecast.errors import ConfigError, DataError, InputError, IntegrityError, ModelError
from kubecast.evaluation.convergence import convergence
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.models import make_trainer
from kubecast.models.artifact import FORECASTS, PRODUCTION, evaluated_model, read_card, read_status
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.registry import Registry
from kubecast.reports import training
from kubecast.reports.report_charts import report_charts
from kubecast.reports.training import REFUSED, REPEATED
from kubecast.steps.artifacts import read_recipe
from kubecast.steps.prepare import describe, prepare_data
from kubecast.steps.render import render_version
from kubecast.steps.stack import stack_ensemble
from kubecast.steps.train import fit_metrics, train_model
from tests.support.detections import recorded_detections
from tests.support.pages import read_payload
from tests.support.panels import WITH_COVARIATES, hourly
from tests.support.runs import (
    another,
    broken,
    bundle,
    panel_with,
    prepare,
    publish,
    register,
    resolved_inputs,
    run,
    train,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(hourly(), tmp_path_factory.mktemp("steps") / "run")


@pytest.fixture(scope="module")
def covariate_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = hourly(covariates=True)
    return run(rows, tmp_path_factory.mktemp("steps") / "run", data=WITH_COVARIATES)


def test_as_of_is_brought_down_to_the_newest_row(tmp_path: Path) -> None:
    rows = hourly(series=1, rows=50)
    rows.to_csv(tmp_path / "data.csv", index=False)
    found = resolved_inputs(tmp_path, "2024-01-02T05:40")
    assert found.as_of == "2024-01-02T05:00:00"
    assert found.digest == hashlib.sha256((tmp_path / "data.csv").read_bytes()).hexdigest()


def test_changed_bytes_are_refused(tmp_path: Path) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    settings = resolved_inputs(tmp_path).settings
    with pytest.raises(DataError, match="changed"):
        prepare_data(str(tmp_path / "data.csv"), "0" * 64, "", settings, tmp_path / "panel")


def test_every_settings_file_is_checked_before_anything_is_trained(tmp_path: Path) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(ConfigError, match=r"lstm_settings: unknown key epoch; did you mean epochs\?"):
        resolved_inputs(tmp_path, parameters={"lstm_settings": '{"epoch": 3}'})


def test_data_report_escapes_names(tmp_path: Path) -> None:
    rows = hourly(series=1).assign(unique_id="<script>|")
    panel = Panel.load(prepare(rows.drop(index=[50]), tmp_path / "run"))
    text = describe(panel)
    assert "&lt;script>\\|" in text
    assert "| validation |" in text


def test_forecasts_cover_every_origin_and_the_end(done: Path) -> None:
    panel = Panel.load(done / "panel")
    table = pd.read_parquet(done / "evaluated" / FORECASTS)
    counts = table[["unique_id", "cutoff", "split"]].drop_duplicates().groupby("split").size().to_dict()
    expected = panel.origins.groupby("split").size().to_dict()
    assert counts == {**expected, PRODUCTION: 3}
    assert set(pd.read_parquet(done / "final" / FORECASTS)["split"]) == {PRODUCTION}


def test_card_says_how_the_model_came_about(done: Path) -> None:
    card = read_card(done / "evaluated")
    assert (card.kind, card.name, card.seed) == ("catboost", "catboost", 1)
    assert card.settings["iterations"] == 20
    assert "catboost" in card.versions
    assert card.panel_digest == Panel.load(done / "panel").spec.digest
    assert fit_metrics(done / "evaluated")["fit_seconds"] > 0
    assert read_card(done / "final").log.stopped == "replayed"


def test_altering_the_test_part_changes_no_model_weight_or_validation_forecast(
    done: Path, tmp_path: Path
) -> None:
    panel = Panel.load(done / "panel")
    rows = hourly()
    late = rows["ds"] > panel.series["validation_end"].max()
    rows.loc[late, "y"] = rows.loc[late, "y"] * 2 + 50
    altered = run(rows, tmp_path / "run")
    tables = [pd.read_parquet(folder / "ensemble" / FORECASTS) for folder in (done, altered)]
    before, after = (table[table["split"] == "validation"].reset_index(drop=True) for table in tables)
    pd.testing.assert_frame_equal(before, after, check_exact=True)
    recipes = [json.loads((folder / "ensemble" / "recipe.json").read_text()) for folder in (done, altered)]
    assert recipes[0]["weights"] == recipes[1]["weights"]
    assert recipes[0]["evaluated_quantiles"] == recipes[1]["evaluated_quantiles"]
    assert recipes[0]["quantiles"] != recipes[1]["quantiles"]


def test_published_version_forecasts_what_was_written_before_the_upload(done: Path, tmp_path: Path) -> None:
    found = bundle(done, "production", tmp_path).forecast(hourly())
    written = pd.read_parquet(done / "forecast.parquet")
    pd.testing.assert_frame_equal(found, written, rtol=1e-6)


def test_shorter_horizon_is_the_beginning_of_the_longer(done: Path, tmp_path: Path) -> None:
    loaded = bundle(done, "production", tmp_path)
    long, short = loaded.forecast(hourly()), loaded.forecast(hourly(), horizon=2)
    pd.testing.assert_frame_equal(short, long.groupby("unique_id").head(2).reset_index(drop=True))


@pytest.mark.parametrize("horizon", [0, -1, 7])
def test_horizon_beyond_the_models_is_refused(done: Path, tmp_path: Path, horizon: int) -> None:
    with pytest.raises(InputError, match=f"horizon {horizon}: allowed: 1 to 6"):
        bundle(done, "production", tmp_path).forecast(hourly(), horizon=horizon)


def test_targets_after_as_of_are_not_seen(done: Path, tmp_path: Path) -> None:
    loaded = bundle(done, "production", tmp_path)
    moment = pd.Timestamp("2024-01-14T23:00")
    rows = hourly()
    found = loaded.forecast(rows, as_of=moment)
    rows.loc[rows["ds"] > moment, "y"] = 1e6
    pd.testing.assert_frame_equal(loaded.forecast(rows, as_of=moment), found)
    assert found["ds"].min() == moment + pd.Timedelta(hours=1)


def test_new_series_is_forecast(done: Path, tmp_path: Path) -> None:
    rows = hourly(series=1).assign(unique_id="new")
    found = bundle(done, "production", tmp_path).forecast(rows)
    assert set(found["unique_id"]) == {"new"}
    assert np.isfinite(found.drop(columns=["unique_id", "ds"])).all().all()


def test_backtest_starts_where_nothing_was_seen(done: Path, tmp_path: Path) -> None:
    loaded = bundle(done, "evaluated", tmp_path)
    table = loaded.backtest(hourly(), stride=4)
    panel = Panel.load(done / "panel")
    assert table["cutoff"].min() == panel.series["validation_end"].min()
    steps = table[["unique_id", "cutoff"]].drop_duplicates().groupby("unique_id")["cutoff"].diff().dropna()
    assert set(steps) == {pd.Timedelta(hours=4)}
    assert 0 < mase(table, Columns()) < 2


def test_backtest_equals_the_test_part_of_the_run(done: Path, tmp_path: Path) -> None:
    table = bundle(done, "evaluated", tmp_path).backtest(hourly(), stride=1)
    judged = pd.read_parquet(done / "ensemble" / FORECASTS)
    judged = judged[judged["split"] == "test"].rename(columns={"ensemble": "evaluated"})
    joined = table.merge(judged[["unique_id", "cutoff", "ds", "evaluated"]], on=["unique_id", "cutoff", "ds"])
    assert len(joined) == len(judged)
    np.testing.assert_allclose(joined["yhat"], joined["evaluated"], rtol=1e-6)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_skill_is_that_of_the_forecasts_that_are_handed_out(done: Path, split: Split) -> None:
    """Every page has its skill from here, and the file is what ``backtest.parquet`` is a copy of."""
    rows = pd.read_parquet(done / "ensemble" / FORECASTS)
    rows = rows[(rows["split"] == split) & rows["observed"] & (rows["scale"] > 0)]
    models = [name for name in rows if name in {"catboost", "ensemble"} or name.startswith("seasonal_naive")]
    errors = rows[models].sub(rows["y"], axis=0).abs().div(rows["scale"], axis=0)
    scores = errors.groupby(rows["unique_id"]).mean().mean()
    naive = scores[scores.index.str.startswith("seasonal_naive")]
    evaluation = Evaluation.read(done / "evaluation/leaderboard.json")
    assert sorted(naive.index) == ["seasonal_naive_1", "seasonal_naive_24"] == sorted(evaluation.naives)
    assert evaluation.skill[split].naive == naive.idxmin()
    assert evaluation.skill[split].value == pytest.approx(1 - scores["ensemble"] / naive.min(), rel=1e-5)
    for model in models:
        row = evaluation.row(model, split)
        assert row.skill == pytest.approx(1 - scores[model] / naive.min(), rel=1e-5)
        assert row.difference == pytest.approx(scores[model] - scores["ensemble"], rel=1e-5)
    if split == "test":
        store = Registry.open(str(done / "registry"))
        published = store.resolve((done / "published").read_text()).metadata
        own = evaluation.row("ensemble", "test").skill
        assert published["test"]["skill"] == published["decision"]["skill"]["value"] == own
        assert own is not None
        assert f"{100 * own:.1f} %" in (done / "report.html").read_text()


def test_skill_of_the_reference_is_that_of_the_leaderboard(done: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/reference/metrics.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"backtest": pd.read_parquet(done / "ensemble" / FORECASTS)}
    exec(block, names)  # noqa: S102  the project's own page
    skill = Evaluation.read(done / "evaluation/leaderboard.json").skill["test"]
    assert names["skill"] == pytest.approx(skill.value)


def test_yardsticks_are_forecast_and_change_nothing_that_is_published(done: Path) -> None:
    recipe = json.loads((done / "ensemble" / "recipe.json").read_text())
    assert list(recipe["members"]) == ["catboost", "seasonal_naive_24"]
    assert set(recipe["weights"]) == set(recipe["members"])
    rows = pd.read_parquet(done / "ensemble" / FORECASTS)
    panel = Panel.load(done / "panel")
    last = panel.frame.set_index(["unique_id", "ds"])["y"]
    expected = last.reindex(pd.MultiIndex.from_frame(rows[["unique_id", "cutoff"]])).to_numpy()
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(rows["seasonal_naive_1"][known], expected[known])


def test_backtest_refuses_what_the_version_has_seen(done: Path, tmp_path: Path) -> None:
    loaded = bundle(done, "evaluated", tmp_path)
    with pytest.raises(DataError, match="up to which the model was fitted or chosen; allowed: a later start"):
        loaded.backtest(hourly(), stride=1, start=pd.Timestamp("2024-01-05"))
    with pytest.raises(DataError, match="allowed: data with later rows"):
        loaded.backtest(hourly()[lambda rows: rows["ds"] < "2024-01-10"], stride=1)
    with pytest.raises(InputError, match="stride 0"):
        loaded.backtest(hourly(), stride=0)


def test_backtest_can_start_later(done: Path, tmp_path: Path) -> None:
    start = pd.Timestamp("2024-01-17T00:00")
    table = bundle(done, "evaluated", tmp_path).backtest(hourly(), stride=2, start=start)
    assert table["cutoff"].min() == start


def test_same_artifacts_publish_the_same_version(done: Path) -> None:
    assert register(done) == (done / "published").read_text()
    assert len(Registry.open(str(done / "registry")).versions("forecaster")) == 1


def test_second_version_does_not_take_the_place_of_a_champion_it_was_not_compared_with(
    done: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = run(hourly(), tmp_path / "run")
    registry = Registry.open(str(folder / "registry"))
    champion = registry.aliases("forecaster")["champion"]
    another(folder)
    publish(folder)
    assert registry.aliases("forecaster")["champion"] == champion
    assert len(registry.versions("forecaster")) == 2
    assert "by now, it was compared with none" in caplog.text


def test_metadata_tells_where_the_version_came_from(done: Path) -> None:
    version = Registry.open(str(done / "registry")).resolve("forecaster@champion")
    assert {"data_digest", "settings_digest", "seeds", "packages", "image", "decision", "test"} <= set(
        version.metadata
    )
    assert version.metadata["final_fit"] == {"catboost": {"state": "ok", "reason": ""}}


def test_published_page_is_the_one_that_was_shown(done: Path) -> None:
    store = Registry.open(str(done / "registry"))
    version = store.resolve((done / "published").read_text())
    page, own = store.read_file(version, "report.html").decode(), (done / "report.html").read_text()
    assert f"{version.name}@{version.id}" in own
    assert version.id not in page  # which is not known before it is published
    assert len(read_payload(page)["explorer"]["series"]) == len(read_payload(own)["explorer"]["series"]) == 3
    assert all("ahead" in series for series in read_payload(page)["explorer"]["series"])
    assert render_version(store, version) == own
    assert store.read_file(version, "leaderboard.json") == (done / "evaluation/leaderboard.json").read_bytes()


def test_page_of_a_version_that_cannot_be_made_costs_the_page_alone(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no <font>")

    monkeypatch.setattr("kubecast.reports.page.report_charts", fail)
    folder = tmp_path / "run"
    shutil.copytree(done, folder)
    label = publish(folder, tmp_path / "registry")
    registry = Registry.open(str(tmp_path / "registry"))
    version = registry.resolve("forecaster@champion")
    assert label == f"{version.name}@{version.id}"
    for page in ((folder / "report.html").read_text(), registry.read_file(version, "report.html").decode()):
        assert "There is no page: RuntimeError: no &lt;font&gt;" in page
    assert Bundle.load(registry.fetch(version, "production", tmp_path / "fetched"))


def test_page_of_a_version_is_drawn_once(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, real = [], report_charts

    def counted(evaluation: Evaluation, naive: str | None) -> Any:
        drawn.append(evaluation)
        return real(evaluation, naive)

    monkeypatch.setattr("kubecast.reports.page.report_charts", counted)
    folder = tmp_path / "run"
    shutil.copytree(done, folder)
    publish(folder, tmp_path / "registry")
    assert len(drawn) == 1


def test_no_published_file_is_a_pickle(done: Path) -> None:
    version = Registry.open(str(done / "registry")).resolve("forecaster")
    endings = {Path(path).suffix for path in version.files}
    assert endings <= {".json", ".parquet", ".html", ".cbm", ".npz", ".keras"}


def test_without_future_covariates_no_production_forecast_is_written(covariate_done: Path) -> None:
    assert pd.read_parquet(covariate_done / "forecast.parquet").empty
    version = Registry.open(str(covariate_done / "registry")).resolve("forecaster")
    assert "production_forecast.parquet" not in version.files


def future(rows: pd.DataFrame, steps: int) -> pd.DataFrame:
    ends = rows.groupby("unique_id")["ds"].max()
    return pd.concat(
        pd.DataFrame(
            {"unique_id": name, "ds": pd.date_range(end, periods=steps + 1, freq="h")[1:], "promotion": 1.0}
        )
        for name, end in ends.items()
    )


def test_future_covariates_are_read_from_their_file(
    covariate_done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = hourly(covariates=True)
    loaded = bundle(covariate_done, "production", tmp_path)
    found = loaded.forecast(rows, future=future(rows, 6))
    assert len(found) == 18
    whole = loaded.contract.history(one_block(rows), in_memory, future(rows, 3), None, 3)
    shorter = loaded.forecast(rows, horizon=3, future=future(rows, 3))
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 50)
    monkeypatch.setattr(bundle_module, "FORECAST_ROWS", 100)
    panel = loaded.contract.history(one_block(rows), in_memory, future(rows, 3), None, 3)
    assert len(list(panel)) > len(list(whole))
    pd.testing.assert_frame_equal(loaded.predict(panel, 3), shorter, check_exact=True)
    np.testing.assert_allclose(shorter["yhat"], found.groupby("unique_id").head(3)["yhat"], rtol=1e-6)


def test_covariates_known_beyond_a_shorter_horizon_are_kept(covariate_done: Path, tmp_path: Path) -> None:
    rows = hourly(covariates=True)
    loaded = bundle(covariate_done, "production", tmp_path)
    ahead = future(rows, 6)
    ahead["promotion"] = ahead.groupby("unique_id").cumcount().astype(float)
    for steps, expected in ((6, [0, 1, 2, 3, 4, 5]), (4, [0, 1, 2, 3, 3, 3])):
        known = ahead.groupby("unique_id").head(steps)
        panel = _padded(loaded.contract.history(one_block(rows), in_memory, known, None, 3).whole(), 3)
        found = panel.future(panel.ends)
        assert found.groupby("unique_id")["promotion"].apply(list).tolist() == [expected] * 3


def test_backtest_stops_where_the_covariates_end(covariate_done: Path, tmp_path: Path) -> None:
    rows = hourly(covariates=True)
    table = bundle(covariate_done, "evaluated", tmp_path).backtest(rows, stride=1)
    assert table["cutoff"].max() == rows["ds"].max() - pd.Timedelta(hours=6)


def test_missing_future_covariate_is_named_with_series_and_time(covariate_done: Path, tmp_path: Path) -> None:
    rows = hourly(covariates=True)
    loaded = bundle(covariate_done, "production", tmp_path)
    with pytest.raises(DataError, match="series s0: known-future covariate promotion has no value at 2024"):
        loaded.forecast(rows, future=future(rows, 4))


def test_covariate_that_the_model_knows_and_the_data_lacks_is_an_error(
    covariate_done: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="visitors"):
        bundle(covariate_done, "production", tmp_path).forecast(
            hourly(covariates=True).drop(columns="visitors")
        )


@pytest.mark.parametrize("error", [ModelError("loss is NaN at epoch 3"), None])
def test_model_that_cannot_be_fitted_leaves_its_reason(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    broken(monkeypatch, error)
    panel = panel_with(done / "panel", tmp_path / "panel", on_failure="continue")
    page = tmp_path / "report.html"
    status = train_model("catboost", panel, tmp_path / "model", report=page)
    assert status.state == "failed"
    assert f"The model could not be fitted: {status.reason}" in page.read_text()
    assert ("NaN" if error else "is not finite") in status.reason
    assert pd.read_parquet(tmp_path / "model" / FORECASTS).empty
    assert fit_metrics(tmp_path / "model") == {}
    final = train_model("catboost", panel, tmp_path / "final", fitted=tmp_path / "model")
    assert final == status
    assert read_status(evaluated_model(tmp_path / "final")) == status
    with pytest.raises(ModelError):
        train_model("catboost", done / "panel", tmp_path / "stopped")


def test_page_on_a_fit_tells_its_end_and_what_it_rests_on(done: Path, tmp_path: Path) -> None:
    page = tmp_path / "judged.html"
    train_model("catboost", done / "panel", tmp_path / "evaluated", report=page)
    text = page.read_text()
    ended = convergence(read_card(tmp_path / "evaluated").log)
    assert f"<strong>{ended.verdict.capitalize()}</strong>: {ended.reason}." in text
    assert "CatBoost&#39;s own figure" in text
    assert re.search(r"with child processes; [1-9]\d* sample", text)  # the last is taken at the fit's end
    table = pd.read_parquet(done / "evaluation/by_series.parquet")
    rows = table[(table["model"] == "catboost") & (table["split"] == "test")].to_dict("records")
    shown = {each["id"]: each["mase"] for each in read_payload(text)["explorer"]["series"]}
    assert shown == pytest.approx({row["unique_id"]: row["mase"] for row in rows}, rel=1e-4)


@pytest.mark.parametrize("failing", ["render_training", "Fitted.evaluated"])
def test_page_that_cannot_be_made_costs_the_page_alone(
    done: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failing: str,
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no <font>")

    monkeypatch.setattr(f"kubecast.steps.write_fit.{failing}", fail)
    page = tmp_path / "page.html"
    assert train_model("catboost", done / "panel", tmp_path / "model", report=page).state == "ok"
    assert "RuntimeError: no &lt;font&gt;" in page.read_text()
    assert "no page on train-catboost: RuntimeError: no <font>" in caplog.messages
    assert (tmp_path / "model" / "model.json").exists()
    assert (tmp_path / "model" / FORECASTS).exists()


def test_page_on_the_ensemble_that_cannot_be_made_costs_the_page_alone(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no <font>")

    monkeypatch.setattr("kubecast.steps.stack.render_stacking", fail)
    page, members = tmp_path / "page.html", {"catboost": done / "evaluated"}
    stack_ensemble(done / "panel", members, "", tmp_path / "ensemble", page)
    assert "RuntimeError: no &lt;font&gt;" in page.read_text()
    again, before = (read_recipe(folder / "ensemble") for folder in (tmp_path, done))
    assert again == before


def test_page_on_a_final_fit_is_about_the_repetition(done: Path, tmp_path: Path) -> None:
    page = tmp_path / "final.html"
    train_model("catboost", done / "panel", tmp_path / "final", fitted=done / "evaluated", report=page)
    text = page.read_text()
    assert "<h1>final-catboost</h1>" in text
    assert "<strong>Repeated</strong>: the evaluated fit was repeated on all rows" in text
    assert "The evaluated fit has them" in text


def test_error_that_is_not_the_models_own_ends_the_task(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, OSError("disk"))
    panel = panel_with(done / "panel", tmp_path / "panel", on_failure="continue")
    with pytest.raises(OSError, match="disk"):
        train_model("catboost", panel, tmp_path / "m")


def test_final_fit_that_is_not_finite_publishes_the_judged_model(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, None)
    panel = panel_with(done / "panel", tmp_path / "panel", on_failure="continue")
    page = tmp_path / "page.html"
    status = train_model("catboost", panel, tmp_path / "m", fitted=done / "evaluated", report=page)
    assert status.state == "evaluated"
    text = page.read_text()
    assert REFUSED in text
    assert REPEATED not in text
    assert "final fit refused" in status.reason
    assert read_card(tmp_path / "m") == read_card(done / "evaluated")
    judged = pd.read_parquet(done / "evaluated" / FORECASTS)
    expected = judged.loc[judged["split"] == PRODUCTION, "catboost"].to_numpy()
    np.testing.assert_array_equal(pd.read_parquet(tmp_path / "m" / FORECASTS)["catboost"], expected)


def test_too_few_models_end_the_run_naming_the_missing(done: Path, tmp_path: Path, monkeypatch: Any) -> None:
    broken(monkeypatch, ModelError("no convergence"))
    panel = panel_with(done / "panel", tmp_path / "panel", on_failure="continue")
    train_model("catboost", panel, tmp_path / "m")
    with pytest.raises(ModelError, match="catboost: no convergence"):
        stack_ensemble(panel, {"catboost": tmp_path / "m"}, "", tmp_path / "e")


def test_artifact_of_another_shape_is_an_integrity_error(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text("[]")
    with pytest.raises(IntegrityError, match=r"status\.json"):
        read_status(tmp_path)
    with pytest.raises(IntegrityError, match=r"bundle\.json"):
        Bundle.load(tmp_path)


def test_unknown_kind_is_not_made() -> None:
    with pytest.raises(KeyError):
        make_trainer("prophet", CatBoostSettings())


def test_run_follows_a_level_that_has_shifted(tmp_path: Path) -> None:
    rows = hourly(series=2)
    late = (rows["unique_id"] == "s1") & (rows.groupby("unique_id").cumcount(ascending=False) < 110)
    train(rows.assign(y=rows["y"].where(~late, rows["y"] * 2.5)), tmp_path)
    table = pd.read_parquet(tmp_path / "ensemble" / FORECASTS)
    test = table[table["split"] == "test"]
    for _, own in test.groupby("unique_id"):
        assert own[["catboost", "ensemble", "seasonal_naive_24"]].mean().to_numpy() == pytest.approx(
            own["y"].mean(), rel=0.05
        )
    assert ((test["y"] > test["q0.1"]) & (test["y"] < test["q0.9"])).mean() > 0.7
    production = pd.read_parquet(tmp_path / "final" / FORECASTS).groupby("unique_id")["catboost"].mean()
    assert production.to_numpy() == pytest.approx([73, 2.5 * 192], rel=0.05)  # of these hours of the day


def test_each_step_looks_once_for_changes_of_level(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = shutil.copytree(done / "panel", tmp_path / "panel")
    monkeypatch.setattr(training, "importance_of", lambda *_: [])  # it shuffles the panel: others to look in
    looks = recorded_detections(monkeypatch)
    train_model("catboost", panel, tmp_path / "evaluated", report=tmp_path / "page.html")
    assert len(looks) == len(set(looks)) == 3 * 5  # evaluated and production origins; the end of training
    looks.clear()
    stack_ensemble(panel, {"catboost": tmp_path / "evaluated"}, "", tmp_path / "ensemble")
    assert len(looks) == len(set(looks)) == 3 * 3


@pytest.mark.long
@pytest.mark.parametrize(("late", "most"), [(110, 2.5), (180, 1.2)])  # after the training rows; inside them
@pytest.mark.parametrize("factor", [0.4, 4.0])
def test_a_version_and_its_run_lay_the_same_intervals_where_a_level_has_shifted(
    tmp_path: Path, late: int, most: float, factor: float
) -> None:
    rows = hourly(series=3)
    last = (rows["unique_id"] == "s1") & (rows.groupby("unique_id").cumcount(ascending=False) < late)
    shifted = rows.assign(y=rows["y"].where(~last, rows["y"] * factor))
    done = run(shifted, tmp_path / "run")
    table = pd.read_parquet(done / "forecast.parquet")
    pd.testing.assert_frame_equal(
        bundle(done, "production", tmp_path).forecast(shifted), table, rtol=1e-6, check_dtype=False
    )
    plain = pd.read_parquet(run(rows, tmp_path / "plain") / "forecast.parquet")
    width, usual = (each[each["unique_id"] == "s1"].eval("`q0.9` - `q0.1`").mean() for each in (table, plain))
    assert 0.8 < width / (factor * usual) < most
