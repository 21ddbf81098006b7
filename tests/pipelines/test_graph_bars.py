"""How large the compiled pipelines may be: their graphs in the dashboard, their files, their workflows."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubecast.config.schedules import Mode
from kubecast.models import DEFAULT_KINDS
from kubecast.pipelines.compiling import compile_pipeline
from kubecast.settings.loading import load_settings
from kubecast.settings.pipeline import MOST_SHARDS
from kubecast.steps.shard_status import ShardStatus
from tests.support.workflow_size import finished_bytes, measure_file
from tests.support.workflow_spec import EXIT

CONFIGS = Path(__file__).parents[2] / "configs"
CLUSTER = [
    "training.model_registry.path=minio://mlpipeline/kubecast/registry",
    "training.checkpoint_url=minio://mlpipeline/kubecast/checkpoints",
    "cluster.image_repository=registry.example.com/forecasting",
    "cluster.image_tag=0.1.0-0123456789ab",
    "cluster.secrets=[{secret: kubecast-object-store, variables:"
    " {AWS_ACCESS_KEY_ID: accesskey, AWS_SECRET_ACCESS_KEY: secretkey}}]",
    "cluster.environment={AWS_ENDPOINT_URL: 'http://seaweedfs.kubeflow:9000', AWS_ALLOW_HTTP: 'true',"
    " AWS_REGION: us-east-1}",
]
NOTICES = [
    "cluster.notifications={secret: hook}",
    "cluster.connection.dashboard=https://kf.example.com/pipeline",
]
SHARDED = [f"pipeline.shards={MOST_SHARDS}"]
RUN = {
    "data": "minio://mlpipeline/kubecast/demand.csv",
    "horizon": 48,
    "frequency": "30min",
    "season_lengths": "48,336",
}
MODELS = len(DEFAULT_KINDS)
VARIANTS: dict[str, tuple[Mode, list[str]]] = {
    "train": ("train", []),
    "train-notices": ("train", NOTICES),
    "retrain": ("retrain", []),
    "retrain-notices": ("retrain", NOTICES),
    "tune": ("tune", []),
    "tune-notices": ("tune", NOTICES),
    "tune-katib": ("tune", ["pipeline.tuning.tuner=katib"]),
    "score": ("score", []),
    "score-notices": ("score", NOTICES),
    "train-shards": ("train", SHARDED),
    "retrain-shards": ("retrain", SHARDED),
    "tune-shards": ("tune", SHARDED),
    "tune-shards-notices": ("tune", [*SHARDED, *NOTICES]),
}
TRAININGS = [name for name, (mode, _) in VARIANTS.items() if mode != "score"]
ONE_MIB = [name for name in TRAININGS if "tune" not in name and "shards" not in name]
WORK = "s3://forecasting-production/teams/demand-planning/kubecast/batches/.work"
SHARDS = [f"{WORK}/{'0123456789abcdef' * 2}/{number:03}" for number in range(MOST_SHARDS)]
MOST_OF_AN_ARGUMENT = 128 * 1024  # bytes of one word that Linux starts a program with


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("compiled")

    @cache
    def compile_variant(name: str) -> Path:
        mode, overrides = VARIANTS[name]
        return compile_pipeline(load_settings(CONFIGS, [*CLUSTER, *overrides]), folder / f"{name}.yaml", mode)

    return compile_variant


def tasks_of(graph: dict[str, Any], components: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tasks of a graph, each with its component."""
    for name, task in graph["tasks"].items():
        yield name, components[task["componentRef"]["name"]]


def outermost(spec: dict[str, Any]) -> dict[str, Any]:
    """The graph that the dashboard opens: the root, or what the exit handler watches."""
    root = spec["root"]["dag"]
    for task in root["tasks"].values():
        if task.get("triggerPolicy", {}).get("strategy") == EXIT:
            watched = root["tasks"][task["dependentTasks"][0]]
            return spec["components"][watched["componentRef"]["name"]]["dag"]
    return root


def artifacts(component: dict[str, Any]) -> dict[str, Any]:
    return component.get("outputDefinitions", {}).get("artifacts", {})


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_is_read_at_one_glance(name: str, compiled: Callable[[str], Path]) -> None:
    spec = next(yaml.safe_load_all(compiled(name).read_text()))
    tasks = dict(tasks_of(outermost(spec), spec["components"]))
    assert len(tasks) <= 9, sorted(tasks)
    made = {task: list(artifacts(component)) for task, component in tasks.items()}
    assert sum(map(len, made.values())) <= 8 + 2 * MODELS, made


@pytest.mark.parametrize("name", TRAININGS)
def test_trainers_stand_in_graphs_of_their_own(name: str, compiled: Callable[[str], Path]) -> None:
    spec = next(yaml.safe_load_all(compiled(name).read_text()))
    components = spec["components"]
    graphs = {task: each for task, each in tasks_of(outermost(spec), components) if "dag" in each}
    assert graphs.keys() == {"train", "final-fit"}
    for graph, component in graphs.items():
        types = {each["artifactType"]["schemaTitle"] for each in artifacts(component).values()}
        assert not types & {"system.HTML", "system.Metrics", "system.Markdown"}, graph  # they stay inside
        for task, inner in tasks_of(component["dag"], components):
            assert len(artifacts(inner)) <= 3, task


@pytest.mark.parametrize("name", ONE_MIB)
def test_a_finished_workflow_stays_below_what_argo_compresses(
    name: str, compiled: Callable[[str], Path]
) -> None:
    # An exit handler's graph is there twice.
    limit = 1024 * 1024 if name.endswith("notices") else 900_000
    assert finished_bytes(compiled(name), RUN) <= limit


@pytest.mark.parametrize("reason", ["", "main: " + "x" * 500], ids=["succeeds", "fails"])
@pytest.mark.parametrize("name", ["score", "score-notices"])
def test_a_finished_workflow_of_64_shards_is_small_once_its_nodes_are_compressed(
    name: str, reason: str, compiled: Callable[[str], Path]
) -> None:
    values = {
        "data": "s3://forecasting-production/teams/demand-planning/current.parquet",
        "destination": "s3://forecasting-production/teams/demand-planning/kubecast/batches",
        "prepare-history.Output": [f"{shard:0>140}" for shard in SHARDS],
        "forecast-shard.Output": lambda given: ShardStatus(
            shard=given["shard"], reason=reason
        ).model_dump_json(),
    }
    size = measure_file(compiled(name), values)
    assert size.packed <= 800_000
    assert sum(map(len, values["prepare-history.Output"])) < size.argument <= MOST_OF_AN_ARGUMENT


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("train-shards", 800_000),
        ("retrain-shards", 800_000),
        ("tune-shards", 820_000),
        ("tune-shards-notices", 850_000),
    ],
)
def test_a_finished_training_in_64_shards_is_small_once_its_nodes_are_compressed(
    name: str, most: int, compiled: Callable[[str], Path]
) -> None:
    size = measure_file(compiled(name), RUN)
    assert size.packed <= most
    assert MOST_SHARDS * 500 < size.argument <= MOST_OF_AN_ARGUMENT  # where their models are joined


@pytest.mark.parametrize("name", VARIANTS)
def test_a_compiled_file_is_small(name: str, compiled: Callable[[str], Path]) -> None:
    assert compiled(name).stat().st_size <= 160_000
