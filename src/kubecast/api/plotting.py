"""The fan chart of a notebook: actuals, the last evaluated forecast, and the forecast beyond the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kubecast.config.validation import nearest
from kubecast.data.clock import as_given
from kubecast.data.history import history_panel
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.series_names import match_names
from kubecast.ensemble.bundle import Bundle
from kubecast.errors import InputError
from kubecast.scoring.metrics import intervals, quantile_column

HISTORY = 5  # horizons of actuals, the evaluated one among them
MOST = 12  # series in one figure
LABEL = 40  # characters of a series' name

_INK, _FORECAST, _EVALUATED = "#222222", "#3d7ff0", "#8490a5"
_STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "font.size": 9,
    "date.converter": "concise",
    "text.parse_math": False,  # a name from the data is no formula
}


class Chart(Figure):
    """A figure that a notebook shows, without pyplot, which keeps state and looks for a screen."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


@dataclass(frozen=True)
class Fan:
    """One series as it is drawn; times on the data's clock, under the names ``ds`` and so on.

    Attributes:
        unique_id: Of the series.
        actuals: ``ds``, ``y``: NaN where unobserved.
        evaluated: ``ds``, ``yhat`` and the quantiles, from an origin one horizon before the end of the data;
            no rows where the evaluated ensemble was fitted to or chosen on rows after it.
        forecast: The same beyond the data; no rows where known-future covariates end with it.
    """

    unique_id: str
    actuals: pd.DataFrame
    evaluated: pd.DataFrame
    forecast: pd.DataFrame


def fans(
    evaluated: Bundle,
    production: Bundle,
    rows: pd.DataFrame,
    series: Sequence[str],
    future: pd.DataFrame | None,
) -> list[Fan]:
    """Forecast some series from the end of the rows, and from one horizon before it.

    Args:
        evaluated: The ensemble as it was evaluated.
        production: The ensemble for production.
        rows: As a data file holds them.
        series: Their names; empty: the first few.
        future: Known-future covariates over the horizon, where there are any.

    Raises:
        InputError: There is no such series, or they are too many.
    """
    contract = production.contract
    known = contract.fitted_through
    panel = history_panel(rows, contract.training, contract.spec, future=future, known=known)
    names = _names(series, [*panel.ids])
    ends = panel.ends.frame[panel.ends.frame["unique_id"].isin(names)].reset_index(drop=True)
    origins = _origins(panel, ends, evaluated)
    tables = {
        "evaluated": _predicted(evaluated, panel, origins),
        "forecast": _predicted(production, panel, ends[panel.has_future_covariates(Cutoffs(ends))]),
        "actuals": panel.history(Cutoffs(ends), HISTORY * contract.spec.horizon),
    }
    tables["actuals"]["y"] = tables["actuals"]["y"].where(tables["actuals"]["observed"].astype(bool))
    given = {name: _on_given_clock(table, panel) for name, table in tables.items()}
    return [
        Fan(name, **{kind: table[table["unique_id"] == name] for kind, table in given.items()})
        for name in names
    ]


def draw(fans: Sequence[Fan], target: str) -> Chart:
    """Draw each series on axes of its own, one above the other.

    Args:
        fans: The series.
        target: Name of the target in the data.
    """
    with rc_context(_STYLE):
        figure = Chart(figsize=(9, 0.6 + 2.6 * len(fans)), layout="constrained")
        figure.set_facecolor("white")
        rows: Any = figure.subplots(len(fans), squeeze=False)
        for axes, fan in zip(rows[:, 0], fans, strict=True):
            _draw_fan(axes, fan, target)
    return figure


def _names(series: Sequence[str], known: Sequence[str]) -> list[str]:
    if len(series) > MOST:
        raise InputError(f"plot: found {len(series)} series; allowed: at most {MOST} in one figure")
    names = match_names([str(name) for name in series], known)
    for name in names.values():
        if name not in known:
            raise InputError(f"plot: found no series {name!r} in the data; {_nearest(name, known)}")
    return list(dict.fromkeys(names.values())) or list(known[:4])


def _nearest(name: str, known: Sequence[str]) -> str:
    remedy = nearest(name, known)
    if len(known) <= MOST or remedy.startswith("did you mean"):
        return remedy
    return f"allowed: one of {len(known)}, {', '.join(sorted(known)[:3])} and so on"


def _origins(panel: Panel, ends: pd.DataFrame, bundle: Bundle) -> pd.DataFrame:
    """One horizon before the end of each series, where nothing in the ensemble has seen a later row."""
    horizon = bundle.contract.spec.horizon
    last = panel.row_index(Cutoffs(ends))
    long = panel.history_lengths(last) > horizon
    origins = Cutoffs.from_frame(panel.frame.iloc[last[long] - horizon], "ds").frame
    unseen = origins["cutoff"] >= bundle.contract.fitted_through_of(origins["unique_id"])
    return origins[unseen.to_numpy()].reset_index(drop=True)


def _predicted(bundle: Bundle, panel: Panel, origins: pd.DataFrame) -> pd.DataFrame:
    if origins.empty:
        return pd.DataFrame({"unique_id": [], "ds": pd.to_datetime([]), "yhat": []})
    table = bundle.ensemble.predict(panel, Cutoffs(origins.reset_index(drop=True)))
    return table.drop(columns="cutoff")


def _on_given_clock(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """The data's clock, but kubecast's names."""
    own = panel.spec.model_copy(update={"columns": {}})
    return as_given(table, own)


def _draw_fan(axes: Axes, fan: Fan, target: str) -> None:
    axes.plot(fan.actuals["ds"], fan.actuals["y"], color=_INK, lw=1.2, label="actual")
    _draw_forecast(axes, fan.evaluated, _EVALUATED, "evaluated forecast", ls="--")
    _draw_forecast(axes, fan.forecast, _FORECAST, "forecast")
    axes.axvline(fan.actuals["ds"].iloc[-1], color=_INK, lw=1, ls=":")
    axes.set(ylabel=target)
    axes.set_title(_shortened(fan.unique_id), loc="right", fontsize=9)
    axes.legend(ncols=5, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def _shortened(name: str) -> str:
    """So long that it leaves room for the legend."""
    return name if len(name) <= LABEL else f"{name[: LABEL - 1]}…"


def _draw_forecast(axes: Axes, table: pd.DataFrame, colour: str, label: str, **line: Any) -> None:
    if table.empty:
        return
    levels = [float(name[1:]) for name in table.columns if name.startswith("q0.")]
    for level, bounds in list(intervals(levels).items())[:1]:
        low, high = (np.asarray(table[quantile_column(bound)], dtype=np.float64) for bound in bounds)
        axes.fill_between(table["ds"], low, high, color=colour, alpha=0.22, lw=0, label=f"{label}, {level} %")
    axes.plot(table["ds"], table["yhat"], color=colour, lw=2, label=label, **line)
