"""What Kubeflow Pipelines 2.17 refuses, on MySQL, and the form of its errors.

Seen on a real server: a recurring run's description of more than 255 characters (500, in the words below,
``Failed to create a recurring run: `` before them, after its ScheduledWorkflow was made); the bodies of 401,
403 and 404 (codes 16, 7, 5).

Read in the server's source at 2.17.0, and not seen:

- every other width. A column without a type is VARCHAR(255) (`DefaultStringSize` in `client_manager.go`),
  `validation/length.go` counts bytes; parameters and specs are LONGTEXT and have no width;
- what it takes as a name, a cron expression, the number of runs at one time (`api_converter.go`,
  `common/utils.go`) and of the parameters of a pipeline (`template/v2_template.go`);
- the service account that is filled in, and that JSON leaves out what is false, zero or empty.

Names of recurring runs may be there twice. Nothing asks whether an id has the form of a UUID.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

COLUMN = 255
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 501: 12, 503: 14, 504: 4}
"""Of gRPC, by status of HTTP."""

_REQUESTS = {
    "Failed to store job": "Failed to create a recurring run",
    "Failed to store run": "Failed to create a new run",
    "Failed to add experiment": "Failed to create a experiment",
}
"""What failed, by how the error of the database begins: that of a job was seen, the others were read."""

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "STRING": ((str,), "string"),
    "NUMBER_INTEGER": ((int, float), "double or integer"),
    "NUMBER_DOUBLE": ((int, float), "double or integer"),
    "BOOLEAN": ((bool,), "bool"),
    "LIST": ((list,), "list"),
    "STRUCT": ((dict,), "struct"),
}


class RefusedError(Exception):
    """An error of the API; `body` where it is not of the usual form."""

    def __init__(self, status: int, message: str, body: str | None = None):
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message) if body is None else body


def error_body(status: int, message: str) -> str:
    """As the gateway writes it."""
    error = {"code": CODES.get(status, 2), "message": message}
    return json.dumps(
        {**error, "details": [{"@type": "type.googleapis.com/google.rpc.Status", **error}]},
        separators=(",", ":"),
    )


def upload_refused(status: int, message: str) -> RefusedError:
    """The upload of a file is answered by another server than the rest."""
    return RefusedError(status, message, json.dumps({"error_message": message, "error_details": message}))


def check_name(model: str, name: str | None, most: int, status: int = 500) -> None:
    """Of a pipeline, version or experiment; in bytes."""
    if not name:
        raise RefusedError(status, f"Invalid input error: {model} must have a non-empty name")
    if len(name.encode()) > most:
        raise RefusedError(status, f"Invalid input error: {model}.Name length cannot exceed {most}")


def check_columns(stored: str, columns: Mapping[str, str | None]) -> None:
    """Text that a row cannot hold."""
    for column, text in columns.items():
        if len(text or "") > COLUMN:
            why = f"Error 1406 (22001): Data too long for column '{column}' at row 1"
            request = next(words for start, words in _REQUESTS.items() if stored.startswith(start))
            message = f"{request}: InternalServerError: {stored}: {why}"
            raise RefusedError(500, why, json.dumps({"error": message}))


def check_pipeline(spec: Any) -> None:
    """A compiled file."""
    if not isinstance(spec, dict) or not {"pipelineInfo", "root"} <= spec.keys():
        raise upload_refused(400, "unknown template format")
    if spec.get("schemaVersion") != "2.1.0":
        raise upload_refused(400, "KFP only supports schema version 2.1.0")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,127}", spec["pipelineInfo"]["name"]):
        raise upload_refused(
            400,
            "pipeline's name must contain only lowercase alphanumeric characters or '-' and must start with"
            " alphanumeric characters",
        )


def check_parameters(spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """A run's parameters against its pipeline."""
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, definition in declared.items():
        kinds, kind = _KINDS[definition["parameterType"]]
        if name not in given:
            if not definition.get("isOptional") and "defaultValue" not in definition:
                raise RefusedError(
                    400,
                    f"Invalid input error: parameter {name} is not optional, yet has neither default value"
                    " nor user provided value",
                )
        elif not isinstance(given[name], kinds) or (isinstance(given[name], bool) and bool not in kinds):
            raise RefusedError(400, f"Invalid input error: input parameter {name} requires type {kind}")
    if extra := given.keys() - declared.keys():
        raise RefusedError(
            400,
            "Invalid input error: parameter(s) provided are not required by pipeline:"
            f" {', '.join(sorted(extra))}",
        )


def check_recurring(recurring: Any) -> None:
    """Refuse a recurring run that the server would refuse before it makes anything."""
    if not recurring.display_name:
        raise RefusedError(500, "Invalid input error: Recurring run's name cannot be empty")
    if recurring.trigger is None:
        raise RefusedError(500, "Invalid input error: API Trigger cannot be nil")
    if not 1 <= int(recurring.max_concurrency or 0) <= 10:
        raise RefusedError(
            400,
            "Invalid input error: Max concurrency of a recurring run must be at least 1 and at most 10."
            f" Received {recurring.max_concurrency}",
        )
    cron = recurring.trigger.cron_schedule.cron
    if not re.fullmatch(r"@\w+|@every \S+|(\S+ ){4,5}\S+", cron):
        raise RefusedError(400, "Invalid input error: Schedule cron is not a supported format")


def recurring_columns(recurring: Any) -> dict[str, str | None]:
    """What the row of a recurring run holds in VARCHAR(255)."""
    return {
        "DisplayName": recurring.display_name,
        "ServiceAccount": recurring.service_account,
        "Description": recurring.description,
        "Schedule": recurring.trigger.cron_schedule.cron,
    }


def without_defaults(answer: Any) -> Any:
    """As proto3 is written in JSON; parameters and specs are kept as they are."""
    if isinstance(answer, list):
        return [without_defaults(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    kept = {
        key: value if key in ("parameters", "pipeline_spec") else without_defaults(value)
        for key, value in answer.items()
    }
    return {key: value for key, value in kept.items() if value not in (None, False, 0, "", [], {})}


def scheduled_workflow(recurring: Any, namespace: str) -> dict[str, Any]:
    """The object that is made before the row of a recurring run."""
    base = re.sub(r"[^a-z0-9-]+", "", recurring.display_name.lower()) or "job-"
    reference = recurring.pipeline_version_reference
    spec = {
        "maxConcurrency": int(recurring.max_concurrency),
        "noCatchup": bool(recurring.no_catchup),
        "trigger": {"cronSchedule": {"cron": recurring.trigger.cron_schedule.cron}},
        "experimentId": recurring.experiment_id,
        "pipelineId": reference.pipeline_id,
        "pipelineVersionId": reference.pipeline_version_id,
        "serviceAccount": recurring.service_account,
    }
    if recurring.mode == "ENABLE":
        spec["enabled"] = True
    number = f"{int(recurring.recurring_run_id.rpartition('-')[2]):05d}"
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "ScheduledWorkflow",
        "metadata": {
            "name": f"{base[:25]}{number}",
            "generateName": base[:25],
            "namespace": namespace,
            "uid": recurring.recurring_run_id,
            "creationTimestamp": "2026-11-23T02:00:00Z",
        },
        "spec": spec,
    }
