"""The report of the ensemble: the weights of its members, and what each adds."""

from collections.abc import Mapping

from kubecast.ensemble.summary import EnsembleSummary
from kubecast.reports.charts import member_chart
from kubecast.reports.html import render


def render_stacking(ensemble: EnsembleSummary, missing: Mapping[str, str]) -> str:
    """Render one self-contained page.

    Args:
        ensemble: Its members and their weights.
        missing: Reason by configured model that failed.
    """
    folds = sorted({fold for member in ensemble.members for fold in member.by_fold})
    drawn = {"members": member_chart(ensemble)}
    return render("stacking.html", drawn, summary=ensemble, missing=missing, folds=folds)
