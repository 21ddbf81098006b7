"""Charts of a search: its course, which parameters matter, and the errors of the values tried."""

import warnings

import numpy as np
import pandas as pd

from kubecast.reports import charts
from kubecast.reports.charts import Chart
from kubecast.tuning.study import Study


def study_charts(study: Study) -> dict[str, Chart]:
    """The charts of a study, by title; those that its trials are too few for are left out."""
    trials = study.table()
    complete = trials[trials["state"] == "complete"].dropna(subset="error")
    if len(complete) < 2:
        return {}
    errors = [float(error) for error in complete["error"]]
    best = np.minimum.accumulate(errors).tolist()
    history = charts.lines(
        "Error of each trial, and the best so far",
        [int(number) for number in complete["trial"]],
        {"best so far": best, "trial": errors},
        x_label="trial",
        y_label="error",
        zero=False,
        dots=["trial"],
    )
    drawn = {"History": history}
    if importance := _importance(study):
        group = {"name": "importance", "style": "own", "values": list(importance.values())}
        drawn["Importance"] = charts.bars(
            "Share of the errors' variance that each parameter explains",
            list(importance),
            [group],
            x_label="share of the variance",
            percent=True,
        )
    slices = {name: _slice(name, complete) for name in study.search.space}
    return drawn | {f"Slice of {name}": chart for name, chart in slices.items() if chart}


def _importance(study: Study) -> dict[str, float]:
    from optuna.importance import get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of experimental evaluators
        try:
            return dict(get_param_importances(study.optuna))
        except (ValueError, RuntimeError, ZeroDivisionError):  # one trial, or all of the same value
            return {}


def _slice(name: str, trials: pd.DataFrame) -> Chart | None:
    known = trials.dropna(subset=[name]).sort_values(name)
    values = known[name].tolist()
    if not values:
        return None
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    wide = numbers and min(values) > 0 and max(values) / min(values) > 100
    return charts.lines(
        f"Error by {name}",
        values if numbers else charts.distinct([str(value) for value in values]),
        {"error": known["error"].tolist()},
        x_label=name,
        y_label="error",
        x_type=("log" if wide else "linear") if numbers else "point",
        zero=False,
        dots=["error"],
    )
