"""Self-contained HTML pages for the dashboard and for a laptop."""

from kubecast.reports.page import render_report

__all__ = ["render_report"]
