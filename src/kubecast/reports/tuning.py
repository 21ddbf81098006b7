"""The report of a search: its trials, the best of them, and whether that is used."""

from typing import Any

import numpy as np
import pandas as pd

from kubecast.config.base import Settings
from kubecast.reports.page import template
from kubecast.reports.study_charts import study_charts
from kubecast.settings.pipeline import TuningSettings
from kubecast.tuning.storage import URL_VARIABLE
from kubecast.tuning.study import Outcome, Search, Study

SHOWN = 50  # trials in the table, the best first


def render_tuning(
    search: Search, outcome: Outcome, chosen: Settings, tuning: TuningSettings, study: Study | None
) -> str:
    """Render one self-contained page.

    Args:
        search: Its space and its limits.
        outcome: The best trial, and whether it is used.
        chosen: The settings to train with.
        tuning: The tuner.
        study: Gives the trials, if there are any.
    """
    trials = _trials(study)
    shared = tuning.tuner != "katib" and tuning.storage == "database"
    base = search.base.model_dump(mode="json")
    return template("tuning.html").render(
        outcome=outcome,
        space={name: _allowed(parameter) for name, parameter in search.space.items()},
        charts=study_charts(study.optuna) if study else {},
        columns=[*search.space],
        rows=trials.head(SHOWN).replace({np.nan: None}).to_dict("records"),
        total=len(trials),
        settings=[(key, base[key], value) for key, value in chosen.model_dump(mode="json").items()],
        limits=search.optimization,
        workers=search.workers,
        seed=search.seed,
        tuner=tuning.tuner,
        dashboard=f'optuna-dashboard "${URL_VARIABLE}"' if shared else "",
    )


def _trials(study: Study | None) -> pd.DataFrame:
    """The best first; those that did not come to their end, whose errors are of fewer folds, last."""
    if study is None:
        return pd.DataFrame()
    table = study.table()
    return table.assign(partial=table["state"] != "complete").sort_values(["partial", "error", "trial"])


def _allowed(parameter: Any) -> str:
    if parameter.type == "categorical":
        return ", ".join(map(str, parameter.choices))
    step = f", step {parameter.step}" if parameter.step else ""
    return f"{parameter.low} to {parameter.high}{step}{', logarithmic' if parameter.log else ''}"
