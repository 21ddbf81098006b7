"""Logs that Kubeflow Pipelines keeps in the store."""

import obstore
import pytest

from kubecast.errors import StoreUnreachable
from kubecast.pipelines.running import following
from kubecast.pipelines.running.task_logs import headline, read_kept, tail
from kubecast.storage.bucket import Bucket
from tests.support.recordings import LAUNCHER, TRACEBACK, by_name, look, recorded, serve_run, serve_workflow
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi


def test_kept_log_is_read_when_the_pod_is_gone(
    kfp: KfpApi, cluster: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = serve_run(kfp, "run-frozen.json")
    serve_workflow(cluster, recorded("workflow-train.json.gz"))
    asked: list[tuple[str, int]] = []

    def kept(uri: str, attempt: int) -> str:
        asked.append((uri, attempt))
        return LAUNCHER + TRACEBACK if "train-arima-2" in uri else ""

    monkeypatch.setattr(following, "read_kept", kept)
    tasks = by_name(look(kfp, run, cluster))
    root = f"minio://mlpipeline/v2/artifacts/kubecast-training/{run}"
    uri = f"{root}/train-arima-2/b47ebcb9-9b25-4730-b3cf-3a77556a4692/executor-logs"
    assert (uri, 0) in asked
    assert tasks["final-arima"].log == tuple(TRACEBACK.splitlines())
    assert tasks["final-arima"].log_uri == f"{uri}-0"
    assert tasks["final-lstm"].log_uri.endswith("/executor-logs-0")
    assert not tasks["final-lstm"].log


def test_store_that_does_not_answer_is_asked_once(
    kfp: KfpApi, cluster: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = serve_run(kfp, "run-frozen.json")
    serve_workflow(cluster, recorded("workflow-train.json.gz"))
    asked: list[str] = []

    def kept(uri: str, attempt: int) -> str:
        asked.append(uri)
        raise StoreUnreachable("no")

    monkeypatch.setattr(following, "read_kept", kept)
    assert len(look(kfp, run, cluster).failed) == 5
    assert len(asked) == 1


def test_end_of_a_log_in_the_store(s3_url: str) -> None:
    bucket = Bucket(s3_url)
    obstore.put(bucket.client, "task/executor-logs-1", b"x" * 70_000 + b"\nthe end\n")
    obstore.put(bucket.client, "older/executor-logs", "Zürich".encode())
    obstore.put(bucket.client, "none/executor-logs-0", b"")
    kept = read_kept(f"{s3_url}/task/executor-logs", 1)
    assert len(kept) == 65_536
    assert kept.endswith("x\nthe end\n")
    assert read_kept(f"{s3_url}/older/executor-logs", 0) == "Zürich"
    assert (
        read_kept(f"{s3_url}/none/executor-logs", 0) == read_kept(f"{s3_url}/missing/executor-logs", 0) == ""
    )


DRIVER = """\
time=2026-11-29T02:10:08.860Z level=INFO msg="capturing logs" argo=true
I1129 02:10:08.916648      16 main.go:333] input ComponentSpec:{
  "inputDefinitions": {
    "parameters": {}
  }
}
F1129 02:10:08.982120      16 main.go:127] KFP driver: driver.Container(taskName="train") failed: no x
time=2026-11-29T02:10:09.861Z level=ERROR msg="cannot save parameter, does not exist" argo=true
Error: exit status 1
"""
EXECUTOR = """\
I1129 02:22:16.622909      17 main.go:67] Setting log level to: '1'
[KFP Executor 2026-11-29 02:22:18,968 INFO]: Looking for component `final_fit` in `/tmp/m.py`
[KFP Executor 2026-11-29 02:22:19,459 INFO]: Got executor_input:
{
    "inputs": {
        "artifacts": {}
    }
}
"""
OWN = """\
{"level": "INFO", "message": "progress final_arima 1/1"}
{
  "mase": 0.8
}
"""


def test_what_a_task_is_given_is_left_out_of_its_log() -> None:
    """As a real driver, launcher and executor wrote it."""
    shown = tail(DRIVER)
    assert len(shown) == 4
    assert headline(shown) == "no x"
    assert tail(EXECUTOR + OWN) == ("INFO progress final_arima 1/1", "{", '  "mase": 0.8', "}")
    cut = EXECUTOR.partition("{\n")[2]
    assert tail(cut + OWN) == tail(EXECUTOR + OWN)
    assert headline(tail(EXECUTOR)) == ""
