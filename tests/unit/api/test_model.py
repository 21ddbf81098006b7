import json
from pathlib import Path

import pandas as pd
import pytest

import kubecast
from kubecast import Model
from kubecast.api.plotting import HISTORY, Fan, fans
from kubecast.errors import ConfigError, InputError, IntegrityError, NotFound
from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.registry import Registry
from tests.support.bundles import MakeBundle

pytestmark = pytest.mark.slow

HORIZON = 6


@pytest.fixture(scope="module")
def saved(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(saved: Path) -> Model:
    return kubecast.load(saved)


def test_leaderboard_is_of_the_test_split_best_first(model: Model) -> None:
    board = model.leaderboard
    assert [*board.columns] == ["model", "mase", "skill", "mse", "mae", "r2", "weight"]
    assert {*board["model"]} >= {"catboost", "seasonal_naive_24", "ensemble"}
    assert board["mase"].is_monotonic_increasing
    assert board["weight"].sum() == pytest.approx(1)


def test_metrics_are_all_of_them_by_whatever_is_named(model: Model) -> None:
    assert {"wql", "rmsse", "coverage_80"} <= {*model.metrics().columns}
    assert [*model.metrics(by="lead_time")["lead_time"].unique()] == [*range(1, HORIZON + 1)]
    assert {*model.metrics("validation", by="series")["unique_id"]} == {"s0", "s1"}
    with pytest.raises(InputError, match=r"^metrics: by 'stores'; allowed: model, lead_time, series, fold"):
        model.metrics(by="stores")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^metrics: split 'train'; allowed: validation, test$"):
        model.metrics("train")  # type: ignore[arg-type]


def test_forecast_begins_after_the_last_row_of_each_series(model: Model, rows: pd.DataFrame) -> None:
    forecast = model.forecast(rows)
    assert forecast.groupby("store").size().to_dict() == {"s0": HORIZON, "s1": HORIZON}
    assert forecast["hour"].min() == rows["hour"].max() + pd.Timedelta(hours=1)
    assert (forecast["q0.1"] < forecast["q0.9"]).all()
    assert model.forecast().equals(forecast)
    fewer = rows[rows["hour"] <= rows["hour"].max() - pd.Timedelta(hours=3)]
    assert model.forecast(fewer, horizon=2)["hour"].min() == fewer["hour"].max() + pd.Timedelta(hours=1)


def test_a_file_in_place_of_a_frame_is_forecast_alike(
    model: Model, rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows.to_parquet(tmp_path / "rows.parquet")
    assert model.forecast(tmp_path / "rows.parquet").equals(model.forecast(rows))


def test_backtest_has_one_origin_a_horizon(model: Model, rows: pd.DataFrame) -> None:
    table = model.backtest(rows)
    assert [*table.columns[:4]] == ["store", "cutoff", "hour", "sales"]
    origins = table.loc[table["store"] == "s0", "cutoff"].drop_duplicates()
    assert (origins.diff().dropna() == pd.Timedelta(hours=HORIZON)).all()
    later = model.backtest(rows, stride=1, start="2024-01-17T01:00")
    assert later["cutoff"].drop_duplicates().tolist() == [
        *pd.date_range("2024-01-17T01:00", "2024-01-17T14:00", freq="h")
    ]


def test_explain_weighs_members_and_inputs(model: Model, loaded: Model, rows: pd.DataFrame) -> None:
    table = model.explain()
    members = table[table["what"] == "member"]
    assert {*members["name"]} == {"catboost", "seasonal_naive_24"}
    assert members["weight"].sum() == pytest.approx(1)
    assert table.loc[table["what"] == "input", "name"].iloc[0] == "target, newest season"
    pd.testing.assert_frame_equal(loaded.explain(rows), table)


def drawn(model: Model, rows: pd.DataFrame, *series: str) -> list[Fan]:
    return fans(model._evaluated, model._production, rows, series, None)


def test_plot_is_a_picture_of_what_was_and_what_comes(model: Model, rows: pd.DataFrame) -> None:
    chart = model.plot("s1")
    assert chart._repr_png_().startswith(b"\x89PNG")
    (axes,) = chart.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0] == "actual"
    assert {"forecast", "forecast, 80 %", "evaluated forecast"} <= {*labels}
    assert (axes.get_ylabel(), axes.get_title("right")) == ("sales", "s1")
    (fan,) = drawn(model, rows, "s1")
    own = rows[rows["store"] == "s1"]
    assert fan.actuals["y"].tolist() == own["sales"].tolist()[-HISTORY * HORIZON :]
    assert fan.evaluated["ds"].tolist() == own["hour"].tolist()[-HORIZON:]
    forecast = model.forecast(rows)
    assert fan.forecast["yhat"].tolist() == forecast.loc[forecast["store"] == "s1", "yhat"].tolist()


def test_evaluated_forecast_of_a_plot_sees_nothing_after_its_origin(model: Model, rows: pd.DataFrame) -> None:
    later = rows.groupby("store").cumcount(ascending=False) < HORIZON
    altered = rows.assign(sales=rows["sales"].where(~later, 1e4))
    for fan, other in zip(drawn(model, rows), drawn(model, altered), strict=True):
        assert other.evaluated.equals(fan.evaluated)
        assert not other.forecast.equals(fan.forecast)


def test_a_plot_leaves_out_what_the_evaluated_ensemble_was_chosen_on(
    model: Model, rows: pd.DataFrame
) -> None:
    seen = pd.Timestamp(max(model._evaluated.contract.fitted_through.values()))
    (fan,) = drawn(model, rows[rows["hour"] <= seen], "s0")
    assert (len(fan.evaluated), len(fan.forecast)) == (0, HORIZON)
    labels = [
        text.get_text()
        for text in model.plot("s0", rows[rows["hour"] <= seen]).axes[0].get_legend().get_texts()
    ]
    assert labels == ["actual", "forecast, 80 %", "forecast"]


def test_a_plot_is_on_the_clock_of_the_data(model: Model, rows: pd.DataFrame) -> None:
    gap = rows.assign(sales=rows["sales"].where(rows.index != len(rows) - 3))
    (fan,) = drawn(model, gap, "s1")
    assert fan.actuals["y"].isna().sum() == 1
    assert fan.actuals["ds"].iloc[-1] == rows["hour"].iloc[-1]


def test_series_that_cannot_be_plotted_are_named(model: Model, loaded: Model) -> None:
    with pytest.raises(InputError, match=r"^plot: found no series 's2' in the data; did you mean s1\?$"):
        model.plot("s2")
    with pytest.raises(InputError, match=r"^plot: found 13 series; allowed: at most 12 in one figure$"):
        model.plot(["s1"] * 13)
    with pytest.raises(
        InputError, match=r"^plot: the model was loaded and holds no data; allowed: plot\(df=…\)$"
    ):
        loaded.plot("s1")


def test_it_shows_itself_short_and_in_html(model: Model) -> None:
    assert repr(model).startswith("<kubecast.Model forecaster: 2 series every h, horizon 6; MASE 0.")
    assert len(repr(model)) < 200
    assert model.report().startswith("<!DOCTYPE html>")
    html = model._repr_html_()
    assert 'sandbox="allow-scripts"' in html
    assert "&lt;!DOCTYPE html&gt;" in html


def test_a_saved_model_is_the_same_model(
    model: Model, loaded: Model, saved: Path, rows: pd.DataFrame
) -> None:
    assert loaded.forecast(rows).equals(model.forecast(rows))
    assert loaded.leaderboard.equals(model.leaderboard)
    assert loaded.report() == model.report()
    assert repr(loaded) == repr(model)
    assert model.save(saved) == loaded.save(saved)  # kept once


def test_a_saved_file_that_was_altered_is_not_loaded(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    (file,) = tmp_path.glob("m/forecaster/versions/*/production/bundle.json")
    file.write_text(file.read_text().replace('"horizon": 6', '"horizon": 7'))
    with pytest.raises(IntegrityError, match=r"production/bundle\.json: "):
        kubecast.load(tmp_path / "m")


def test_a_model_is_saved_in_a_bucket(model: Model, s3_url: str, rows: pd.DataFrame) -> None:
    reference = model.save(s3_url)
    assert kubecast.load(s3_url, reference).forecast(rows).equals(model.forecast(rows))


def test_what_is_no_model_is_not_loaded(loaded: Model, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=rf"^load {tmp_path}: found no model; allowed: where model\.save"):
        kubecast.load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file; allowed: a folder"):
        kubecast.load(tmp_path / "file")
    for name in ("a", "b"):
        loaded.publish(tmp_path / "two", name)
    with pytest.raises(InputError, match=r"found a, b; allowed: load\(location, 'a'\)$"):
        kubecast.load(tmp_path / "two")
    assert kubecast.load(tmp_path / "two", "a@champion").name == "a"
    with pytest.raises(NotFound, match="no alias a@staging"):
        kubecast.load(tmp_path / "two", "a@staging")


def test_a_fit_is_published_once_and_compared_with_the_champion(model: Model, tmp_path: Path) -> None:
    store = Registry.open(str(tmp_path))
    first = model.publish(tmp_path)
    assert model.publish(tmp_path) == first
    assert store.resolve("forecaster").aliases == ("champion",)
    assert model._run
    other = model._run._replace(inputs_digest="0" * 64).publish(str(tmp_path), "forecaster")
    decision = decision_of(store, other)
    assert (decision["champion"], decision["promote"]) == (first.partition("@")[2], True)
    assert decision["comparison"]["gain"] == 0
    assert f"forecaster@{store.aliases('forecaster')['champion']}" == other


def test_a_loaded_model_takes_no_place_that_it_was_not_compared_for(
    loaded: Model, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    store = Registry.open(str(tmp_path))
    own = loaded.publish(tmp_path, "own")
    assert store.resolve(own).aliases == ("champion",)
    store.publish("forecaster", make_bundle(), {})
    champion = store.promote("forecaster").id
    reference = loaded.publish(tmp_path)
    assert store.aliases("forecaster") == {"champion": champion}
    assert store.resolve("forecaster@latest").id == reference.partition("@")[2]


def decision_of(store: Registry, reference: str) -> dict[str, object]:
    document = json.loads(store.read_file(store.resolve(reference), LEADERBOARD))
    decision: dict[str, object] = Evaluation.model_validate(document).decision.model_dump(mode="json")
    return decision
