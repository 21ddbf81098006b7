"""prepare_data: from data to a panel."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from kubecast.data.files import open_data
from kubecast.data.panel import Panel
from kubecast.data.preparation import write_panel
from kubecast.data.roles import with_columns
from kubecast.data.timestamps import parse_time
from kubecast.logs import step
from kubecast.steps.run_settings import RunSettings


@step
def prepare_data(data: str, digest: str, as_of: str, settings: str, panel_dir: Path) -> Panel:
    """Check the data, and write the panel with the run's settings beside it.

    Args:
        data: Path or URL of the data.
        digest: That it must have, from ``resolve_inputs``.
        as_of: Moment after which rows are not seen, from ``resolve_inputs``; empty for none.
        settings: JSON of the ``RunSettings``.
        panel_dir: Gets the panel.

    Returns:
        The panel without its rows.
    """
    run = RunSettings.parse(settings)
    moment: pd.Timestamp | None = parse_time(as_of, "as_of") if as_of else None
    with TemporaryDirectory() as folder:
        source = open_data(data, run.training.data, digest, Path(folder))
        panel = write_panel(source.blocks, run.training, panel_dir, digest=source.digest, as_of=moment)
    run = run.model_copy(update={"training": with_columns(run.training, panel.spec.columns)})  # as understood
    run.write(panel_dir)
    return panel


def describe(panel: Panel) -> str:
    """Write the data report as Markdown."""
    spec, report = panel.spec, panel.report
    lines = [
        f"**{report.series} series, {report.rows} rows**, every {spec.frequency}, horizon {spec.horizon},"
        f" season lengths {', '.join(map(str, spec.season_lengths))}",
        "",
        "| split | origins | first | last |",
        "|---|---|---|---|",
    ]
    for split in ("validation", "test"):
        cutoffs = panel.origins.loc[panel.origins["split"] == split, "cutoff"]
        if cutoffs.empty:
            lines.append(f"| {split} | none | | |")
            continue
        lines.append(f"| {split} | {len(cutoffs)} | {cutoffs.min()} | {cutoffs.max()} |")
    lines += ["", "| finding | series | rows | detail |", "|---|---|---|---|"]
    lines += [
        f"| {finding.what} | {_cell(finding.series)} | {finding.count or ''} | {_cell(finding.detail)} |"
        for finding in report.findings[:200]
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.translate({ord("|"): "\\|", ord("<"): "&lt;", ord("\n"): " "})
