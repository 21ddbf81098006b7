"""Example forecasts, as leaderboards before version 4 had them of three series."""

from datetime import datetime

from pydantic import Field

from kubecast.documents import Document


class ExampleSeries(Document):
    """A series' forecast from its last test origin, with the actuals around it.

    Attributes:
        title: What the series stands for: ``best``, ``median``, ``worst`` or ``series``.
        unique_id: Of the series.
        mase: Of the model over the test split of the series.
        cutoff: The origin.
        model: Name of the model that forecasts.
        history_ds: Times up to the origin, at most three horizons.
        history: Their targets; None where unobserved.
        ds: Times after the origin, shape (horizon,).
        actual: Their targets, as above.
        forecast: Shape (horizon,).
        bands: Lower and upper bound by nominal coverage in percent, widest first; at most two.
    """

    title: str
    unique_id: str
    mase: float | None
    cutoff: datetime
    model: str
    history_ds: list[datetime]
    history: list[float | None]
    ds: list[datetime]
    actual: list[float | None]
    forecast: list[float]
    bands: dict[str, tuple[list[float], list[float]]] = Field(default={})
