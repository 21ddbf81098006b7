"""Splits, origins and minimum lengths that follow from the settings and the data."""

from typing import Any

from kubecast.config.training import TrainingSettings
from kubecast.data.files import read_data
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel, required_horizon
from kubecast.data.splits import smallest_lengths


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
    file = read_data(location, training.data)
    panel = build_panel(file.rows, training, digest=file.digest)
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
        "median_length": splits.length,
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
