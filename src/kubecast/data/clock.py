"""Whose clock times are read on, and forecasts come out on.

It is that of ``training.data.timezone``, even UTC, or of the place that the model was trained on; else the
data's own.
"""

import pandas as pd

from kubecast.config.training import Columns, TrainingSettings
from kubecast.data.panel import PanelSpec
from kubecast.data.periods import is_coarse
from kubecast.errors import DataError

_NO_PLACES = {"UTC", "UCT", "GMT", "GMT0", "Greenwich", "Universal", "Zulu"}


def on_training_clock(settings: TrainingSettings, spec: PanelSpec) -> TrainingSettings:
    """Read times on the clock of the training data, if it is one of a place and no setting names another."""
    zone = spec.timezone if _is_place(spec.timezone) else spec.day_zone
    if settings.data.timezone is not None or zone is None:
        return settings
    return settings.model_copy(update={"data": settings.data.model_copy(update={"timezone": zone})})


def _is_place(zone: str | None) -> bool:
    """Whether clocks of people run in a zone: neither UTC nor an offset, which machines write."""
    return zone is not None and zone[:1].isalpha() and zone not in _NO_PLACES and not zone.startswith("Etc/")


def check_clock(zone: str | None, spec: PanelSpec, what: str) -> None:
    """Refuse times of which nothing says how they lie to those of the training data.

    Args:
        zone: Of the times; None where they have none.
        spec: Of the training data.
        what: The times are in, for the message.

    Raises:
        DataError: One of the two has a zone and the other not.
    """
    if is_coarse(spec.frequency) or (zone is None) == (spec.timezone is None):
        return
    if zone is None:
        raise DataError(
            f"{what} has times without a zone, and the model was trained on times of {spec.timezone};"
            " allowed: times with an offset, or of a column with a zone"
        )
    raise DataError(
        f"{what} has times of {zone}, and the model was trained on times without a zone; allowed: times"
        " without one, on the clock of the training data, or a model trained with training.data.timezone"
    )


def as_given(table: pd.DataFrame, spec: PanelSpec) -> pd.DataFrame:
    """Write a table of forecasts on the clock of its panel, and under the column names of the training data.

    Args:
        table: ``unique_id``, ``ds``, perhaps ``y`` and ``cutoff``; times as in a panel.
        spec: Of that panel.

    Returns:
        The table with those names, but where it has such a column already. Times are of the panel's zone (a
        column with a zone), and without one where it has none, as where its steps are days or longer.
    """
    zone, names = spec.timezone, {own: name for own, name in spec.columns.items() if name not in table}
    times = [name for name in ("cutoff", "ds") if zone and name in table.columns]
    zoned = {name: table[name].dt.tz_localize("UTC").dt.tz_convert(zone) for name in times}
    return table.assign(**zoned).rename(columns=names)


def as_kubecast(table: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Undo ``as_given``: the names ``unique_id``, ``ds`` and ``y``, and times in UTC without a zone."""
    own = {name: key for key, name in columns.model_dump().items() if key not in table}
    table = table.rename(columns=own)
    zoned = table.select_dtypes("datetimetz")
    return table.assign(
        **{str(name): zoned[name].dt.tz_convert("UTC").dt.tz_localize(None) for name in zoned}
    )


def wall_clock(times: "pd.Series[pd.Timestamp] | pd.DatetimeIndex", zone: str | None) -> pd.DatetimeIndex:
    """Times of a panel on the clock of its data, without a zone.

    Args:
        times: In UTC where the data has a zone, as a panel has them.
        zone: ``PanelSpec.timezone``.
    """
    index = pd.DatetimeIndex(times)
    return index if zone is None else index.tz_localize("UTC").tz_convert(zone).tz_localize(None)
