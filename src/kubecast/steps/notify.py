"""notify_success, notify_failure: one message to a webhook.

A notice never fails a run: what goes wrong is one line of the task's log. The webhook's URL is a secret, so
it comes from the environment and is in no message.
"""

import json
import logging
import os
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import BaseModel

from kubecast.environment import WORKFLOW_VARIABLE
from kubecast.errors import ClusterError, KubecastError, Unavailable
from kubecast.logs import RUN_VARIABLE, step
from kubecast.retrying import PASSING, Budget, retry, spending
from kubecast.workflow import outcome_of, read_own_workflow

URL_VARIABLE = "KUBECAST_NOTICE_URL"
TIMEOUT = 10.0  # seconds of one try
PATIENCE = 60.0  # seconds to try at most: a run does not end before
ROWS = 10  # of the leaderboard
SUCCEEDED = {"SUCCEEDED", "COMPLETE", "CACHED", "SKIPPED"}  # states of several versions of Kubeflow Pipelines
FAILED = {"FAILED", "CANCELED", "CANCELLED", "CANCELING", "ERROR"}
INSIDE = re.compile(r".+\.svc(\.cluster\.local)?|localhost|127\.0\.0\.1")  # hosts that need no TLS

Event = Literal["success", "failure", "unknown"]

_LOG = logging.getLogger(__name__)


class Row(BaseModel):
    """One line of the leaderboard, on the test split; None where undefined."""

    model: str
    mase: float | None
    skill: float | None


class Notice(BaseModel):
    """Message that a webhook gets as JSON.

    Attributes:
        event: End of the run; ``unknown``: it has ended, and it is not known how.
        run: Name of the run, or of its Workflow, or its id.
        link: URL of the run; empty: the dashboard's address is not known.
        version: ``NAME@VERSION`` that was published; empty after a failure.
        promoted: Whether the gate let it become the champion; another run may have been faster.
        verdict: The decision in a few words, as pages have it.
        reasons: Reasons why not.
        leaderboard: Rows of the test split, best first.
        error: Reason why the run failed, or why it is not known how it ended.
    """

    schema_version: Literal[1] = 1
    event: Event
    run: str
    link: str
    version: str = ""
    promoted: bool = False
    verdict: str = ""
    reasons: list[str] = []
    leaderboard: list[Row] = []
    error: str = ""

    def text(self) -> str:
        """The notice in the markup of Slack and of services that are compatible with it."""
        run = f"<{self.link}|{_escaped(self.run)}>" if self.link else _escaped(self.run)
        if self.event == "failure":
            return f":x: {run} failed: {_escaped(self.error)}"
        if self.event == "unknown":
            return f":grey_question: {run} has ended, and it is not known how: {_escaped(self.error)}"
        verdict = self.verdict if self.promoted else f"{self.verdict} ({'; '.join(self.reasons)})"
        rows = [f"{'model':24} {'MASE':>8} {'skill':>8}"]
        rows += [f"{row.model:24} {_figure(row.mase)} {_figure(row.skill)}" for row in self.leaderboard]
        outcome = f"published {_escaped(self.version)}: {_escaped(verdict)}"
        table = _escaped("\n".join(rows))
        return f":white_check_mark: {run} {outcome}\n```{table}```"


class _Run(NamedTuple):
    """Name of the run in a notice, and the link to it."""

    name: str
    link: str

    @classmethod
    def from_environment(cls, name: str, dashboard: str) -> "_Run":
        """Name the run of this pod; a scheduled one gets the name of its Workflow, or its id."""
        run_id = os.environ.get(RUN_VARIABLE, "")
        label = name or os.environ.get(WORKFLOW_VARIABLE, "") or f"run {run_id}".strip()
        return cls(label, f"{dashboard}/#/runs/details/{run_id}" if dashboard and run_id else "")


@step
def notify_success(evaluation: Path, version: str, run: str, dashboard: str, style: str) -> None:
    """Post a notice of a published version.

    Args:
        evaluation: From ``evaluate_models``.
        version: ``NAME@VERSION``.
        run: Name of the run; empty in a scheduled run.
        dashboard: Address of the dashboard; empty: not known.
        style: ``webhook`` or ``slack``.
    """
    # Pandas comes with these, which a compile does not need.
    from kubecast.documents import read_document
    from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
    from kubecast.evaluation.verdict import verdict

    this_run = _Run.from_environment(run, dashboard)
    try:
        # Without the tables of series.
        result = read_document(Evaluation, evaluation / LEADERBOARD, Evaluation.document_name)
        board = [row for row in result.leaderboard if row.split == "test"][:ROWS]
        notice = Notice(
            event="success",
            run=this_run.name,
            link=this_run.link,
            version=version,
            promoted=result.decision.promote,
            verdict=verdict(result.decision).title,
            reasons=result.decision.reasons,
            leaderboard=[Row(model=row.model, mase=row.mase, skill=row.skill) for row in board],
        )
    except Exception as error:
        _LOG.warning("no notice was sent: %s", type(error).__name__)
        return
    _send(notice, style)


@step
def notify_failure(state: str, error: str, run: str, dashboard: str, style: str) -> None:
    """Post a notice of a run that has not succeeded, or whose end is not known.

    Kubeflow Pipelines sets the state by its launchers alone: where the last tasks were cached, or a pod was
    killed, it says RUNNING of a run that has ended. The run's Workflow knows.

    Args:
        state: State of the run, as Kubeflow Pipelines calls it.
        error: Message of the run; empty on most versions.
        run: Name of the run; empty in a scheduled run.
        dashboard: Address of the dashboard; empty: not known.
        style: ``webhook`` or ``slack``.
    """
    if state in SUCCEEDED:
        _LOG.info("the run succeeded: no notice is due")
        return
    event, reason = _end_of(state, error)
    if event == "success":
        _LOG.info("the run succeeded, though Kubeflow Pipelines calls it %s: no notice is due", state)
        return
    this_run = _Run.from_environment(run, dashboard)
    _send(Notice(event=event, run=this_run.name, link=this_run.link, error=reason), style)


def _end_of(state: str, error: str) -> tuple[Event, str]:
    """Find out how the run ended, and why: from its Workflow, else from Kubeflow Pipelines."""
    message = error or f"it ended as {state}"
    workflow = os.environ.get(WORKFLOW_VARIABLE, "")
    outcome = None
    try:
        with spending(Budget.from_environment(at_most=PATIENCE)):
            outcome = outcome_of(read_own_workflow(workflow)) if workflow else None
    except ClusterError as lost:
        _LOG.warning("%s", lost)
    except Exception as lost:  # a notice never fails a run
        _LOG.warning("Workflow %s cannot be read: %s", workflow, type(lost).__name__)
    if outcome is None:
        unclear = f"Kubeflow Pipelines says {state}, and the run's Workflow cannot be read"
        return ("failure", message) if state in FAILED else ("unknown", unclear)
    if outcome.succeeded:
        return "success", ""
    return "failure", outcome.reason or message


class _NoRedirect(HTTPRedirectHandler):
    """Refuses redirections, which would send the notice to a host that nobody has named."""

    def redirect_request(self, *arguments: Any) -> None:
        """Refuse the redirection, which becomes an HTTPError."""


def _send(notice: Notice, style: str) -> None:
    text = json.dumps({"text": notice.text()}) if style == "slack" else notice.model_dump_json()
    try:
        with spending(Budget.from_environment(at_most=PATIENCE)):
            failure = _post(os.environ.get(URL_VARIABLE, "").strip(), text.encode())
    except KubecastError as error:
        failure = str(error)
    except Exception as error:
        failure = type(error).__name__
    if failure:
        _LOG.warning("no notice was sent: %s", failure)
    else:
        _LOG.info("a notice of %s was sent", notice.event)


def _post(url: str, body: bytes) -> str:
    """Post, more than once if need be; return the reason of a refusal, or nothing."""
    host = urlsplit(url).hostname or ""
    if not host or not url.startswith(("https://", "http://")):
        return f"{URL_VARIABLE} holds no URL; allowed: https://…"
    if url.startswith("http://") and not INSIDE.fullmatch(host):
        return f"{URL_VARIABLE} holds an http:// URL; allowed outside the cluster: https://"
    request = Request(url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310  checked
    return retry(lambda: _post_once(request))


def _post_once(request: Request) -> str:
    try:
        with build_opener(_NoRedirect).open(request, timeout=TIMEOUT):
            return ""
    except HTTPError as error:
        error.close()
        if error.code in PASSING:
            raise Unavailable(f"the webhook answers {error.code}") from None
        return f"the webhook answers {error.code}"
    except (URLError, TimeoutError, OSError) as error:
        reason = type(getattr(error, "reason", error)).__name__
        raise Unavailable(f"the webhook does not answer ({reason})") from None


def _figure(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.4f'):>8}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
