"""Accelerators: whether updates are compiled, and a warning where a GPU is missing."""

from typing import Any

import pytest

from kubecast.data.panel import Panel
from kubecast.models.neural.backend import tf, uses_xla, warn_without_gpu
from tests.unit.models.neural.support import TINY, fit, spec_of


@pytest.mark.parametrize(
    ("gpus", "jit", "compiled"),
    [
        ([], "auto", (False, False)),
        (["gpu"], "auto", (False, True)),
        ([], True, (True, True)),
        (["gpu"], False, (False, False)),
    ],
)
def test_xla_is_used_on_gpus_by_networks_without_a_kernel_of_cudnn(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, gpus: list[str], jit: Any, compiled: tuple[bool, bool]
) -> None:
    spec = spec_of(panel)
    for name in ("list_physical_devices", "list_logical_devices"):  # ours, and what Keras asks
        monkeypatch.setattr(tf.config, name, lambda kind: gpus)
    used = []
    for trainer, tiny in TINY.items():
        settings = tiny.model_copy(update={"jit_compile": jit})
        used.append(uses_xla(trainer(settings, "m").build(spec), settings))
    assert tuple(used) == compiled


@pytest.mark.parametrize("cuda", [True, False], ids=["built-for-gpus", "built-for-processors"])
@pytest.mark.parametrize(("requested", "warned"), [("1", 1), ("0", 0), ("", 0), (None, 0)])
def test_pod_that_asked_for_a_gpu_and_sees_none_says_so_whatever_its_build(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    cuda: bool,
    requested: str | None,
    warned: int,
) -> None:
    monkeypatch.setattr("tensorflow.sysconfig.get_build_info", lambda: {"is_cuda_build": cuda})
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    monkeypatch.setenv("KUBECAST_IMAGE", "kubecast-tensorflow:1")
    monkeypatch.delenv("KUBECAST_ACCELERATORS", raising=False)
    if requested is not None:
        monkeypatch.setenv("KUBECAST_ACCELERATORS", requested)
    warn_without_gpu()
    messages = [record.message for record in caplog.records if "sees none" in record.message]
    assert len(messages) == warned
    assert all("image (kubecast-tensorflow:1)" in text and "driver" in text for text in messages)


def test_pod_that_asked_for_a_gpu_and_sees_one_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: ["gpu"])
    monkeypatch.setenv("KUBECAST_ACCELERATORS", "1")
    warn_without_gpu()
    assert not caplog.records


@pytest.mark.slow
def test_every_fit_asks_whether_its_gpu_is_there(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    monkeypatch.setenv("KUBECAST_ACCELERATORS", "1")
    fit(panel, epochs=1)
    assert [record.levelname for record in caplog.records if "sees none" in record.message] == ["WARNING"]
