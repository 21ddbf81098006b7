"""Pages to open: those of a real run, of many series, and of data whose names are hostile."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from kubecast.data.findings import Finding
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel
from kubecast.data.sample import write_sample
from kubecast.evaluation.importance import Importance
from kubecast.models.artifact import Status
from kubecast.models.base import FitLog
from kubecast.reports.training import REPEATED, SHUFFLED, render_training
from kubecast.resources import Usage
from tests.support.batches import batch_forecast
from tests.support.commands import kubecast
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import USED, fitted, render
from tests.support.panels import hourly, small_settings

OF_A_RUN = ("report", "ensemble", "training-catboost", "training-lstm", "tuning-catboost", "score")
_RUN = (
    *("run", "--mode", "tune", "--models", "catboost,lstm", "--preset", "quick"),
    *("--horizon", "48", "--freq", "30min", "--season-length", "48,336"),
)
_SHORTER = {
    "catboost.iterations": "30",
    "lstm.epochs": "2",
    "lstm.windows_per_epoch": "512",
    "pipeline.final_fit": "false",
    "pipeline.tuning.models": "[catboost]",
    "training.optimization.folds": "1",
    "training.optimization.n_trials": "4",
    "training.validation.max_origins": "8",
}
HOSTILE = (
    "<script>alert(1)</script>",
    '"it\'s" & \'that\'" onload="alert(1)',
    "first line\nsecond\r\n\tthird",
    "\u202eمبيعات gnp.exe",  # noqa: RUF001 - from right to left, whatever follows
    "long" * 500,
    '"</script><script>alert(1)</script>',
    "&quot;&amp;lt;b&gt;&#39; \\u003c",
    "🛒 👩‍🔬 店",
)


def run(folder: Path) -> Path:
    """Run the command on the demand sample; the folder of its pages."""
    write_sample(folder / "demand.csv")
    changes = [word for name, value in _SHORTER.items() for word in ("--set", f"{name}={value}")]
    done = kubecast(*_RUN, "--data", str(folder / "demand.csv"), "--output", str(folder / "demand"), *changes)
    assert done.returncode == 0, done.stderr
    output = folder / "demand"
    registry, batches = str(output / "registry"), str(folder / "batches")
    request = str(folder / "demand.csv"), registry, "forecaster@latest", batches, 0, "", ""
    batch_forecast(*request, folder / "batch.parquet", output / "score.html")
    return output


def ahead_of(table: pd.DataFrame) -> pd.DataFrame:
    """Forecasts beyond a table's targets, as a run publishes them."""
    end = table["ds"].max()
    times = pd.date_range(end, periods=6, freq="h")[1:]
    rows = table[["unique_id"]].drop_duplicates().merge(pd.DataFrame({"ds": times}), how="cross")
    middle = 100.0 * rows["unique_id"].str[1:].astype(int)
    quantiles = {f"q{level}": middle * (1 + (level - 0.5) / 20) for level in (0.1, 0.3, 0.5, 0.7, 0.9)}
    return rows.assign(yhat=middle, **quantiles)


def _many_series() -> str:
    findings = [Finding(what="short", series=f"s{number}", detail="x" * 80) for number in range(1000)]
    log = FitLog(stopped="max_iterations", curves={"train": list(np.linspace(1, 0, 5000))})
    table = forecasts(NOISE, series=1000, folds=2, origins=1, horizon=5)
    return render(table, findings=findings, logs={"good": log}, forecast=ahead_of(table))[0]


def _many_series_training() -> str:
    one = hourly(series=1, rows=200)
    many = pd.concat([one.assign(unique_id=f"s{number}") for number in range(1000)])
    panel = build_panel(many, small_settings())
    return render_training("train-many", Status(), fitted(panel), USED, panel)


def _hostile() -> str:
    names = {f"s{at}": name for at, name in enumerate(HOSTILE, 1)}
    return render(
        forecasts(NOISE, series=len(HOSTILE), origins=10),
        rename=names,
        missing={"arima": HOSTILE[0]},
        findings=[Finding(what="left_out", series=name, count=7, detail=name) for name in HOSTILE],
        logs={"good": FitLog(stopped="converged", fallbacks=dict.fromkeys(HOSTILE, HOSTILE[0]))},
        forecast=ahead_of(forecasts(NOISE, series=len(HOSTILE))).replace({"unique_id": names}),
    )[0]


def _hostile_panel() -> Panel:
    names = {f"s{at}": name for at, name in enumerate(HOSTILE)}
    return build_panel(hourly(series=len(HOSTILE)).replace({"unique_id": names}), small_settings())


def _hostile_training() -> str:
    panel = _hostile_panel()
    inputs = [Importance(feature=name, value=1 / at, spread=0.1) for at, name in enumerate(HOSTILE, 1)]
    fit = fitted(panel, importance=inputs, about_importance=SHUFFLED)
    return render_training("train-hostile", Status(), fit, USED, panel)


def _failed_fit() -> str:
    status = Status(state="failed", reason=" ".join(HOSTILE))
    return render_training("train-failed", status, None, Usage(), _hostile_panel())


def _final_fit() -> str:
    panel = build_panel(hourly(), small_settings())
    fit = fitted(panel, importance=[], about_importance=REPEATED)
    return render_training("final-lstm", Status(state="evaluated", reason="loss is NaN"), fit, USED, panel)


OF_HOSTILE_DATA: dict[str, Callable[[], str]] = {
    "hostile": _hostile,
    "hostile-training": _hostile_training,
    "failed-fit": _failed_fit,
}
DRAWN = OF_HOSTILE_DATA | {
    "many-series": _many_series,
    "many-series-training": _many_series_training,
    "final-fit": _final_fit,
}


def draw(folder: Path) -> None:
    """Write the pages that need no run."""
    for name, page in DRAWN.items():
        (folder / f"{name}.html").write_text(page())
