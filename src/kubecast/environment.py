"""``cluster.environment``: plain variables for every task, and what is refused there."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from kubecast.logs import RUN_VARIABLE, TASK_VARIABLE
from kubecast.retrying import VARIABLE as RETRIES_VARIABLE

ACCELERATORS_VARIABLE = "KUBECAST_ACCELERATORS"
"""The number of accelerators that a task's pod requested; not set where it requested none."""

WORKFLOW_VARIABLE = "KUBECAST_WORKFLOW"
"""The name of the run's Workflow, in the pods that read it."""

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

OWN = {
    RUN_VARIABLE,
    TASK_VARIABLE,
    WORKFLOW_VARIABLE,
    ACCELERATORS_VARIABLE,
    RETRIES_VARIABLE,
    "KUBECAST_TRIAL",
    "KUBECAST_NOTICE_URL",
}
"""Variables that kubecast sets itself."""

_PREFIXES = ("KFP_", "ARGO_")  # those that Kubeflow Pipelines and Argo set themselves
_SECRET_NAME = re.compile(
    r"PASSW(OR)?D|SECRET|(^|_)TOKEN(_|$)|COOKIE|WEBHOOK|CONNECTION_STRING|(ACCESS|ACCOUNT|API|PRIVATE)_?KEY",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"://[^/\s@:]*:[^/\s@]+@|(password|pwd|passwd|accountkey|sig|token|secret)=|://hooks\.", re.IGNORECASE
)
"""A URL with a password, a part of a query or a connection string, an address that is one."""


def _plain(variables: Any) -> Any:
    """Refuse what is a secret, or somebody else's; no message shows a value."""
    for name, value in variables.items() if isinstance(variables, dict) else ():
        if name in OWN or str(name).startswith(_PREFIXES):
            raise ValueError(f"{name} is set by kubecast or Kubeflow Pipelines; allowed: any other name")
        # What ends in _FILE is the path of a file that holds the secret.
        secret = _SECRET_NAME.search(str(name)) and not str(name).upper().endswith("_FILE")
        if secret or _SECRET_VALUE.search(str(value)):
            raise ValueError(
                f"{name} looks like a secret, which would be compiled in; allowed: cluster.secrets,"
                " which takes it from the key of a Secret"
            )
        if not isinstance(value, str) or not value:
            raise ValueError(f"the value of {name} is no text; allowed: one in quotes")
    return variables


Environment = Annotated[dict[Variable, str], BeforeValidator(_plain)]
