"""Checks the data, and writes the panel with the run's settings."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
def prepare_data(
    data: str,
    digest: str,
    as_of: str,
    settings: str,
    panel: dsl.Output[dsl.Dataset],
    data_report: dsl.Output[dsl.Markdown],
) -> None:
    """Load, check, repair and split the data.

    Args:
        data: Path or URL of the data.
        digest: That it must have, from ``resolve_inputs``.
        as_of: Moment after which rows are not seen; empty for none.
        settings: From resolve_inputs.
        panel: The panel, its cut-offs and origins, and the run's settings, which later tasks read there.
        data_report: Repairs, and rows and series that were left out.
    """
    from pathlib import Path

    from kubecast.steps.prepare import describe, prepare_data

    prepared = prepare_data(data, digest, as_of, settings, Path(panel.path))
    Path(data_report.path).write_text(describe(prepared))
