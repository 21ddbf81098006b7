"""Which rows a run sees: those of its schedule's time, of an explicit one, or all."""

import logging

import pytest

from kubecast.steps.schedule_time import SCHEDULED, resolve_as_of

BY_HAND = "2026-11-29T02:00:17Z"  # Kubeflow Pipelines tells a run by hand when it was made
DUE = "2026-11-29T02:00:00Z"


@pytest.mark.parametrize(
    ("as_of", "scheduled", "moment"),
    [
        (SCHEDULED, DUE, DUE),
        ("", BY_HAND, ""),
        ("2026-11-01", DUE, "2026-11-01"),
        ("2026-11-01", "", "2026-11-01"),
        ("", "", ""),
    ],
    ids=["scheduled", "by hand", "explicit", "explicit on a laptop", "laptop"],
)
def test_as_of(as_of: str, scheduled: str, moment: str, caplog: pytest.LogCaptureFixture) -> None:
    assert resolve_as_of(as_of, scheduled) == moment
    assert not caplog.records


@pytest.mark.parametrize(
    "scheduled", ["", "{{$.pipeline_job_schedule_time_utc}}"], ids=["none", "unreplaced"]
)
def test_cluster_that_tells_no_time_lets_all_rows_be_seen_and_the_log_warns(
    scheduled: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert resolve_as_of(SCHEDULED, scheduled) == ""
    assert "does not give the time that a run is scheduled for; all rows are seen" in caplog.text
