"""`kubecast submit` and `kubecast status`, against a real HTTP server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from kubecast.cli import run_view
from kubecast.errors import ClusterError, ClusterNotFound, ClusterUnreachable, ConfigError
from kubecast.pipelines.running import following
from kubecast.pipelines.running.following import Follower, Progress, Task
from kubecast.pipelines.running.parameters import check_values, read_assignments
from kubecast.pipelines.running.submitting import Compiled, compile_mode, ensure_pipeline_ref
from kubecast.settings.loading import load_settings
from tests.support.clusters import SET, SMALL, client, invoke, invoke_json
from tests.support.kfp_runs import FAILS, SUCCEEDS, step
from tests.support.servers.kfp_api import Failure, KfpApi

pytestmark = pytest.mark.slow

TYPES = {
    "text": {"parameterType": "STRING"},
    "steps": {"parameterType": "NUMBER_INTEGER", "isOptional": True},
    "share": {"parameterType": "NUMBER_DOUBLE", "isOptional": True},
    "fast": {"parameterType": "BOOLEAN", "isOptional": True},
    "names": {"parameterType": "LIST", "isOptional": True},
    "more": {"parameterType": "STRUCT", "isOptional": True},
}
SPEC = {"root": {"inputDefinitions": {"parameters": TYPES}}}
DATA = ["--param", "data=s3://demand/demand.csv"]
CREATED = [
    "GET /pipelines/names/kubecast-training",
    "POST /pipelines",
    "GET /pipelines/ID/versions",
    "POST /pipelines/upload_version",
    "GET /experiments",
    "POST /experiments",
    "POST /runs",
]


@pytest.fixture
def api() -> Iterator[KfpApi]:
    with KfpApi() as server:
        yield server


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_mode(load_settings(None, SMALL), "train", tmp_path_factory.mktemp("compiled"))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes on with every question, so none has to wait for it."""
    monkeypatch.setattr(following, "INTERVAL", 0.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("steps=48", 48),
        ("steps=-1", -1),
        ("share=0.5", 0.5),
        ("share=1", 1.0),
        ("fast=true", True),
        ("fast=false", False),
        ('names=["a"]', ["a"]),
        ('more={"a": 1}', {"a": 1}),
        ("text=1=2", "1=2"),
        ("text=", ""),
    ],
)
def test_parameter_is_read_as_the_type_in_the_compiled_file(text: str, value: Any) -> None:
    name = text.partition("=")[0]
    found = read_assignments(["text=x", text], SPEC)
    assert found[name] == value
    assert type(found[name]) is type(value)
    assert check_values(found, SPEC, "here") == found


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["text=x", "steps=4.5"], "--param steps: '4.5' is not a whole number"),
        (["text=x", "share=nan"], "--param share: 'nan' is not a number"),
        (["text=x", "fast=True"], "--param fast: 'True' is not true or false"),
        (["text=x", "names={}"], "--param names: '{}' is not a JSON list"),
        (["text=x", "more=["], "--param more: '[' is not a JSON object"),
        (["text=x", "stepz=1"], "--param stepz: the pipeline has no such parameter; did you mean steps?"),
        (["zzz=1"], "allowed: fast, more, names, share, steps, text"),
        (["text"], "--param text: allowed: NAME=VALUE, e.g. horizon=48"),
        (["steps=1"], "--param: text has no default and is not given"),
    ],
)
def test_parameter_that_the_pipeline_cannot_take_is_refused(texts: list[str], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_assignments(texts, SPEC)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"text": "x", "steps": "48"}, "here.steps: '48' is not a whole number"),
        ({"text": "x", "steps": True}, "here.steps: True is not a whole number"),
        ({"text": "x", "fast": 1}, "here.fast: 1 is not true or false"),
        ({"text": 1}, "here.text: 1 is not text"),
        ({}, "here: text has no default and is not given"),
    ],
)
def test_value_of_another_type_than_the_pipelines_is_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_values(values, SPEC, "here")
    assert why in str(caught.value)


def test_same_settings_are_the_same_version_and_others_are_not(compiled: Compiled, tmp_path: Path) -> None:
    again = compile_mode(load_settings(None, SMALL), "train", tmp_path)
    other = compile_mode(load_settings(None, [*SMALL, "training.seed=1"]), "train", tmp_path)
    assert again.version == compiled.version != other.version
    assert (len(again.version), again.name) == (16, "kubecast-training")


def test_submit_makes_what_is_not_there_and_says_where_to_look(api: KfpApi) -> None:
    found = invoke("submit", *SET, *DATA, "--param", "horizon=12", "--host", api.host, "--name", "first")
    assert [line.split()[0] for line in found.stdout.splitlines()] == [
        "pipeline",
        "version",
        "experiment",
        "run",
        "link",
    ]
    (run_id,) = api.runs
    assert f"{api.host}/#/runs/details/{run_id}" in found.stdout
    assert api.lines() == CREATED
    (version,) = api.versions.values()
    assert version.display_name in found.stdout
    assert api.requests[-1].body == {
        "display_name": "first",
        "experiment_id": next(iter(api.experiments)),
        "pipeline_version_reference": {
            "pipeline_id": version.pipeline_id,
            "pipeline_version_id": version.pipeline_version_id,
        },
        "runtime_config": {"parameters": {"data": "s3://demand/demand.csv", "horizon": 12}},
    }


def test_uploaded_file_is_the_compiled_one(api: KfpApi, compiled: Compiled) -> None:
    ensure_pipeline_ref(client(api), compiled, "demand")
    (upload,) = (each for each in api.requests if each.form)
    assert upload.form == compiled.path.read_bytes()
    assert upload.query["name"] == compiled.version
    assert next(yaml.safe_load_all(upload.form)) == compiled.spec


def test_second_submit_makes_a_run_and_nothing_else(api: KfpApi) -> None:
    words = ["submit", *SET, *DATA, "--host", api.host]
    first = invoke_json(*words)
    api.requests.clear()
    second = invoke_json(*words)
    assert api.lines("POST", "DELETE") == ["POST /runs"]
    assert first["run"] != second["run"]
    assert first["version"] == second["version"]


def test_service_account_experiment_and_namespace_reach_the_run(api: KfpApi, tmp_path: Path) -> None:
    api.namespaces = {"team-a"}
    connection = ["--set", "cluster.connection.experiment=weekly", "--namespace", "team-a"]
    invoke("submit", *SET, *DATA, *connection, "--host", api.host, "--service-account", "trainer")
    assert api.requests[-1].body["service_account"] == "trainer"
    (experiment,) = api.experiments.values()
    assert (experiment.display_name, experiment.namespace) == ("weekly", "team-a")


def test_links_begin_with_the_dashboard(api: KfpApi) -> None:
    dashboard = ["--set", "cluster.connection.dashboard=https://kf.example.com/pipeline/"]
    link = invoke_json("submit", *SET, *DATA, *dashboard, "--host", api.host)["link"]
    assert link.startswith("https://kf.example.com/pipeline/#/runs/details/run-")


def test_dry_run_tells_what_it_would_make_and_makes_nothing(api: KfpApi, compiled: Compiled) -> None:
    words = ["submit", *SET, *DATA, "--host", api.host, "--dry-run"]
    before = invoke(*words).stdout
    assert before.count("would be created") == 4
    assert f"version    {compiled.version}  would be created" in before
    assert "s3://demand/demand.csv" in before
    ensure_pipeline_ref(client(api), compiled, "forecaster")
    api.requests.clear()
    after = invoke(*words).stdout
    assert f"version    {compiled.version}  exists" in after
    assert invoke_json(*words)["exists"] == {"pipeline": True, "version": True, "experiment": True}
    assert not api.lines("POST", "DELETE")
    assert not api.runs


def test_offline_tells_the_same_without_a_cluster_and_what_was_not_checked(
    api: KfpApi, compiled: Compiled
) -> None:
    words = ["submit", *SET, *DATA, "--host", api.host, "--offline"]
    lines = invoke(*words).stdout.splitlines()
    assert lines[1] == f"version    {compiled.version}  would be created where it is not there yet"
    assert lines[3].endswith("would be created, with {'data': 's3://demand/demand.csv'}")
    assert lines[4].startswith("unchecked  Kubeflow Pipelines, service account, GPU nodes, Pod Security: ")
    document = invoke_json(*words, "--dry-run")
    assert document["exists"] == {"pipeline": None, "version": None, "experiment": None}
    assert document["not_checked"][0] == "Kubeflow Pipelines"
    with pytest.raises(ConfigError, match=r"--param data: demand\.csv is a path"):
        invoke("submit", *SET, "--param", "data=demand.csv", "--offline")
    with pytest.raises(ConfigError, match=r"cluster\.connection\.host: holds a user"):
        invoke("submit", *SET, *DATA, "--host", "http://me:word@kfp", "--offline")
    with pytest.raises(ConfigError, match="--wait: nothing runs"):
        invoke(*words, "--wait")
    assert not api.requests


def test_wrong_parameter_is_refused_before_the_cluster_is_asked(api: KfpApi) -> None:
    with pytest.raises(ConfigError, match=r"--param horizont: .* did you mean horizon"):
        invoke("submit", *SET, *DATA, "--param", "horizont=1", "--host", api.host)
    with pytest.raises(ConfigError, match="--param: data has no default"):
        invoke("submit", *SET, "--host", api.host)
    assert not api.requests


def test_score_submits_the_pipeline_that_only_forecasts(api: KfpApi) -> None:
    params = [*DATA, "--param", "destination=s3://demand/out", "--host", api.host]
    assert invoke_json("submit", *SET, "--mode", "score", *params)["pipeline"] == "kubecast-batch-forecast"


def test_submit_that_waits_for_a_run_that_succeeds_prints_each_state_once(api: KfpApi) -> None:
    api.script = SUCCEEDS
    found = invoke("submit", *SET, *DATA, "--host", api.host, "--wait")
    assert not found.exit_code
    lines = found.stderr.splitlines()
    assert lines[:3] == ["RUNNING   resolve-inputs", "SUCCEEDED resolve-inputs", "RUNNING   prepare-data"]
    assert "SUCCEEDED prepare-data" in lines
    assert lines[-1] == "state      SUCCEEDED"
    assert len(set(lines)) == len(lines)
    assert api.lines("GET").count("GET /runs/ID") == len(SUCCEEDS)


def test_submit_that_waits_for_a_run_that_fails_is_an_error_that_says_why(api: KfpApi) -> None:
    api.script = FAILS
    with pytest.raises(
        ClusterError, match=r"run run-\d+ ended as FAILED: workflow failed; prepare-data: no such bucket"
    ):
        invoke("submit", *SET, *DATA, "--host", api.host, "--wait")
    assert ClusterError.exit_status == 1


def test_waiting_with_json_prints_one_document(api: KfpApi) -> None:
    api.script = SUCCEEDS
    found = invoke_json("submit", *SET, *DATA, "--host", api.host, "--wait")
    assert found["state"] == "SUCCEEDED"
    first = found["tasks"][0]
    assert (first["name"], first["state"], first["seconds"]) == ("resolve-inputs", "SUCCEEDED", 4.0)
    assert found["link"].endswith(found["run"])


def test_canceled_run_is_no_success(api: KfpApi) -> None:
    api.script = [step("CANCELED")]
    with pytest.raises(ClusterError, match=r"run run-\d+ ended as CANCELED$"):
        invoke("submit", *SET, *DATA, "--host", api.host, "--wait")


def test_waiting_that_is_interrupted_leaves_the_run_and_says_how_to_see_it(
    api: KfpApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", interrupt)
    found = invoke("submit", *SET, *DATA, "--host", api.host, "--wait")
    assert found.return_value == 130
    (run_id,) = api.runs
    assert found.stderr == f"the run goes on; kubecast status {run_id} shows it\n"
    assert not api.lines("DELETE")


def submitted(api: KfpApi) -> str:
    return str(invoke_json("submit", *SET, *DATA, "--host", api.host)["run"])


def test_waiting_outlives_answers_that_are_missing_for_a_while(api: KfpApi) -> None:
    run = submitted(api)
    api.script = SUCCEEDS
    api.fail("GET /runs", 503, times=following.PATIENCE)
    seen: list[Progress] = []
    assert Follower(client(api), interval=0).wait(run, seen.append).state == "SUCCEEDED"
    assert [each.state for each in seen] == ["PENDING", "RUNNING", "RUNNING", "SUCCEEDED"]


def test_waiting_ends_when_answers_stay_away(api: KfpApi) -> None:
    run = submitted(api)
    api.fail("GET /runs", 503)
    with pytest.raises(ClusterUnreachable, match="503"):
        Follower(client(api), interval=0).wait(run, lambda progress: None)
    assert api.lines("GET").count("GET /runs/ID") == following.PATIENCE + 1


def test_waiting_ends_at_once_when_it_is_not_allowed(api: KfpApi) -> None:
    run = submitted(api)
    api.fail("GET /runs", 401)
    with pytest.raises(ClusterError, match="401"):
        Follower(client(api), interval=0).wait(run, lambda progress: None)
    assert api.lines("GET").count("GET /runs/ID") == 1


def test_status_shows_every_task_of_the_graph_with_its_time_and_error(api: KfpApi) -> None:
    run = submitted(api)
    api.script = FAILS[1:]
    found = invoke_json("status", run, "--host", api.host)
    tasks = {task["name"]: task for task in found["tasks"]}
    assert found["state"] == "FAILED"
    assert found["error"] == "workflow failed"
    assert list(tasks)[:2] == ["resolve-inputs", "prepare-data"]
    assert {"train-catboost", "final-catboost", "register-model"} < tasks.keys()
    failed = tasks["prepare-data"]
    assert (failed["state"], failed["seconds"], failed["reason"]) == ("FAILED", 34.0, "no such bucket")
    assert tasks["final-catboost"]["state"] == "FAILED"
    assert "lost sight of it" in tasks["final-catboost"]["reason"]
    assert tasks["final-catboost"]["seconds"] is None
    printed = invoke("status", run, "--host", api.host).stdout
    assert all(
        text in printed for text in ("prepare-data", "0:00:34", "no such bucket", "workflow failed", run)
    )


def test_run_that_carries_its_own_pipeline_is_shown(api: KfpApi, compiled: Compiled) -> None:
    run = submitted(api)
    api.script = [{"state": "RUNNING", "pipeline_spec": compiled.spec}]
    api.requests.clear()
    assert {task.state for task in Follower(client(api)).look(run).tasks} == {"PENDING"}
    assert api.lines() == ["GET /runs/ID"]


def test_unknown_run_is_an_input_that_is_wrong(api: KfpApi) -> None:
    with pytest.raises(
        ClusterNotFound, match=r"run nothing .*404 not found: run nothing not found"
    ) as caught:
        invoke("status", "nothing", "--host", api.host)
    assert caught.value.exit_status == 2


@pytest.mark.slow
def test_time_out_while_a_run_is_made_says_that_it_may_be_there(api: KfpApi) -> None:
    api.failures = [Failure("POST /runs", None)]
    words = ["--host", api.host, "--set", "cluster.connection.timeout=3"]
    with pytest.raises(ClusterUnreachable, match=r"create run .* may have been carried out all the same"):
        invoke("submit", *SET, *DATA, *words)


def test_in_a_terminal_the_table_is_live(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        run_view, "Console", lambda **options: Console(**options, force_terminal=True, width=100)
    )
    done = Progress("r", "nightly [1]", "RUNNING", "", (Task("train", (), "FAILED", 3725.2, "[red] no"),))
    with run_view.shown() as show:
        show(done)
    shown = capsys.readouterr().err
    assert all(text in shown for text in ("nightly [1]", "1:02:05", "[red] no"))


def test_told_json_is_json(api: KfpApi) -> None:
    run = submitted(api)
    assert json.loads(invoke("status", run, "--host", api.host, "--json").stdout)["run"] == run
