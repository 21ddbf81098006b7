"""Helpers of tests of preparation: settings for small data, and a panel's findings by kind."""

from kubecast.data.panel import Panel


def findings(panel: Panel) -> dict[str, list[str]]:
    """The series of each kind of finding."""
    table: dict[str, list[str]] = {}
    for finding in panel.report.findings:
        table.setdefault(finding.what, []).append(finding.series)
    return table


def data(**changes: object) -> dict[str, object]:
    """The section ``data`` of settings that accept few rows."""
    return {"min_samples": 1, **changes}
