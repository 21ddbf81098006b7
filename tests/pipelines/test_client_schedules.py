"""`kubecast schedule`, against a real HTTP server."""

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp_server_api
import pytest

from kubecast.errors import ClusterConflict, ClusterError, ClusterUnreachable, ConfigError
from kubecast.pipelines.running.scheduling import ATTEMPTS, DesiredSchedule, Scheduler, prepare
from kubecast.pipelines.running.submitting import PipelineRef, ensure_pipeline_ref, version_reference
from kubecast.settings.loading import load_settings
from tests.support.clusters import client, folder_with, invoke, invoke_json
from tests.support.servers.kfp_api import NOW, Failure, KfpApi
from tests.support.servers.kfp_http import Request

pytestmark = pytest.mark.slow

NIGHTLY = """\
    - name: nightly-retrain
      cron: "0 2 * * *"
      mode: retrain
      parameters: {data: "s3://demand/demand.csv", horizon: 12}
"""
SCORE = """\
    - name: hourly-score
      cron: "0 30 * * * *"
      mode: score
      parameters: {data: "s3://demand/new.csv", destination: "s3://demand/out"}
      max_concurrency: 3
      no_catchup: false
      enabled: false
"""
PIPELINE = """\
pipelineInfo: {name: p}
schemaVersion: 2.1.0
root:
  inputDefinitions:
    parameters: {horizon: {parameterType: NUMBER_INTEGER, isOptional: true}}
"""
SPEC = {"cron": "0 0 2 * * *", "parameters": {}, "max_concurrency": 1, "no_catchup": True}


@pytest.fixture
def api() -> Iterator[KfpApi]:
    with KfpApi() as server:
        yield server


@pytest.fixture
def ref(api: KfpApi, tmp_path: Path) -> PipelineRef:
    """A pipeline, a version and an experiment that are there."""
    there = client(api)
    pipeline = there.create_pipeline("p")
    compiled = tmp_path / "p.yaml"
    compiled.write_text(PIPELINE)
    version = there.upload_version(pipeline, "v", compiled)
    return PipelineRef(pipeline, version, there.create_experiment("e"))


def desired(enabled: bool = True, **changes: Any) -> DesiredSchedule:
    more = {"pipeline": "p", "version": "v", "experiment": "e", "service_account": None}
    return DesiredSchedule("nightly", {**SPEC, **more, **changes}, enabled)


def states(api: KfpApi) -> list[tuple[str, str, str]]:
    return [
        (each.display_name, each.trigger.cron_schedule.cron, each.status) for each in api.recurring.values()
    ]


def folder(tmp_path: Path, text: str = NIGHTLY) -> str:
    return str(folder_with(tmp_path / "configs", text))


def test_apply_makes_what_the_file_says(api: KfpApi, tmp_path: Path) -> None:
    words = ["schedule", "apply", "--config", folder(tmp_path, NIGHTLY + SCORE), "--host", api.host]
    found = invoke(*words, "--service-account", "trainer")
    assert found.stdout.splitlines() == ["created    nightly-retrain", "created    hourly-score"]
    nightly, score = api.recurring.values()
    assert nightly.trigger.cron_schedule.cron == "0 0 2 * * *"
    assert nightly.runtime_config.parameters == {
        "as_of": "scheduled",
        "data": "s3://demand/demand.csv",
        "horizon": 12,
    }
    # No as_of, which would make every batch another one.
    assert score.runtime_config.parameters == {
        "data": "s3://demand/new.csv",
        "destination": "s3://demand/out",
    }
    assert (nightly.max_concurrency, nightly.no_catchup, nightly.status) == ("1", True, "ENABLED")
    assert nightly.service_account == score.service_account == "trainer"
    assert (score.max_concurrency, score.no_catchup, score.status) == ("3", False, "DISABLED")
    assert score.trigger.cron_schedule.cron == "0 30 * * * *"
    assert nightly.pipeline_version_reference.pipeline_version_id in api.versions
    assert {each.display_name for each in api.experiments.values()} == {"demand"}
    assert len(api.versions) == len(api.pipelines) == 2


def test_apply_again_changes_nothing(api: KfpApi, tmp_path: Path) -> None:
    words = ["schedule", "apply", "--config", folder(tmp_path), "--host", api.host]
    invoke(*words)
    before = dict(api.recurring)
    api.requests.clear()
    assert invoke_json(*words) == {"nightly-retrain": "unchanged"}
    assert not api.lines("POST", "DELETE")
    assert api.recurring == before


def test_only_the_named_schedules_are_applied(api: KfpApi, tmp_path: Path) -> None:
    words = ["schedule", "apply", "--config", folder(tmp_path, NIGHTLY + SCORE), "--host", api.host]
    assert invoke_json(*words, "hourly-score") == {"hourly-score": "created"}
    with pytest.raises(
        ConfigError, match=r"no schedule weekly in cluster\.yaml; allowed: nightly-retrain, hourly"
    ):
        invoke(*words, "weekly")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (NIGHTLY.replace("horizon", "horizont"), r"parameters\.horizont: .* did you mean horizon\?"),
        (NIGHTLY.replace("12", '"12"'), r"nightly-retrain: parameters\.horizon: '12' is not a whole number"),
    ],
    ids=["name", "type"],
)
def test_wrong_schedule_is_refused_before_any_is_applied(
    api: KfpApi, tmp_path: Path, text: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        invoke("schedule", "apply", "--config", folder(tmp_path, SCORE + text), "--host", api.host)
    assert not api.requests


def test_changed_schedule_is_made_disabled_before_the_old_one_goes_and_its_runs_go_on(
    api: KfpApi, ref: PipelineRef
) -> None:
    scheduler = Scheduler(client(api))
    assert scheduler.apply(desired(), ref) == "created"
    (old,) = api.recurring
    run = client(api).create_run(_run(ref, old))
    api.requests.clear()
    assert scheduler.apply(desired(cron="0 0 3 * * *"), ref) == "replaced"
    assert states(api) == [("nightly", "0 0 3 * * *", "ENABLED")]
    assert api.lines("POST", "DELETE") == [
        "POST /recurringruns",
        "DELETE /recurringruns/ID",
        "POST /recurringruns/ID:enable",
    ]
    created, deleted, enabled = (each for each in api.requests if each.method != "GET")
    assert created.body["mode"] == "DISABLE"
    assert deleted.path.endswith(old)
    assert deleted.query == {"propagation_policy": "ORPHAN"}
    assert old not in enabled.path
    assert api.runs[run].state == "PENDING"


def _run(ref: PipelineRef, recurring: str) -> Any:
    return kfp_server_api.V2beta1Run(
        display_name="r",
        experiment_id=ref.experiment_id,
        pipeline_version_reference=version_reference(ref),
        recurring_run_id=recurring,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"cron": "0 0 3 * * *"},
        {"pipeline": "q"},
        {"version": "w"},
        {"parameters": {"horizon": 1}},
        {"max_concurrency": 2},
        {"no_catchup": False},
        {"experiment": "f"},
        {"service_account": "trainer"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_change_of_anything_but_enabled_replaces(
    api: KfpApi, ref: PipelineRef, changes: dict[str, Any]
) -> None:
    scheduler = Scheduler(client(api))
    scheduler.apply(desired(), ref)
    assert [change.key for change in scheduler.diff([desired(**changes)])] == list(changes)
    assert scheduler.preview(desired(**changes)) == "replaced"
    assert scheduler.apply(desired(**changes), ref) == "replaced"
    assert scheduler.diff([desired(**changes)]) == []
    assert len(api.recurring) == 1


@pytest.mark.parametrize(("enabled", "action"), [(True, "enabled"), (False, "disabled")], ids=["on", "off"])
def test_change_of_enabled_only_switches(api: KfpApi, ref: PipelineRef, enabled: bool, action: str) -> None:
    scheduler = Scheduler(client(api))
    scheduler.apply(desired(enabled=not enabled), ref)
    before = list(api.recurring)
    assert [(c.key, c.actual, c.desired) for c in scheduler.diff([desired(enabled)])] == [
        ("enabled", not enabled, enabled)
    ]
    assert scheduler.preview(desired(enabled)) == action
    assert scheduler.apply(desired(enabled), ref) == action
    assert list(api.recurring) == before
    assert states(api)[0][2] == ("ENABLED" if enabled else "DISABLED")
    assert scheduler.preview(desired(enabled)) == "unchanged"


def test_back_to_an_earlier_spec_is_a_change(api: KfpApi, ref: PipelineRef) -> None:
    scheduler = Scheduler(client(api))
    for cron in ("0 0 2 * * *", "0 0 3 * * *", "0 0 2 * * *"):
        scheduler.apply(desired(cron=cron), ref)
        assert states(api) == [("nightly", cron, "ENABLED")]
    assert [each.generation for each in scheduler.schedules()] == [3]


def test_duplicates_are_removed_and_the_newest_stays(api: KfpApi, ref: PipelineRef) -> None:
    scheduler = Scheduler(client(api))
    scheduler.apply(desired(), ref)
    (first,) = api.recurring.values()
    for number in range(4):
        api.recurring[f"recurring-9{number}"] = _copy(first, f"recurring-9{number}")
    assert scheduler.apply(desired(), ref) == "enabled"
    assert list(api.recurring) == ["recurring-93"]
    assert states(api)[0][2] == "ENABLED"


def _copy(recurring: Any, number: str) -> Any:
    made = type(recurring)(**recurring.to_dict())
    made.recurring_run_id, made.created_at, made.status = number, NOW, "DISABLED"
    made.trigger, made.pipeline_version_reference = recurring.trigger, recurring.pipeline_version_reference
    return made


def test_what_was_cut_off_is_completed(api: KfpApi, ref: PipelineRef) -> None:
    scheduler = Scheduler(client(api))
    scheduler.apply(desired(), ref)
    api.fail("DELETE", 500, times=1)
    with pytest.raises(ClusterError, match="500"):
        scheduler.apply(desired(cron="0 0 3 * * *"), ref)
    assert [state[2] for state in states(api)] == ["ENABLED", "DISABLED"]
    assert scheduler.apply(desired(cron="0 0 3 * * *"), ref) == "enabled"
    assert states(api) == [("nightly", "0 0 3 * * *", "ENABLED")]


def test_create_whose_answer_is_lost_is_completed_by_applying_again(api: KfpApi, ref: PipelineRef) -> None:
    api.failures.append(Failure("POST /recurringruns$", None, times=1, done=True))
    with pytest.raises(ClusterUnreachable, match="may have been carried out all the same"):
        Scheduler(client(api, timeout=0.5)).apply(desired(), ref)
    assert [state[2] for state in states(api)] == ["DISABLED"]
    assert Scheduler(client(api)).apply(desired(), ref) == "enabled"
    assert states(api) == [("nightly", "0 0 2 * * *", "ENABLED")]


def test_schedule_on_a_later_page_is_found_by_its_name(api: KfpApi, ref: PipelineRef) -> None:
    scheduler = Scheduler(client(api))
    for number in range(5):
        scheduler.apply(dataclasses.replace(desired(), name=f"schedule-{number}"), ref)
    last = dataclasses.replace(desired(), name="schedule-4")
    assert scheduler.apply(last, ref) == "unchanged"
    assert len(api.recurring) == 5


def test_recurring_runs_of_others_are_left_alone(api: KfpApi, ref: PipelineRef) -> None:
    scheduler = Scheduler(client(api))
    scheduler.apply(desired(), ref)
    (ours,) = api.recurring.values()
    for number, description in enumerate([None, "kubecast {}", 'kubecast {"generation": "x"', "by hand"]):
        other = _copy(ours, f"recurring-0{number}")
        other.description = description
        api.recurring[other.recurring_run_id] = other
    scheduler.apply(desired(cron="0 0 3 * * *"), ref)
    scheduler.delete("nightly")
    assert sorted(api.recurring) == [f"recurring-0{number}" for number in range(4)]


def at_once(api: KfpApi, ref: PipelineRef, both: list[DesiredSchedule], line: str) -> list[str]:
    """Two people apply; both have looked before either of them does what `line` is."""
    barrier = threading.Barrier(2, timeout=20)
    waited: set[int] = set()
    actions: list[str] = []

    def before(request: Request) -> None:
        person = int(request.headers["cookie"].removeprefix("person="))
        if request.line == line and person not in waited:
            waited.add(person)
            barrier.wait()

    def apply(person: int) -> None:
        there = client(api, {"KUBECAST_KFP_COOKIES": f"person={person}"})
        actions.append(Scheduler(there).apply(both[person], ref))

    api.before = before
    threads = [threading.Thread(target=apply, args=(person,)) for person in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(actions)


@pytest.mark.parametrize("line", ["POST /recurringruns", "GET /recurringruns"])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "changed"])
def test_two_people_who_apply_the_same_at_once_end_with_one_that_is_on(
    api: KfpApi, ref: PipelineRef, line: str, exists: bool
) -> None:
    if exists:
        Scheduler(client(api)).apply(desired(cron="0 0 1 * * *"), ref)
    actions = at_once(api, ref, [desired(), desired()], line)
    assert len(actions) == 2
    assert "superseded" not in actions
    assert states(api) == [("nightly", "0 0 2 * * *", "ENABLED")]


@pytest.mark.parametrize("exists", [False, True], ids=["new", "changed"])
def test_two_people_who_apply_other_things_at_once_end_with_one_of_them(
    api: KfpApi, ref: PipelineRef, exists: bool
) -> None:
    if exists:
        Scheduler(client(api)).apply(desired(cron="0 0 1 * * *"), ref)
    both = [desired(cron="0 0 2 * * *"), desired(cron="0 0 3 * * *")]
    at_once(api, ref, both, "POST /recurringruns")
    ((_, cron, state),) = states(api)
    assert cron in ("0 0 2 * * *", "0 0 3 * * *")
    assert state == "ENABLED"


def test_one_who_is_superseded_is_told(api: KfpApi, tmp_path: Path) -> None:
    where = folder(tmp_path)
    invoke("schedule", "apply", "--config", where, "--host", api.host)
    ((wanted_now, compiled),) = prepare(load_settings(Path(where)), [], tmp_path, None)
    ref = ensure_pipeline_ref(client(api), compiled, "demand")
    other = dataclasses.replace(wanted_now, spec={**wanted_now.spec, "cron": "0 0 5 * * *"})

    def before(request: Request) -> None:
        if request.line.startswith("DELETE"):
            api.before = lambda request: None
            Scheduler(client(api)).apply(other, ref)

    api.before = before
    folder(tmp_path, NIGHTLY.replace("0 2", "0 4"))
    found = invoke("schedule", "apply", "--config", where, "--host", api.host)
    assert states(api) == [("nightly-retrain", "0 0 5 * * *", "ENABLED")]
    assert (found.stdout, found.return_value) == ("superseded nightly-retrain\n", 1)


def test_one_whose_schedule_keeps_being_replaced_gives_up(api: KfpApi, ref: PipelineRef) -> None:
    Scheduler(client(api)).apply(desired(enabled=False), ref)
    api.fail(":enable", 404, "gone")
    with pytest.raises(
        ClusterConflict, match="schedule nightly: somebody else keeps replacing it; try again"
    ):
        Scheduler(client(api)).apply(desired(), ref)
    assert api.lines("POST").count("POST /recurringruns/ID:enable") == ATTEMPTS


def test_schedule_that_somebody_deletes_meanwhile_is_superseded(api: KfpApi, ref: PipelineRef) -> None:
    scheduler = Scheduler(client(api))

    def before(request: Request) -> None:
        if api.recurring:
            api.before = lambda request: None
            Scheduler(client(api)).delete("nightly")

    api.before = before
    assert scheduler.apply(desired(), ref) == "superseded"


def test_dry_run_and_diff_change_nothing(api: KfpApi, tmp_path: Path) -> None:
    options = ["--config", folder(tmp_path, NIGHTLY + SCORE), "--host", api.host]
    assert invoke("schedule", "apply", *options, "--dry-run").stdout.splitlines() == [
        "would be created    nightly-retrain",
        "would be created    hourly-score",
    ]
    assert invoke_json("schedule", "diff", *options)[0] == {
        "name": "nightly-retrain",
        "key": "",
        "actual": None,
        "desired": "new",
    }
    assert not api.lines("POST", "DELETE")


def test_diff_tells_each_key_and_what_is_not_in_the_file(api: KfpApi, tmp_path: Path) -> None:
    options = ["--config", folder(tmp_path, NIGHTLY + SCORE), "--host", api.host]
    invoke("schedule", "apply", *options)
    assert "every schedule is as it should be" in invoke("schedule", "diff", *options).stdout
    folder(tmp_path, NIGHTLY.replace("0 2", "0 4").replace("12", "24"))
    found = invoke_json("schedule", "diff", *options)
    assert [(each["name"], each["key"]) for each in found] == [
        ("nightly-retrain", "cron"),
        ("nightly-retrain", "parameters"),
        ("hourly-score", ""),
    ]
    assert (found[0]["actual"], found[0]["desired"]) == ("0 0 2 * * *", "0 0 4 * * *")
    assert len(invoke_json("schedule", "diff", "nightly-retrain", *options)) == 2
    printed = invoke("schedule", "diff", *options).stdout
    assert "not in the file" in printed
    assert invoke("schedule", "apply", *options).stdout == "replaced   nightly-retrain\n"
    assert len(api.recurring) == 2


def test_paused_schedule_is_off_until_it_is_resumed_or_applied(api: KfpApi, tmp_path: Path) -> None:
    where = ["--config", folder(tmp_path), "--host", api.host]
    invoke("schedule", "apply", *where)
    assert invoke("schedule", "pause", "nightly-retrain", *where).stdout == "paused     nightly-retrain\n"
    assert invoke_json("schedule", "list", *where)[0]["enabled"] is False
    assert invoke("schedule", "resume", "nightly-retrain", *where).stdout == "resumed    nightly-retrain\n"
    assert states(api)[0][2] == "ENABLED"
    invoke("schedule", "pause", "nightly-retrain", *where)
    assert invoke_json("schedule", "apply", *where) == {"nightly-retrain": "enabled"}


def test_deleted_schedule_is_gone_and_deleting_leaves_its_runs(api: KfpApi, tmp_path: Path) -> None:
    where = ["--config", folder(tmp_path), "--host", api.host]
    invoke("schedule", "apply", *where)
    assert invoke("schedule", "delete", "nightly-retrain", *where).stdout == "deleted    nightly-retrain\n"
    assert not api.recurring
    assert api.requests[-1].query == {"propagation_policy": "ORPHAN"}


@pytest.mark.parametrize("command", ["pause", "resume", "delete"])
def test_unknown_schedule_is_refused_with_those_there_are(api: KfpApi, tmp_path: Path, command: str) -> None:
    where = ["--config", folder(tmp_path), "--host", api.host]
    with pytest.raises(ConfigError, match="no schedule nightly; allowed: none, as there are no schedules"):
        invoke("schedule", command, "nightly", *where)
    invoke("schedule", "apply", *where)
    with pytest.raises(ConfigError, match="no schedule nightly; allowed: nightly-retrain"):
        invoke("schedule", command, "nightly", *where)


def test_list_reads_every_page(api: KfpApi, ref: PipelineRef) -> None:
    scheduler = Scheduler(client(api))
    for number in range(5):
        scheduler.apply(dataclasses.replace(desired(), name=f"schedule-{number}"), ref)
    found = invoke_json("schedule", "list", "--host", api.host)
    assert [each["schedule"] for each in found] == [f"schedule-{number}" for number in range(5)]
    printed = invoke("schedule", "list", "--host", api.host).stdout
    assert all(text in printed for text in ("schedule-4", "0 0 2 * * *", "p", "v"))
    assert api.lines("GET").count("GET /pipelines/ID") == 2  # once for each command


def test_list_tells_what_the_recurring_run_itself_says(api: KfpApi, ref: PipelineRef) -> None:
    Scheduler(client(api)).apply(desired(parameters={"horizon": 12}, no_catchup=False), ref)
    assert invoke_json("schedule", "list", "--host", api.host) == [
        {
            "schedule": "nightly",
            "enabled": True,
            "cron": "0 0 2 * * *",
            "pipeline": "p",
            "version": "v",
            "parameters": {"horizon": 12},
            "max_concurrency": 1,
            "no_catchup": False,
            "experiment": "e",
            "service_account": "pipeline-runner",
            "id": next(iter(api.recurring)),
        }
    ]


def test_list_tells_the_id_of_what_was_deleted(api: KfpApi, ref: PipelineRef) -> None:
    Scheduler(client(api)).apply(desired(), ref)
    api.fail("GET /pipelines/", 404, "gone")
    (found,) = invoke_json("schedule", "list", "--host", api.host)
    assert (found["pipeline"], found["version"]) == (ref.pipeline_id, ref.version_id)


def test_account_that_the_cluster_fills_in_is_no_change(api: KfpApi, ref: PipelineRef) -> None:
    scheduler = Scheduler(client(api))
    scheduler.apply(desired(), ref)
    changes = scheduler.diff([desired(cron="0 0 3 * * *")])
    assert [change.key for change in changes] == ["cron"]


def test_description_fits_its_column(api: KfpApi, ref: PipelineRef) -> None:
    scheduler = Scheduler(client(api))
    scheduler.apply(desired(parameters={"horizon": 12}), ref)
    (made,) = api.recurring.values()
    assert made.description == f"kubecast generation=1 sha256={scheduler.schedules()[0].digest}"
    assert len(made.description) < 100


def test_description_that_is_too_long_is_refused_as_by_mysql(api: KfpApi, ref: PipelineRef) -> None:
    Scheduler(client(api)).apply(desired(), ref)
    (made,) = api.recurring.values()
    made.description, made.recurring_run_id = "x" * 256, None
    with pytest.raises(ClusterError, match=r"500 .*Data too long for column 'Description' at row 1"):
        client(api).create_recurring_run(made)
    assert len(api.recurring) == 1
    assert len(api.scheduled_workflows) == 2


STEPS = ["GET /recurringruns", "POST /recurringruns$", "DELETE", ":enable"]
ERRORS = [(line, status) for line in STEPS for status in (401, 403, 409, 500)]
# What is not found when it is deleted or enabled is gone, which is no error.
ERRORS += [(line, 404) for line in STEPS[:2]]


@pytest.mark.parametrize(("line", "status"), ERRORS)
def test_error_at_any_step_leaves_a_schedule_that_is_there(
    api: KfpApi, ref: PipelineRef, line: str, status: int
) -> None:
    scheduler = Scheduler(client(api))
    scheduler.apply(desired(), ref)
    api.fail(line, status, "so it is")
    with pytest.raises(ClusterError, match=f"{status} .*so it is"):
        scheduler.apply(desired(cron="0 0 3 * * *"), ref)
    assert api.recurring
