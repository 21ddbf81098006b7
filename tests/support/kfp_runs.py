"""Runs as Kubeflow Pipelines tells of them, from pending to their end."""

from typing import Any

from kubecast.pipelines.running import following


def node(name: str, state: str, start: int = 0, end: int | None = None, **more: Any) -> dict[str, Any]:
    details = {"display_name": name, "task_id": more.get("task_id", name), "state": state, **more}
    details["start_time"] = f"2026-11-23T02:00:{start:02d}Z"
    details["end_time"] = "1970-01-01T00:00:00Z" if end is None else f"2026-11-23T02:00:{end:02d}Z"
    return details


def step(state: str, *nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    ended = {"finished_at": "2026-11-23T02:01:00Z"} if state in following.ENDED else {}
    return {"state": state, "run_details": {"task_details": list(nodes)}, **ended, **more}


RESOLVED = node("resolve-inputs", "SUCCEEDED", 1, 5)
SUCCEEDS = [
    {"state": "PENDING"},
    step("RUNNING", node("root-driver", "SUCCEEDED", 0, 1), node("resolve-inputs-driver", "RUNNING", 1)),
    step("RUNNING", RESOLVED, node("prepare-data", "RUNNING", 6)),
    step("SUCCEEDED", RESOLVED, node("prepare-data", "SUCCEEDED", 6, 30)),
]
FAILS = [
    step("RUNNING", RESOLVED),
    step(
        "FAILED",
        RESOLVED,
        node("prepare-data", "FAILED", 6, 40, error={"code": 1, "message": "no\nsuch bucket"}),
        state_history=[{"state": "FAILED", "error": {"message": "workflow failed"}}],
    ),
]
