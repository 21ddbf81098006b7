"""The schedules and the connection of cluster.yaml."""

from pathlib import Path
from typing import Any

import pytest

from kubecast.config.schedules import ConnectionSettings, ScheduleSettings, six_fields
from kubecast.config.validation import validate
from kubecast.errors import ConfigError
from kubecast.settings.loading import load_settings


def schedule(**changes: Any) -> ScheduleSettings:
    return validate(ScheduleSettings, {"name": "nightly", "cron": "0 2 * * *", **changes}, "cluster.yaml")


@pytest.mark.parametrize(
    ("cron", "six"),
    [
        ("0 2 * * *", "0 0 2 * * *"),
        ("*/15 * * * *", "0 */15 * * * *"),
        ("30 4 1,15 * MON-FRI", "0 30 4 1,15 * MON-FRI"),
        ("0 0 2 ? jan-mar sun", "0 0 2 ? jan-mar sun"),
        ("5  0/10  2-6/2 * 0,6", "0 5 0/10 2-6/2 * 0,6"),
    ],
)
def test_five_fields_get_the_second_that_kubeflow_reads_first(cron: str, six: str) -> None:
    assert six_fields(cron) == six
    assert six_fields(six) == six


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("@daily", "has 1 fields; allowed: 5, minute first, or 6, second first"),
        ("", "has 0 fields"),
        ("0 2 * *", "has 4 fields"),
        ("0 0 2 * * * 2027", "has 7 fields"),
        ("60 2 * * *", "'60' is no minute; allowed: 0 to 59"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 2 0 * *", "'0' is no day of the month; allowed: 1 to 31"),
        ("0 2 * 13 *", "'13' is no month; allowed: 1 to 12, jan"),
        ("0 2 * * 7", "'7' is no day of the week; allowed: 0 to 6, sun"),
        ("0 2 L * *", "'L' is no day of the month"),
        ("0 2 * * mon#1", "'mon#1' is no day"),
        ("0 2 * * fri-mon", "'fri-mon' is no day"),
        ("*/0 2 * * *", "'*/0' is no minute"),
        ("1, 2 * * *", "'1,' is no minute"),
        ("0 2 jan * *", "'jan' is no day of the month"),
        (",".join(["59"] * 90) + " * * * *", "cron has 277 characters; allowed: 255"),
    ],
)
def test_cron_that_kubeflow_would_read_otherwise_is_refused(cron: str, why: str) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.yaml: cron: ") as caught:
        schedule(cron=cron)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "Nightly"}, "name"),
        ({"mode": "fit"}, "'train', 'tune', 'retrain' or 'score'"),
        ({"max_concurrency": 0}, "greater than or equal to 1"),
        ({"max_concurrency": 11}, "less than or equal to 10"),
        ({"parameters": {"horizon": float("nan")}}, "parameters.horizon"),
        ({"enabled": "yes"}, "enabled"),
        ({"max_concurency": 1}, "unknown key max_concurency; did you mean max_concurrency?"),
    ],
)
def test_schedule_that_cannot_be_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schedule(**changes)
    assert why in str(caught.value)


def test_schedule_runs_once_at_a_time_and_makes_up_for_nothing_unless_told() -> None:
    defaults = schedule()
    assert (defaults.max_concurrency, defaults.no_catchup, defaults.enabled, defaults.mode) == (
        1,
        True,
        True,
        "retrain",
    )


def test_experiment_that_no_column_holds_is_refused() -> None:
    assert validate(ConnectionSettings, {"experiment": "é" * 64}, "f").experiment == "é" * 64
    with pytest.raises(ConfigError, match=r"connection\.experiment: .*… has 130 bytes; allowed: 128"):
        validate(ConnectionSettings, {"experiment": "é" * 65}, "cluster.yaml", "connection")


def test_address_loses_its_last_slash() -> None:
    assert validate(ConnectionSettings, {"host": "https://kf/pipeline/"}, "f").host == "https://kf/pipeline"


@pytest.mark.parametrize("host", ["kubeflow:8080", "ftp://host", "https://", "http://a b"])
def test_address_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"connection\.host: allowed: http://HOST or https://HOST"):
        validate(ConnectionSettings, {"host": host}, "options", "connection")


def write(folder: Path, schedules: str) -> Path:
    (folder / "cluster.yaml").write_text(f"cluster:\n  schedules:\n{schedules}")
    return folder


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twice = '    - {name: nightly, cron: "0 2 * * *"}\n' * 2
    with pytest.raises(ConfigError, match=r"cluster\.schedules: nightly is there twice"):
        load_settings(write(tmp_path, twice))


def test_misspelt_key_in_a_list_is_refused_with_the_nearest_and_its_place(tmp_path: Path) -> None:
    folder = write(tmp_path, '    - {name: nightly, cron: "0 2 * * *", no_catch_up: true}\n')
    with pytest.raises(
        ConfigError, match=r"unknown key cluster\.schedules\.0\.no_catch_up; did you mean no_catchup\?"
    ):
        load_settings(folder)
