"""Notices: what a webhook gets, and that nothing that goes wrong with it fails a run."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kubecast.environment import WORKFLOW_VARIABLE
from kubecast.errors import ClusterError
from kubecast.evaluation.verdict import verdict_of
from kubecast.steps import notify
from kubecast.steps.notify import URL_VARIABLE, Notice, Row, notify_failure, notify_success
from tests.support.clock import Clock
from tests.support.panels import hourly
from tests.support.runs import run
from tests.support.servers.webhook import Webhook
from tests.support.workflow_nodes import HANDLER, WATCHED, node, watched, workflow

DASHBOARD = "https://kf.example.com"
LINK = f"{DASHBOARD}/#/runs/details/7"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(hourly(), tmp_path_factory.mktemp("notify") / "run") / "evaluation"


@pytest.mark.slow
def test_success_tells_the_leaderboard_that_was_published(webhook: Webhook, evaluation: Path) -> None:
    notify_success(evaluation, "demand@1", "nightly", DASHBOARD, "webhook")
    board = json.loads((evaluation / "leaderboard.json").read_text())
    (notice,) = webhook.got
    assert (notice["event"], notice["run"], notice["link"], notice["version"]) == (
        "success",
        "nightly",
        LINK,
        "demand@1",
    )
    assert notice["promoted"] is board["decision"]["promote"]
    assert notice["verdict"] == verdict_of(board).title  # type: ignore[union-attr]
    test = [row for row in board["leaderboard"] if row["split"] == "test"]
    assert notice["leaderboard"] == [{key: row[key] for key in ("model", "mase", "skill")} for row in test]


def test_success_needs_no_table_of_series(webhook: Webhook, evaluation: Path, tmp_path: Path) -> None:
    shutil.copy(evaluation / "leaderboard.json", tmp_path)
    notify_success(tmp_path, "demand@1", "nightly", DASHBOARD, "webhook")
    assert [notice["event"] for notice in webhook.got] == ["success"]


def test_slack_gets_text_with_the_link_and_the_table(webhook: Webhook, evaluation: Path) -> None:
    notify_success(evaluation, "demand@1", "nightly", DASHBOARD, "slack")
    (notice,) = webhook.got
    assert set(notice) == {"text"}
    assert f"<{LINK}|nightly> published demand@1" in notice["text"]
    assert "ensemble" in notice["text"]


def test_failure_tells_the_error_and_the_link(webhook: Webhook) -> None:
    notify_failure("FAILED", "no such bucket", "nightly", DASHBOARD, "webhook")
    notify_failure("CANCELLED", "", "nightly", "", "slack")
    first, second = webhook.got
    assert (first["event"], first["error"], first["link"]) == ("failure", "no such bucket", LINK)
    assert second == {"text": ":x: nightly failed: it ended as CANCELLED"}


def test_run_that_succeeded_has_no_failure_to_tell(webhook: Webhook) -> None:
    notify_failure("SUCCEEDED", "", "nightly", DASHBOARD, "webhook")
    assert webhook.got == []


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The Workflow of the run, to be filled; empty: it cannot be read."""
    found: dict[str, Any] = {}

    def read_workflow(name: str) -> dict[str, Any]:
        if not found:
            raise ClusterError(f"Workflow {name} cannot be read: 403 Forbidden")
        return found

    monkeypatch.setenv(WORKFLOW_VARIABLE, "nightly-retrain-abcde-1-123")
    monkeypatch.setattr(notify, "read_own_workflow", read_workflow)
    return found


def test_success_that_kubeflow_pipelines_calls_running_is_no_failure(
    webhook: Webhook, read: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Its last task was cached, so no launcher has set the state."""
    read.update(workflow(*watched("Succeeded"), HANDLER))
    notify_failure("RUNNING", "", "nightly", DASHBOARD, "webhook")
    assert webhook.got == []
    assert caplog.messages == [
        "the run succeeded, though Kubeflow Pipelines calls it RUNNING: no notice is due"
    ]


@pytest.mark.parametrize("state", ["RUNNING", "FAILED"])
def test_failure_names_the_task_that_failed(webhook: Webhook, read: dict[str, Any], state: str) -> None:
    pod = node(
        f"{WATCHED}(0).final-fit(0).final-lstm(0).executor(0)", "Pod", "Failed", "OOMKilled (exit code 137)"
    )
    read.update(workflow(*watched("Failed"), pod))
    notify_failure(state, "", "nightly", DASHBOARD, "webhook")
    (notice,) = webhook.got
    assert (notice["event"], notice["error"]) == ("failure", "final-lstm: OOMKilled (exit code 137)")


def test_end_that_nothing_tells_is_said_to_be_unknown(webhook: Webhook, read: dict[str, Any]) -> None:
    for style in ("webhook", "slack"):
        notify_failure("RUNNING", "", "nightly", DASHBOARD, style)
    first, second = webhook.got
    assert (first["event"], first["link"]) == ("unknown", LINK)
    assert first["error"] == "Kubeflow Pipelines says RUNNING, and the run's Workflow cannot be read"
    assert second["text"].startswith(f":grey_question: <{LINK}|nightly> has ended, and it is not known how")


def test_failure_that_kubeflow_pipelines_knows_needs_no_workflow(
    webhook: Webhook, read: dict[str, Any]
) -> None:
    notify_failure("FAILED", "", "nightly", DASHBOARD, "webhook")
    assert [(notice["event"], notice["error"]) for notice in webhook.got] == [
        ("failure", "it ended as FAILED")
    ]


def test_run_of_a_schedule_is_called_by_its_workflow_or_its_id(
    webhook: Webhook, read: dict[str, Any], evaluation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify_failure("FAILED", "", "", "", "webhook")
    notify_success(evaluation, "demand@1", "", DASHBOARD, "webhook")
    monkeypatch.delenv(WORKFLOW_VARIABLE)
    notify_failure("FAILED", "", "", "", "webhook")
    assert [notice["run"] for notice in webhook.got] == [
        "nightly-retrain-abcde-1-123",
        "nightly-retrain-abcde-1-123",
        "run 7",
    ]
    assert webhook.got[1]["link"] == LINK


def test_text_from_outside_is_escaped() -> None:
    row = Row(model="<b>", mase=None, skill=0.5)
    notice = Notice(
        event="success",
        run="a&<b>",
        link="",
        version="v",
        verdict="Not promoted",
        reasons=["<!channel>"],
        leaderboard=[row],
    )
    text = notice.text()
    assert "a&amp;&lt;b&gt; published v: Not promoted (&lt;!channel&gt;)" in text
    assert "&lt;b&gt;" in text
    assert "<!channel>" not in text
    assert "<b>" not in text


@pytest.mark.parametrize(
    ("answers", "tries", "expected"),
    [
        ([500, 429, 200], 3, ("INFO", "a notice of failure was sent")),
        ([404], 1, ("WARNING", "no notice was sent: the webhook answers 404")),
        ([302], 1, ("WARNING", "no notice was sent: the webhook answers 302")),
    ],
)
def test_webhook_that_fails_is_asked_again_where_that_can_help(
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answers: list[int],
    tries: int,
    expected: tuple[str, str],
) -> None:
    monkeypatch.setattr(
        notify, "Budget", SimpleNamespace(from_environment=lambda at_most: Clock().budget(60))
    )
    webhook.answers = answers
    notify_failure("FAILED", "e", "r", "", "webhook")
    assert len(webhook.got) == tries
    last = caplog.records[-1]
    assert (last.levelname, last.message) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([503] * 100, r"no notice was sent: the webhook answers 503; tried \d+ times in 60 s"),
        ([0], r"no notice was sent: the webhook does not answer \(TimeoutError\); tried \d+ times in 60 s"),
    ],
)
def test_webhook_that_stays_away_does_not_keep_the_run_for_long(
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answers: list[int],
    expected: str,
) -> None:
    monkeypatch.setattr(notify, "TIMEOUT", 0.1)
    monkeypatch.setattr(
        notify, "Budget", SimpleNamespace(from_environment=lambda at_most: Clock().budget(at_most))
    )
    webhook.answers = answers
    notify_failure("FAILED", "e", "r", "", "webhook")
    assert re.match(expected, caplog.messages[-1])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "holds no URL"),
        ("hooks.example.com/s3cret", "holds no URL"),
        ("file:///s3cret", "holds no URL"),
        ("ftp://example.com/s3cret", "holds no URL"),
        ("http://hooks.example.com/s3cret", "holds an http:// URL; allowed outside the cluster: https://"),
        ("http://[::1/s3cret", "ValueError"),
        ("http://localhost:1/s3cret", "does not answer (ConnectionRefusedError)"),
        ("http://notlocalhost:1/s3cret", "holds an http:// URL"),
        ("http://localhost:1/s3 cret\x00", "InvalidURL"),
    ],
)
def test_url_that_cannot_be_used_is_told_without_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str, expected: str
) -> None:
    monkeypatch.setenv(URL_VARIABLE, url) if "\x00" not in url else monkeypatch.setattr(
        notify.os, "environ", {URL_VARIABLE: url}
    )
    notify_failure("FAILED", "e", "r", "", "webhook")
    printed = caplog.text
    assert expected in printed
    assert "s3" not in printed


def test_evaluation_that_cannot_be_read_fails_nothing(
    webhook: Webhook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notify_success(tmp_path / "evaluation", "demand@1", "nightly", DASHBOARD, "webhook")
    assert caplog.messages == ["no notice was sent: IntegrityError"]
    assert webhook.got == []


@pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "CACHED", "SKIPPED"])
def test_run_that_succeeded_is_no_failure_however_it_is_called(
    state: str, caplog: pytest.LogCaptureFixture
) -> None:
    notify_failure(state, "", "nightly", "", "slack")
    assert caplog.messages == ["the run succeeded: no notice is due"]


def test_proxy_of_the_environment_is_used(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", webhook.url)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv(URL_VARIABLE, "http://hooks.team-a.svc/s3cret")
    notify_failure("FAILED", "e", "nightly", "", "webhook")
    assert [notice["run"] for notice in webhook.got] == ["nightly"]
