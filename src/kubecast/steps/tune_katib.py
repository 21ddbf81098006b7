"""tune_katib: starts a Katib experiment, waits for it, and leaves its trials."""

import hashlib
import json
import logging
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from kubecast.config.cluster import TrialPod
from kubecast.config.validation import parse_settings
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.environment import WORKFLOW_VARIABLE
from kubecast.errors import ModelError
from kubecast.logs import RUN_VARIABLE, bind, step
from kubecast.steps.outputs import log_progress
from kubecast.steps.run_settings import RunSettings
from kubecast.steps.search_request import Request
from kubecast.tuning.ensemble import make_objective
from kubecast.tuning.katib import Plan, Running, connect, deleted_when_stopped

_LOG = logging.getLogger(__name__)


@step
def tune_katib(request: Request, panel_url: str, trial_pod: str, trials: Path) -> list[dict[str, Any]]:
    """Search by an experiment of Katib.

    Args:
        request: Kind to tune, with its settings and space.
        panel_url: URL of the panel, as a trial's pod reaches it.
        trial_pod: JSON of a ``TrialPod``.
        trials: Gets JSON: of each trial ``parameters``, ``error``, ``state`` and ``reason``.

    Raises:
        TuningError: Katib cannot do it; the message says what to do.
    """
    bind(model=request.kind)
    plan = _plan(request, panel_url, parse_settings(TrialPod, trial_pod, "trial_pod"))
    results: list[dict[str, Any]] = []
    try:
        base, members = request.checked_settings()
        make_objective(
            PanelBlocks.open(request.panel_dir), request.kind, base, members, plan.optimization.folds
        )
    except ModelError as error:  # choose_settings meets the same, and knows whether the run goes on
        _LOG.warning("no trial can succeed: %s", error)
    else:
        results = _search(request.kind, plan)
    trials.parent.mkdir(parents=True, exist_ok=True)
    trials.write_text(json.dumps(results, allow_nan=False))
    return results


def _search(kind: str, plan: Plan) -> list[dict[str, Any]]:
    running = Running(*connect(), plan)
    with deleted_when_stopped(running):
        running.create()
        return running.follow(partial(log_progress, f"tune_{kind}"))


def _plan(request: Request, panel_url: str, pod: TrialPod) -> Plan:
    optimization = RunSettings.read(request.panel_dir).training.optimization
    run = re.sub(r"[^A-Za-z0-9._-]", "-", os.environ.get(RUN_VARIABLE, ""))[:63].strip("._-") or "local"
    trial = {
        "kind": request.kind,
        "panel": panel_url,
        "settings": request.settings,
        "search": {name: parameter.model_dump(mode="json") for name, parameter in request.space.items()},
        "folds": optimization.folds,
        "limit": optimization.timeout,
        "seed": request.seed,
        "members": request.members,
        "store": {"endpoint": pod.endpoint, "region": pod.region},
    }
    # Katib makes names of pods and Services from it, which have 63 characters at most.
    key = hashlib.sha256(f"{run} {request.key()}".encode()).hexdigest()[:16]
    name, workflow = f"kubecast-{request.kind}-{key}", os.environ.get(WORKFLOW_VARIABLE, "")
    return Plan(name, run, request.space, optimization, request.tuning.workers, trial, pod, workflow)
