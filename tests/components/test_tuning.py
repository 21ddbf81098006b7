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

from components.training.choose_settings import choose_settings
from components.training.tune_katib import tune_katib
from components.training.tune_worker import tune_worker
from kubecast.config import load_settings
from kubecast.errors import ConfigError
from kubecast.steps import tune_katib as step
from kubecast.tuning import katib
from kubecast.tuning.spaces import SearchSettings
from pipelines.pods import trial_pod
from tests.conftest import hourly
from tests.unit.steps.test_steps import prepare
from tests.unit.steps.test_tune import BASE, SPACE

EXPERIMENTS, TRIALS = (resource("kubeflow.org", "v1beta1", plural) for plural in ("experiments", "trials"))


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
            while not (names := [name for _, _, name in self.kmock.objects]):
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
    monkeypatch.setattr(katib, "PAUSE", 0.01)
    monkeypatch.setattr(katib, "WATCHING", 1)
    server = Served()
    configuration = client.Configuration(host=server.url)
    monkeypatch.setattr(step, "connect", lambda: (client.ApiClient(configuration), "team-a"))
    yield server
    server.stop()


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    panel = prepare(hourly(), tmp_path / "data", optimization={"n_trials": 2, "folds": 2})
    return {
        "panel": dsl.Dataset(name="panel", uri=str(panel)),
        "kind": "catboost",
        "settings": BASE.model_dump_json(),
        "champion_settings": "{}",
        "search": SearchSettings(catboost=SPACE).model_dump_json(),
        "tuning": json.dumps({"tuner": "katib", "workers": 2}),
        "seed": 1,
    }


def test_katibs_trials_become_settings_a_table_and_a_page(
    served: Served, given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECAST_RUN_ID", "6c1d0d3e-run")
    settings = load_settings(None, ["cluster.katib.endpoint=http://store:9000"])
    pod = trial_pod("kubecast-catboost:1", settings.cluster.of("train_catboost"), settings)
    found = dsl.Dataset(name="found", uri=str(tmp_path / "found.json"))
    served.end_the_experiment()
    tune_katib.python_func(**given, trial_pod=pod.model_dump_json(), trials=found)
    name = served.ended.result(5)
    assert name.startswith("kubecast-catboost-")
    assert len(name) <= 40
    made = served.kmock.objects[EXPERIMENTS, "team-a", name].raw
    assert made["metadata"]["labels"]["kubecast/run"] == "6c1d0d3e-run"
    container = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]
    variable = json.loads(container["env"][0]["value"])
    assert variable["panel"] == given["panel"].uri
    assert variable["store"] == {"endpoint": "http://store:9000", "region": ""}
    assert variable["settings"] == json.loads(given["settings"])

    outputs = {
        "trials": dsl.Dataset(name="trials", uri=str(tmp_path / "trials.csv")),
        "metrics": dsl.Metrics(name="metrics", uri=str(tmp_path / "metrics.json")),
        "report": dsl.HTML(name="report", uri=str(tmp_path / "report.html")),
    }
    chosen = choose_settings.python_func(**given, found=found, on_failure="stop", **outputs)
    assert json.loads(chosen)["depth"] in (BASE.depth, 3)
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 3
    assert outputs["metrics"].metadata["best_error"] == pytest.approx(0.1)
    assert json.loads((tmp_path / "metrics.json").read_text()) == outputs["metrics"].metadata
    assert "Katib, 2 workers" in (tmp_path / "report.html").read_text()


def test_worker_needs_the_database(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECAST_OPTUNA_URL", raising=False)
    tuning = '{"tuner": "optuna", "storage": "database", "workers": 2}'
    with pytest.raises(ConfigError, match="KUBECAST_OPTUNA_URL is not set"):
        tune_worker.python_func(**{**given, "tuning": tuning}, worker=1)
