"""The components that tune with Katib or with several workers, as a pod runs them."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kmock import KubernetesEmulator, Server, resource
from kubernetes import client

from kubecast.components.training.choose_settings import choose_settings
from kubecast.components.training.tune_katib import tune_katib
from kubecast.components.training.tune_optuna import tune_optuna
from kubecast.components.training.tune_worker import tune_worker
from kubecast.errors import ConfigError
from kubecast.pipelines.pods import trial_pod
from kubecast.settings.loading import load_settings
from kubecast.settings.pipeline import TuningSettings
from kubecast.steps import tune_katib as step
from kubecast.steps.run_settings import RunSettings, SearchPlan, section
from kubecast.tuning.katib import client as katib_client
from kubecast.tuning.katib import waiting
from tests.support.launcher import Launcher
from tests.support.panels import hourly
from tests.support.runs import prepare
from tests.support.searches import BASE, SPACE

pytestmark = pytest.mark.slow

EXPERIMENTS, TRIALS = (resource("kubeflow.org", "v1beta1", plural) for plural in ("experiments", "trials"))
WORKFLOWS = resource("argoproj.io", "v1alpha1", "workflows")


class Served:
    """kmock in a thread of its own, since a task works, and hears of its end, in the main one."""

    def __init__(self) -> None:
        self.loop, self.ready, self.done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self._serve(),))
        self.thread.start()
        self.ready.wait()

    async def _serve(self) -> None:
        async with KubernetesEmulator() as self.kmock, Server(self.kmock):
            for known in (EXPERIMENTS, TRIALS, resource("", "v1", "pods"), resource("", "v1", "events")):
                self.kmock.resources[known] = {"namespaced": True}
            owner = {"metadata": {"name": "kubecast-training-jhjfm", "uid": "008f565b"}}
            self.kmock.objects[WORKFLOWS, "team-a", "kubecast-training-jhjfm"] = owner
            self.url = str(self.kmock.url).rstrip("/")
            self.ready.set()
            await self.done.wait()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.done.set)
        self.thread.join()
        self.loop.close()

    def end_the_experiment(self) -> None:
        """Let it end with two trials as soon as it is there, as Katib would."""

        async def end() -> str:
            while not (names := [name for kind, _, name in self.kmock.objects if kind == EXPERIMENTS]):
                await asyncio.sleep(0.01)
            for number, depth in enumerate(("3", "4"), 1):
                values = [{"name": "depth", "value": depth}, {"name": "learning_rate", "value": "0.3"}]
                metrics = [{"name": "objective", "latest": f"0.{number}"}]
                self.kmock.objects[TRIALS, "team-a", f"t{number}"] = {
                    "metadata": {"name": f"t{number}", "namespace": "team-a"},
                    "spec": {"parameterAssignments": values},
                    "status": {
                        "conditions": [{"type": "Succeeded", "status": "True"}],
                        "observation": {"metrics": metrics},
                    },
                }
            ended = {"conditions": [{"type": "Succeeded", "status": "True", "message": "done"}]}
            self.kmock.objects[EXPERIMENTS, "team-a", names[0]].patch({"status": ended})
            return str(names[0])

        self.ended = asyncio.run_coroutine_threadsafe(end(), self.loop)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(katib_client, "PAUSE", 0.01)
    monkeypatch.setattr(waiting, "WATCHING", 1)
    server = Served()
    configuration = client.Configuration(host=server.url)
    monkeypatch.setattr(step, "connect", lambda: (client.ApiClient(configuration), "team-a"))
    yield server
    server.stop()


@pytest.fixture
def given(launcher: Launcher, tmp_path: Path) -> dict[str, Any]:
    """A panel whose run searches CatBoost's settings by Katib, and what is searched."""
    panel = prepare(hourly(), tmp_path / "data", optimization={"n_trials": 2, "folds": 2})
    run = RunSettings.read(panel)
    run.model_copy(update={"models": {**run.models, "catboost": section(BASE)}}).write(panel)
    search = searching(tuner="katib", workers=2)
    return {"panel": launcher.artifact(dsl.Dataset, panel), "kind": "catboost", "search": search}


def searching(**tuning: Any) -> str:
    return SearchPlan(tuning=TuningSettings(**tuning), spaces={"catboost": SPACE}).text()


def test_katibs_trials_become_settings_a_table_and_a_page(
    served: Served, launcher: Launcher, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECAST_RUN_ID", "6c1d0d3e-run")
    monkeypatch.setenv("KUBECAST_WORKFLOW", "kubecast-training-jhjfm")
    settings = load_settings(None, ["cluster.katib.endpoint=http://store:9000"])
    pod = trial_pod("kubecast-catboost:1", settings.cluster.task("train_catboost"), settings)
    served.end_the_experiment()
    searched = launcher.run(tune_katib, **given, trial_pod=pod.model_dump_json())
    name = served.ended.result(5)
    assert name.startswith("kubecast-catboost-")
    assert len(name) <= 40
    made = served.kmock.objects[EXPERIMENTS, "team-a", name].raw
    assert made["metadata"]["labels"]["kubecast/run"] == "6c1d0d3e-run"
    [owner] = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Workflow", "kubecast-training-jhjfm", "008f565b")
    container = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]
    variable = json.loads(container["env"][0]["value"])
    assert variable["panel"] == given["panel"].uri
    assert variable["store"] == {"endpoint": "http://store:9000", "region": ""}
    assert variable["settings"] == BASE.model_dump(mode="json")
    assert {"name": "KUBECAST_RETRY_SECONDS", "value": "600"} in container["env"]

    chosen = launcher.run(choose_settings, **given, found=searched["trials"])
    assert json.loads(chosen["Output"])["depth"] in (BASE.depth, 3)
    assert len(Path(chosen["trials"].path).read_text().splitlines()) == 3
    assert chosen["metrics"].metadata["best_error"] == pytest.approx(0.1)
    assert json.loads(Path(chosen["metrics"].path).read_text()) == chosen["metrics"].metadata
    assert "Katib, 2 workers" in Path(chosen["report"].path).read_text()


def test_optuna_searches_what_the_run_says(launcher: Launcher, given: dict[str, Any]) -> None:
    given["search"] = searching()
    outputs = launcher.run(tune_optuna, **given, processes=1)
    assert json.loads(outputs["Output"])["iterations"] == BASE.iterations
    assert len(Path(outputs["trials"].path).read_text().splitlines()) == 3
    assert "Tuning of catboost" in Path(outputs["report"].path).read_text()


def test_worker_needs_the_database(
    launcher: Launcher, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECAST_OPTUNA_URL", raising=False)
    given["search"] = searching(tuner="optuna", storage="database", workers=2)
    with pytest.raises(ConfigError, match="KUBECAST_OPTUNA_URL is not set"):
        launcher.run(tune_worker, **given, worker=1)
