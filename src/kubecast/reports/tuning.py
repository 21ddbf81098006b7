"""The report of a search: its trials, the best of them, and whether that is used."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from kubecast.config.base import Settings
from kubecast.evaluation.verdict import Verdict
from kubecast.evaluation.words import percent
from kubecast.reports.html import figure, render
from kubecast.reports.study_charts import study_charts
from kubecast.settings.pipeline import TuningSettings
from kubecast.tuning.storage import URL_VARIABLE
from kubecast.tuning.study import Outcome, Search, Study

FEW = 20  # trials, of fewer of which charts say little
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
    settings = [(key, base[key], value) for key, value in chosen.model_dump(mode="json").items()]
    drawn = study_charts(study) if study else {}
    return render(
        "tuning.html",
        drawn,
        verdict=_verdict(outcome),
        tiles=_tiles(outcome),
        outcome=outcome,
        space={name: _allowed(parameter) for name, parameter in search.space.items()},
        columns=[*search.space],
        rows=trials.head(SHOWN).replace({np.nan: None}).to_dict("records"),
        total=len(trials),
        changed=[(key, _text(old), _text(new)) for key, old, new in settings if old != new],
        kept=[(key, _text(old)) for key, old, new in settings if old == new],
        few=len(trials) < FEW,
        limits=search.optimization,
        workers=search.workers,
        seed=search.seed,
        tuner=tuning.tuner,
        dashboard=f'optuna-dashboard "${URL_VARIABLE}"' if shared else "",
    )


def _verdict(outcome: Outcome) -> Verdict:
    """The error before and after, with the same new seeds, and whether the best trial is used."""
    used = "the best trial is used" if outcome.accepted else "the settings stay as they were"
    tone: Literal["good", "unsure"] = "good" if outcome.accepted else "unsure"
    if outcome.base is None or outcome.again is None or outcome.base <= 0:
        return Verdict(title=f"{used[0].upper()}{used[1:]}", reason=f"{outcome.reason}.", tone=tone)
    change = percent(outcome.again / outcome.base - 1, 0)
    title = f"{outcome.base:.3g} \u2192 {outcome.again:.3g}, {change}: {used}"
    return Verdict(title=title, reason=f"{outcome.reason}.", tone=tone)


def _tiles(outcome: Outcome) -> list[dict[str, str]]:
    states = ", ".join(f"{number} {state}" for state, number in outcome.trials.items())
    return [
        {"label": "Base, new seeds", "value": figure(outcome.base), "about": "the settings of the files"},
        {"label": "Best trial, new seeds", "value": figure(outcome.again), "about": "as it would be used"},
        {"label": "Best trial, as searched", "value": figure(outcome.best), "about": "chosen for being low"},
        {
            "label": "Trials",
            "value": f"{sum(outcome.trials.values())}",
            "about": states + (f", {outcome.epochs:,} epochs" if outcome.epochs else ""),
        },
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float):
        return "none" if value is None else str(value)
    return f"{value:.3g}"


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
