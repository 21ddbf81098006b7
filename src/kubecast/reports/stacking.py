"""The report of the ensemble: how its members were weighed, and what each adds."""

from collections.abc import Mapping

from kubecast.ensemble.summary import Weighed
from kubecast.reports.charts import member_chart
from kubecast.reports.page import template


def render_stacking(weighed: Weighed, missing: Mapping[str, str]) -> str:
    """Render one self-contained page.

    Args:
        weighed: The members.
        missing: Reason by configured model that failed.
    """
    blocks = sorted({block for member in weighed.members for block in member.by_block})
    return template("stacking.html").render(
        weighed=weighed, missing=missing, blocks=blocks, chart=member_chart(weighed, "members")
    )
