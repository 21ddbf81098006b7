"""The input of one trial of a Katib experiment, and the name of the figure that Katib reads from it.

Its parameters are words; everything else is in the environment variable ``KUBECAST_TRIAL``, since its pod has
no launcher that hands over artifacts.
"""

import os

from pydantic import Field, JsonValue

from kubecast.config.base import PositiveFloat, Settings
from kubecast.config.search import Space

VARIABLE = "KUBECAST_TRIAL"
METRIC = "objective"


class ObjectStore(Settings):
    """The store of artifacts, as far as their URLs do not name it."""

    endpoint: str = ""
    region: str = ""

    def export(self) -> None:
        """Put them into the variables that stores are opened by; what is set already stays."""
        variables = {"AWS_ENDPOINT_URL": self.endpoint, "KUBECAST_MINIO_ENDPOINT": self.endpoint}
        for name, value in {**variables, "AWS_REGION": self.region}.items():
            if value:
                os.environ.setdefault(name, value)
        if self.endpoint.startswith("http://"):
            os.environ.setdefault("AWS_ALLOW_HTTP", "true")


class Trial(Settings):
    """The content of ``KUBECAST_TRIAL``."""

    kind: str
    panel: str = Field(description="path or URL of the panel's folder")
    settings: dict[str, JsonValue] = Field(description="of the settings file")
    search: Space = Field(description="of that kind")
    folds: int = 3
    limit: PositiveFloat = Field(default=3600.0, description="seconds after which its fits end")
    seed: int = 42
    members: dict[str, dict[str, JsonValue]] = Field(
        default={}, description="settings by kind; for the ensemble"
    )
    store: ObjectStore = ObjectStore()
    heartbeat: str = Field(
        default="", description="file with the time at which somebody last waited for it; default: none"
    )
    until: PositiveFloat | None = Field(
        default=None, description="when its search ends, in seconds since 1970; default: no end but the limit"
    )
