"""The fake API refuses what Kubeflow Pipelines refuses, in the form of the recorded answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp_server_api as kfp
import pytest

from kubecast.errors import ClusterError
from tests.support.clusters import client
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kfp_limits import error_body

RECORDINGS = Path(__file__).parents[1] / "recordings"
PIPELINE = """\
pipelineInfo: {name: p}
schemaVersion: 2.1.0
root:
  inputDefinitions:
    parameters:
      data: {parameterType: STRING}
      horizon: {parameterType: NUMBER_INTEGER, isOptional: true}
"""


@pytest.fixture
def api() -> Iterator[KfpApi]:
    with KfpApi() as server:
        yield server


@pytest.fixture
def reference(api: KfpApi, tmp_path: Path) -> Any:
    return kfp.V2beta1PipelineVersionReference(*_version(api, tmp_path, "p", "v", PIPELINE))


def _version(api: KfpApi, folder: Path, pipeline: str, version: str, text: str) -> tuple[str, str]:
    there = client(api)
    (folder / "p.yaml").write_text(text)
    made = there.create_pipeline(pipeline)
    return made, there.upload_version(made, version, folder / "p.yaml")


@pytest.mark.parametrize(
    ("name", "status"), [("unauthenticated", 401), ("forbidden", 403), ("run-not-found", 404)]
)
def test_errors_have_the_recorded_form(name: str, status: int) -> None:
    recorded = json.loads((RECORDINGS / f"{name}.json").read_text())
    made = json.loads(error_body(status, recorded["message"]))
    assert made.keys() == recorded.keys()
    assert made["code"] == recorded["code"]
    assert made["details"][0].keys() == recorded["details"][0].keys()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"display_name": "x" * 256}, "500 .*Data too long for column 'DisplayName'"),
        ({"description": "x" * 256}, "500 .*Data too long for column 'Description'"),
        ({"service_account": "x" * 256}, "500 .*Data too long for column 'ServiceAccount'"),
        ({"trigger": "0 " + ",".join(["59"] * 90) + " * * * *"}, "500 .*Data too long for column 'Schedule'"),
        ({"trigger": "0 2 *"}, "400 .*Schedule cron is not a supported format"),
        ({"display_name": ""}, "500 .*name cannot be empty"),
        ({"max_concurrency": 11}, "400 .*at least 1 and at most 10. Received 11"),
        ({"parameters": {}}, "400 .*parameter data is not optional"),
        ({"parameters": {"data": 1}}, "400 .*parameter data requires type string"),
        ({"parameters": {"data": "d", "horizon": "1"}}, "400 .*parameter horizon requires type double or"),
        ({"parameters": {"data": "d", "other": "1"}}, "400 .*not required by pipeline: other"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_recurring_run(api: KfpApi, reference: Any, given: dict[str, Any], why: str) -> None:
    there = client(api)
    values = {"display_name": "nightly", "max_concurrency": 1, "parameters": {"data": "d"}} | given
    trigger = kfp.V2beta1CronSchedule(cron=values.pop("trigger", "0 0 2 * * *"))
    body = kfp.V2beta1RecurringRun(
        experiment_id=there.create_experiment("e"),
        pipeline_version_reference=reference,
        trigger=kfp.V2beta1Trigger(cron_schedule=trigger),
        runtime_config=kfp.V2beta1RuntimeConfig(parameters=values.pop("parameters")),
        **values,
    )
    with pytest.raises(ClusterError, match=why):
        there.create_recurring_run(body)
    assert not api.recurring
    assert bool(api.scheduled_workflows) == ("Data too long" in why)


@pytest.mark.parametrize("name", ["é" * 65, ""], ids=["long", "none"])
def test_name_of_an_experiment(api: KfpApi, name: str) -> None:
    with pytest.raises(ClusterError, match=r"500 .*(cannot exceed 128|non-empty name)"):
        client(api).create_experiment(name)


def test_names_of_a_pipeline_and_its_version(api: KfpApi, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"500 .*Pipeline.Name length cannot exceed 128"):
        client(api).create_pipeline("x" * 129)
    with pytest.raises(ClusterError, match=r"400 .*PipelineVersion.Name length cannot exceed 127"):
        _version(api, tmp_path, "p", "x" * 128, PIPELINE)
    with pytest.raises(ClusterError, match=r"400 .*only lowercase alphanumeric"):
        _version(api, tmp_path, "q", "v", PIPELINE.replace("name: p", "name: P"))
    with pytest.raises(ClusterError, match=r"400 .*unknown template format"):
        _version(api, tmp_path, "r", "v", "{}")


def test_name_of_a_run(api: KfpApi, reference: Any) -> None:
    run = kfp.V2beta1Run(
        display_name="x" * 256,
        experiment_id=client(api).create_experiment("e"),
        pipeline_version_reference=reference,
        runtime_config=kfp.V2beta1RuntimeConfig(parameters={"data": "d"}),
    )
    with pytest.raises(ClusterError, match=r"500 .*Data too long for column 'DisplayName'"):
        client(api).create_run(run)
