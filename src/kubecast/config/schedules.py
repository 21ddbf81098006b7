"""The connection to Kubeflow Pipelines, and the schedules there: parts of ``cluster.yaml``."""

import re
import urllib.parse
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from kubecast.config.base import PositiveFloat, Settings
from kubecast.errors import ConfigError

Mode = Literal["train", "tune", "retrain", "score"]
"""The work of a pipeline: train as the files say, after a search, as the champion was, or only forecast."""

TOKEN_VARIABLE = "KUBECAST_KFP_TOKEN"  # noqa: S105  a name
COOKIES_VARIABLE = "KUBECAST_KFP_COOKIES"

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("second", 0, 59, {}),
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of the week", 0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_MAX_CRON = 255  # characters of the column that holds it
_MAX_EXPERIMENT = 128  # bytes, likewise
_HTTP = re.compile(r"https?://[^\s/]+(/\S*)?", re.ASCII)
_PART = re.compile(r"(?:[*?]|(?P<first>[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?)(?:/(?P<step>[0-9]+))?", re.ASCII)


def six_fields(cron: str) -> str:
    """A cron expression as Kubeflow Pipelines reads it: six fields, seconds first.

    Args:
        cron: Five fields (minute first, as in a crontab; second 0 is put before them) or six.

    Raises:
        ValueError: It has another number of fields, one of them is not understood there, or it is too long.
    """
    fields = cron.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise ValueError(
            f"cron {cron!r} has {len(fields)} fields; allowed: 5, minute first, or 6, second first"
        )
    if len(" ".join(fields)) > _MAX_CRON:
        raise ValueError(
            f"cron has {len(cron)} characters; allowed: {_MAX_CRON} with six fields, e.g. by ranges"
        )
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        if not all(_is_part(part, low, high, names) for part in field.lower().split(",")):
            also = f", {', '.join(names)}" if names else ""
            raise ValueError(
                f"cron {cron!r}: {field!r} is no {name}; allowed: {low} to {high}{also}, *,"
                " ranges, lists, steps"
            )
    return " ".join(fields)


def _is_part(part: str, low: int, high: int, names: dict[str, int]) -> bool:
    match = _PART.fullmatch(part)
    if not match or match["step"] == "0":
        return False
    given = [match["first"], match["last"]]
    numbers = [names.get(text, int(text) if text.isdecimal() else -1) for text in given if text]
    return all(low <= number <= high for number in numbers) and numbers == sorted(numbers)


def _checked_cron(cron: str) -> str:
    six_fields(cron)
    return cron


def _group(name: str) -> str:
    if len(name.encode()) > _MAX_EXPERIMENT:
        raise ValueError(f"{name[:20]}… has {len(name.encode())} bytes; allowed: {_MAX_EXPERIMENT}")
    return name


def _address(text: str) -> str:
    if not _HTTP.fullmatch(text):
        raise ValueError("allowed: http://HOST or https://HOST, e.g. http://localhost:8080")
    return text.rstrip("/")


def check_address(address: str, key: str) -> None:
    """Refuse an address that may hold a secret, which would be in every message, link and compiled file.

    Raises:
        ConfigError: Its message does not hold the address.
    """
    url = urllib.parse.urlsplit(address)
    if url.username or url.password or url.query or url.fragment:
        raise ConfigError(
            f"{key}: holds a user, a query or a fragment; allowed: http(s)://HOST[:PORT][/PATH],"
            f" with {TOKEN_VARIABLE} or {COOKIES_VARIABLE}"
        )


Address = Annotated[str, AfterValidator(_address)]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Parameter = str | int | Annotated[float, Field(allow_inf_nan=False)] | bool


class ConnectionSettings(Settings):
    """The connection to Kubeflow Pipelines; tokens and cookies come from the environment alone."""

    host: Address | None = Field(
        default=None,
        description="its API; or --host, KUBECAST_KFP_HOST; default: that of the pod's cluster",
        examples=["http://localhost:8080"],
    )
    dashboard: Address | None = Field(
        default=None,
        description="for links; default: host",
        examples=["https://kubeflow.example.com/pipeline"],
    )
    namespace: KubernetesName | None = Field(
        default=None, description="the profile, where Kubeflow has several users", examples=["team-a"]
    )
    experiment: Annotated[str, AfterValidator(_group)] | None = Field(
        default=None,
        min_length=1,
        description="groups runs; default: training.model_name",
        examples=["demand"],
    )
    service_account: KubernetesName | None = Field(
        default=None,
        description="of the runs' pods; default: Kubeflow's, which only Profiles have",
        examples=["kubecast-pipeline"],
    )
    token_file: str | None = Field(
        default=None,
        description="or KUBECAST_KFP_TOKEN, KUBECAST_KFP_COOKIES, which no file holds",
        examples=["/path/to/token"],
    )
    ca_file: str | None = Field(
        default=None, description="what signs the host's certificate", examples=["/path/to/ca.pem"]
    )
    timeout: PositiveFloat = Field(default=30.0, description="seconds that one request may take")
    context: str | None = Field(
        default=None,
        min_length=1,
        description="of the kubeconfig, by which pods are read; default: the current one",
        examples=["gke_team_zone_cluster"],
    )


class ScheduleSettings(Settings):
    """A schedule; its times are in the cluster's zone, UTC unless its operator set another."""

    name: KubernetesName
    cron: Annotated[str, AfterValidator(_checked_cron)] = Field(
        description="five fields, minute first, or six, second first"
    )
    mode: Mode = "retrain"
    parameters: dict[str, Parameter] = Field(default={}, description="of the pipeline, over its defaults")
    max_concurrency: Annotated[int, Field(ge=1, le=10)] = Field(default=1, description="runs at one time")
    no_catchup: bool = Field(default=True, description="missed times are not made up for")
    enabled: bool = True


def _once(schedules: list[ScheduleSettings]) -> list[ScheduleSettings]:
    names = [schedule.name for schedule in schedules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is there twice; allowed: each name once")
    return schedules


Schedules = Annotated[list[ScheduleSettings], AfterValidator(_once)]
