"""The compiled pipeline, read as a cluster would read it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubecast.config.training import TrainingSettings
from kubecast.config.validation import parse_settings
from kubecast.errors import ConfigError
from kubecast.models import DEFAULT_KINDS as KINDS
from kubecast.models import KINDS as INSTALLED
from kubecast.pipelines.compiling import MAX_BYTES, compile_pipeline
from kubecast.settings.loading import SECTIONS, AllSettings, load_settings
from kubecast.settings.pipeline import PipelineSettings
from tests.support.graphs import graphs, named, upstream

QUICK = Path(__file__).parents[2] / "configs" / "quick"


def compiled(folder: Path, **pipeline: Any) -> dict[str, Any]:
    settings = AllSettings(
        training=TrainingSettings(horizon=48, season_lengths=[48, 336]), pipeline=PipelineSettings(**pipeline)
    )
    path = compile_pipeline(settings, folder / "pipeline.yaml")
    found = next(yaml.safe_load_all(path.read_text()))  # the second is of the platform
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return compiled(tmp_path_factory.mktemp("compiled"))


@pytest.mark.slow
def test_graph_is_the_one_of_the_design(spec: dict[str, Any]) -> None:
    found = {name: upstream(spec, name) for name in named(spec)}
    assert found == {
        "resolve-inputs": set(),
        "prepare-data": {"resolve-inputs"},
        "train": {"resolve-inputs", "prepare-data"},
        **{f"train-{kind}": set() for kind in KINDS},
        "stack-ensemble": {"prepare-data", "train"},
        "forecast-champion": {"resolve-inputs", "prepare-data"},
        "evaluate-models": {"prepare-data", "stack-ensemble", "forecast-champion"},
        "final-fit": {"resolve-inputs", "prepare-data", "train"},
        **{f"final-{kind}": set() for kind in KINDS},
        "register-model": {
            "resolve-inputs",
            "prepare-data",
            "stack-ensemble",
            "evaluate-models",
            "final-fit",
        },
    }


def test_key_of_every_task_is_its_name(spec: dict[str, Any]) -> None:
    """KFP's API tells of tasks by their keys."""
    keys = [key for graph in graphs(spec) for key in graph["tasks"]]
    assert sorted(keys) == sorted(named(spec))


def test_parameters_and_their_defaults(spec: dict[str, Any]) -> None:
    found = spec["root"]["inputDefinitions"]["parameters"]
    sections = ["training", *INSTALLED, "ensemble", "search"]
    assert set(found) == {
        "data",
        "horizon",
        "frequency",
        "season_lengths",
        "registry",
        "model_name",
        "as_of",
        "seed",
        *(f"{name}_settings" for name in sections),
    }
    assert "defaultValue" not in found["data"]
    assert found["horizon"] == {"defaultValue": 48.0, "parameterType": "NUMBER_INTEGER"}
    assert found["season_lengths"]["defaultValue"] == "48,336"
    assert found["registry"]["defaultValue"] == "/app/models"
    texts = {name: json.loads(found[f"{name}_settings"]["defaultValue"]) for name in sections}
    assert texts.pop("training") == {"horizon": 48, "season_lengths": [48, 336]}
    assert list(texts.values()) == [{}] * len(texts)


def test_parameters_hold_what_is_not_the_default_and_mean_the_same(tmp_path: Path) -> None:
    settings = load_settings(QUICK)
    path = compile_pipeline(settings, tmp_path / "quick.yaml")
    found = next(yaml.safe_load_all(path.read_text()))["root"]["inputDefinitions"]["parameters"]
    for kind in KINDS:
        text = found[f"{kind}_settings"]["defaultValue"]
        assert parse_settings(SECTIONS[kind], text, kind) == getattr(settings, kind)


def test_trainers_read_their_settings_beside_the_panel(spec: dict[str, Any]) -> None:
    for kind in KINDS:
        assert set(named(spec)[f"train-{kind}"]["inputs"]) == {"artifacts"}


@pytest.mark.slow
def test_retraining_differs_only_in_what_resolve_inputs_is_told(tmp_path: Path) -> None:
    settings = AllSettings(training=TrainingSettings(horizon=48))
    modes = ("train", "retrain")
    paths = [compile_pipeline(settings, tmp_path / f"{mode}.yaml", mode) for mode in modes]
    lines = [path.read_text().splitlines() for path in paths]
    differing = [(a.strip(), b.strip()) for a, b in zip(*lines, strict=True) if a != b]
    assert differing == [("constant: train", "constant: retrain")]


def test_every_executor_runs_a_baked_image_and_installs_nothing(spec: dict[str, Any]) -> None:
    containers = {
        name: executor["container"] for name, executor in spec["deploymentSpec"]["executors"].items()
    }
    images = {name.removeprefix("exec-"): container["image"] for name, container in containers.items()}
    assert {name: image.partition(":")[0] for name, image in images.items()} == {
        "resolve-inputs": "kubecast-base",
        "prepare-data": "kubecast-base",
        "train-arima": "kubecast-arima",
        "final-arima": "kubecast-arima",
        "train-lstm": "kubecast-tensorflow-gpu",
        "final-lstm": "kubecast-tensorflow-gpu",
        "train-transformer": "kubecast-tensorflow-gpu",
        "final-transformer": "kubecast-tensorflow-gpu",
        "train-catboost": "kubecast-catboost",
        "final-catboost": "kubecast-catboost",
        "stack-ensemble": "kubecast-base",
        "forecast-champion": "kubecast-serving",
        "evaluate-models": "kubecast-base",
        "register-model": "kubecast-base",
    }
    assert not [image for image in images.values() if image.endswith((":latest", ":"))]
    assert "pip install" not in json.dumps(containers)


def test_only_resolve_inputs_is_never_cached(spec: dict[str, Any]) -> None:
    tasks = named(spec).items()
    uncached = {name for name, task in tasks if not task["cachingOptions"].get("enableCache")}
    assert uncached == {"resolve-inputs"}


def test_every_component_input_of_a_dag_is_defined_there(spec: dict[str, Any]) -> None:
    dags = [spec["root"], *(c for c in spec["components"].values() if "dag" in c)]
    for dag in dags:
        defined = set(dag.get("inputDefinitions", {}).get("parameters", {}))
        assert set(_component_inputs(dag["dag"])) <= defined


def _component_inputs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("componentInputParameter"), str):
            yield node["componentInputParameter"]
        for value in node.values():
            yield from _component_inputs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _component_inputs(value)


def test_file_fits_a_cluster(spec: dict[str, Any], tmp_path: Path) -> None:
    path = compile_pipeline(load_settings(QUICK), tmp_path / "quick.yaml")
    assert path.stat().st_size < MAX_BYTES


def test_fewer_models_make_fewer_tasks(tmp_path: Path) -> None:
    found = set(named(compiled(tmp_path, models=["catboost"])))
    fitted = {name for name in found if name.startswith(("train-", "final-"))} - {"final-fit"}
    assert fitted == {"train-catboost", "final-catboost"}


def test_without_final_fit_the_evaluated_models_are_registered(tmp_path: Path) -> None:
    found = compiled(tmp_path, models=["arima"], final_fit=False)
    published = named(found)["register-model"]["inputs"]["artifacts"]["arima"]
    assert published == named(found)["stack-ensemble"]["inputs"]["artifacts"]["arima"]
    assert not [name for name in named(found) if name.startswith("final")]


def test_output_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.txt, allowed: \.yaml"):
        compile_pipeline(AllSettings(), tmp_path / "pipeline.txt")


@pytest.mark.slow
def test_compiling_and_help_import_no_framework(tmp_path: Path) -> None:
    heavy = "{'tensorflow', 'keras', 'pmdarima', 'statsforecast', 'catboost', 'mlforecast', 'matplotlib'}"
    code = (
        "import sys\nfrom kubecast.cli.app import app\n"
        "for words in (['--help'], ['run', '--help'], ['compile', '--output', sys.argv[1]]):\n"
        "    try:\n        app(words)\n    except SystemExit:\n        pass\n"
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    path = tmp_path / "pipeline.yaml"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert path.exists()


def test_series_are_fitted_in_shards_and_joined(tmp_path: Path) -> None:
    found = compiled(tmp_path, models=["arima", "catboost"], shards=3)
    tasks = named(found)
    assert {name for name in tasks if "shard" in name} == {
        *("arima-shards", "train-arima-shard", "final-arima-shard")
    }
    loops = [
        task for graph in graphs(found) for task in graph["tasks"].values() if "parameterIterator" in task
    ]
    assert len(loops) == 2
    for loop in loops:
        assert json.loads(loop["parameterIterator"]["items"]["raw"]) == ["1/3", "2/3", "3/3"]
        assert loop["iteratorPolicy"] == {"parallelismLimit": 8}
    for task in ("train", "final"):
        assert upstream(found, f"{task}-arima") == {"arima-shards"}
        component = found["components"][tasks[f"{task}-arima"]["componentRef"]["name"]]
        assert component["inputDefinitions"]["artifacts"]["shards"]["isArtifactList"]
    assert tasks["stack-ensemble"]["inputs"]["artifacts"].keys() == {"panel", "arima", "catboost"}


@pytest.mark.parametrize("pipeline", [{}, {"shards": 1}, {"shards": 8, "models": ["catboost"]}])
def test_nothing_is_divided_unless_shards_are_many_and_a_model_can_be(
    tmp_path: Path, pipeline: dict[str, Any]
) -> None:
    assert not [name for name in named(compiled(tmp_path, **pipeline)) if "shard" in name]
