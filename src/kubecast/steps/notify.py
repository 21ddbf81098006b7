"""notify_success, notify_failure: one message to a webhook.

A notice never fails a run: what goes wrong is one line of the task's log. The webhook's URL is a secret, so
it comes from the environment and is in no message.
"""

import json
import logging
import os
import re
import time
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import BaseModel

from kubecast.logs import step

URL_VARIABLE = "KUBECAST_NOTICE_URL"
TIMEOUT = 10.0  # seconds of one try
PAUSES = (1.0, 5.0)  # seconds before the second and third try
ROWS = 10  # of the leaderboard
SUCCEEDED = {"SUCCEEDED", "COMPLETE", "CACHED", "SKIPPED"}  # what versions of Kubeflow Pipelines call it
INSIDE = re.compile(r".+\.svc(\.cluster\.local)?|localhost|127\.0\.0\.1")  # may be asked without TLS

_LOG = logging.getLogger(__name__)


class Row(BaseModel):
    """One line of the leaderboard, on the test part; None where undefined."""

    model: str
    mase: float | None
    skill: float | None


class Notice(BaseModel):
    """What a webhook gets as JSON.

    Attributes:
        event: What happened.
        run: Its name.
        link: To the run; empty: not known.
        version: ``NAME@VERSION`` that was published; empty after a failure.
        promoted: Whether the gate let it become the champion; another run may have been faster.
        reasons: Why not.
        leaderboard: Best first.
        error: Why the run failed.
    """

    schema_version: Literal[1] = 1
    event: Literal["success", "failure"]
    run: str
    link: str
    version: str = ""
    promoted: bool = False
    reasons: list[str] = []
    leaderboard: list[Row] = []
    error: str = ""

    def text(self) -> str:
        """The notice as Slack, and what is compatible with it, shows it."""
        run = f"<{self.link}|{_escaped(self.run)}>" if self.link else _escaped(self.run)
        if self.event == "failure":
            return f":x: {run} failed: {_escaped(self.error)}"
        gate = "passed the gate" if self.promoted else f"not promoted: {_escaped('; '.join(self.reasons))}"
        rows = [f"{'model':24} {'MASE':>8} {'skill':>8}"]
        rows += [f"{row.model:24} {_figure(row.mase)} {_figure(row.skill)}" for row in self.leaderboard]
        table = _escaped("\n".join(rows))
        return f":white_check_mark: {run} published {_escaped(self.version)} ({gate})\n```{table}```"


def link_to(dashboard: str, run_id: str) -> str:
    """The page of a run; empty where the dashboard is not known."""
    return f"{dashboard}/#/runs/details/{run_id}" if dashboard else ""


@step
def notify_success(evaluation_dir: Path, version: str, run: str, link: str, style: str) -> None:
    """Tell of a published version.

    Args:
        evaluation_dir: From ``evaluate_models``.
        version: ``NAME@VERSION``.
        run: The run's name.
        link: To the run; empty: not known.
        style: ``webhook`` or ``slack``.
    """
    from kubecast.evaluation import Evaluation  # pandas with it, which a compile does not need

    try:
        found = Evaluation.read(evaluation_dir)
        board = [row for row in found.leaderboard if row.part == "test"][:ROWS]
        notice = Notice(
            event="success",
            run=run,
            link=link,
            version=version,
            promoted=found.decision.promote,
            reasons=found.decision.reasons,
            leaderboard=[Row(model=row.model, mase=row.mase, skill=row.skill) for row in board],
        )
    except Exception as error:
        _LOG.warning("no notice was sent: %s", type(error).__name__)
        return
    _send(notice, style)


@step
def notify_failure(state: str, error: str, run: str, link: str, style: str) -> None:
    """Tell of a run that has not succeeded.

    Args:
        state: Of the run, as Kubeflow Pipelines calls it.
        error: Its message; may be empty.
        run: Its name.
        link: To the run; empty: not known.
        style: ``webhook`` or ``slack``.
    """
    if state in SUCCEEDED:
        _LOG.info("the run succeeded: nothing to tell")
        return
    _send(Notice(event="failure", run=run, link=link, error=error or f"it ended as {state}"), style)


class _NoRedirect(HTTPRedirectHandler):
    """A redirection would send the notice to a host that nobody has named."""

    def redirect_request(self, *arguments: Any) -> None:
        """Refuse; it becomes an HTTPError."""


def _send(notice: Notice, style: str) -> None:
    text = json.dumps({"text": notice.text()}) if style == "slack" else notice.model_dump_json()
    try:
        failure = _post(os.environ.get(URL_VARIABLE, "").strip(), text.encode())
    except Exception as error:
        failure = type(error).__name__
    if failure:
        _LOG.warning("no notice was sent: %s", failure)
    else:
        _LOG.info("a notice of %s was sent", notice.event)


def _post(url: str, body: bytes) -> str:
    """Post, a few times if need be; return why it failed, or nothing."""
    host = urlsplit(url).hostname or ""
    if not host or not url.startswith(("https://", "http://")):
        return f"{URL_VARIABLE} holds no URL; allowed: https://…"
    if url.startswith("http://") and not INSIDE.fullmatch(host):
        return f"{URL_VARIABLE} holds an http:// URL; allowed outside the cluster: https://"
    request = Request(url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310  checked
    failure = ""
    for pause in (0.0, *PAUSES):
        time.sleep(pause)
        try:
            with build_opener(_NoRedirect).open(request, timeout=TIMEOUT):
                return ""
        except HTTPError as error:
            failure = f"the webhook answers {error.code}"
            error.close()
            if error.code < 500 and error.code != 429:
                return failure
        except (URLError, TimeoutError, OSError) as error:
            failure = f"the webhook does not answer ({type(getattr(error, 'reason', error)).__name__})"
    return failure


def _figure(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.4f'):>8}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
