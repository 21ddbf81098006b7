"""Optuna's own plots of a study, in the page's ink."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from kubecast.reports.drawing import STYLE, restyle, to_svg

if TYPE_CHECKING:
    from optuna import Study


def study_charts(study: "Study") -> dict[str, Markup]:
    """Optuna's own plots of a study, by title; those that its trials are too few for are left out."""
    from matplotlib import pyplot, rc_context
    from optuna.visualization import matplotlib as plots

    drawn = {}
    pyplot.switch_backend("agg")
    for title, draw in (
        ("History", plots.plot_optimization_history),
        ("Importance", plots.plot_param_importances),
        ("Parallel coordinates", plots.plot_parallel_coordinate),
        ("Slices", plots.plot_slice),
    ):
        with rc_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental plots, and those that draw nothing
            try:
                axes: Any = draw(study)
                figure = np.ravel(axes)[0].figure
            except (ValueError, RuntimeError, ZeroDivisionError):  # one trial, or all of the same value
                continue
            restyle(figure)
            with rc_context({**STYLE, "savefig.bbox": "tight"}):
                name = title.lower().replace(" ", "-")
                drawn[title] = to_svg(figure, name, f"Optuna's plot: {title}; the table has the trials")
            pyplot.close(figure)
    return drawn
