"""What follows from the settings and the data: splits, origins, lengths; columns, frequency and seasons."""

from typing import Any

import numpy as np

from kubecast.config.training import Columns, TrainingSettings
from kubecast.data.files import DataFile, read_data
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel, required_horizon
from kubecast.data.roles import all_names
from kubecast.data.splits import smallest_lengths
from kubecast.errors import ConfigError

NO_SEASON = 1
"""The season length of a panel that has none."""


def check_settings(training: TrainingSettings) -> dict[str, Any]:
    """The ladder of splits: the rows that each needs of the median series, as far as the settings show."""
    horizon = required_horizon(training)
    season = (training.season_lengths or [1])[0]
    shortest = smallest_lengths(horizon, season, training.data, training.validation)
    return {
        "horizon": horizon,
        "season_lengths": training.season_lengths or "from the data's frequency",
        **{f"median_series_for_{rung}": rows for rung, rows in shortest.items()},
    }


def check_data(location: str, training: TrainingSettings) -> dict[str, Any]:
    """The splits and origins that a run on this file would have, and the findings about its data."""
    return _facts(_panel(read_data(location, training.data), training))


def settings_of_data(location: str, training: TrainingSettings) -> tuple[TrainingSettings, dict[str, Any]]:
    """The settings with what the data says, and that with the facts of ``check_data``.

    Columns and frequency are those that a run would find. Season lengths go on following from the frequency,
    since a longer history shows more of them. A horizon that is not set becomes the shortest season.

    Args:
        location: Of the data.
        training: What it sets is kept.

    Raises:
        DataError: The data cannot be read with the columns that the settings name, or breaks the contract.
        ConfigError: The settings do not fit the data, or no horizon follows from it.
    """
    file = read_data(location, training.data)
    training = training.model_copy(update={"horizon": training.horizon or _one_season(file, training)})
    panel = _panel(file, training)
    columns = panel.spec.columns
    data = training.data.model_copy(update={"columns": Columns.model_validate(columns)})
    names, covariates = all_names(file.rows), training.data.covariates
    read = {*columns.values(), *covariates.future, *covariates.past, *covariates.static}
    found = {
        "columns": {role: name for role, name in columns.items() if name in names},
        "not_read": [name for name in names if name not in read],
    }
    known = {"frequency": panel.spec.frequency, "data": data}
    return training.model_copy(update=known), found | _facts(panel)


def _one_season(file: DataFile, training: TrainingSettings) -> int:
    season = _panel(file, training.model_copy(update={"horizon": 1})).spec.season_lengths[0]
    if season == NO_SEASON:
        raise ConfigError(
            "the data shows no season, whose length a horizon could have; allowed: --horizon STEPS"
        )
    return season


def _panel(file: DataFile, training: TrainingSettings) -> Panel:
    return build_panel(file.rows, training, digest=file.digest)


def _facts(panel: Panel) -> dict[str, Any]:
    spec = panel.spec
    splits = spec.splits
    return {
        "series": panel.report.series,
        "rows": panel.report.rows,
        "frequency": spec.frequency,
        "horizon": spec.horizon,
        "season_lengths": spec.season_lengths,
        "align": spec.align,
        "split": splits.rung,
        "median_length": int(np.median(np.diff(panel.indptr))),
        "split_length": splits.length,
        "train_steps": splits.train,
        "validation_steps": splits.validation,
        "test_steps": splits.test,
        "shortest_training_split": splits.minimum,
        **_origins(panel),
        "fallback_series": int((panel.series["route"] == "fallback").sum()),
        "findings": [[f.what, f.series, f.count, f.detail] for f in panel.report.findings],
    }


def _origins(panel: Panel) -> dict[str, Any]:
    origins: dict[str, Any] = {}
    for split in ("validation", "test"):
        cutoffs = panel.origins.loc[panel.origins["split"] == split, "cutoff"]
        origins[f"{split}_origins"] = len(cutoffs)
        if len(cutoffs):
            origins[f"{split}_origins_from"] = str(cutoffs.min())
            origins[f"{split}_origins_to"] = str(cutoffs.max())
    return origins
