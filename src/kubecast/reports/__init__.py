"""Self-contained HTML pages for the dashboard and for a laptop."""

from kubecast.reports.embedded import render_embedded
from kubecast.reports.page import Report, render_report

__all__ = ["Report", "render_embedded", "render_report"]
