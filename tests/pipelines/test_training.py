"""The compiled pipeline, read as a cluster would read it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubecast.config import AllSettings, PipelineSettings, TrainingSettings, load_settings
from kubecast.errors import ConfigError
from pipelines.compiling import MAX_BYTES, compile_pipeline

KINDS = ["arima", "lstm", "transformer", "catboost"]
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


def tasks(spec: dict[str, Any]) -> dict[str, Any]:
    found = spec["root"]["dag"]["tasks"]
    assert isinstance(found, dict)
    return found


def named(spec: dict[str, Any]) -> dict[str, Any]:
    """Tasks by the name that the dashboard shows."""
    return {task["taskInfo"]["name"]: task for task in tasks(spec).values()}


def upstream(spec: dict[str, Any], task: dict[str, Any]) -> set[str]:
    names = {key: value["taskInfo"]["name"] for key, value in tasks(spec).items()}
    return {names[key] for key in task.get("dependentTasks", [])}


def test_graph_is_the_one_of_the_design(spec: dict[str, Any]) -> None:
    found = {name: upstream(spec, task) for name, task in named(spec).items()}
    trained = {f"train-{kind}" for kind in KINDS}
    assert found == {
        "resolve-inputs": set(),
        "prepare-data": {"resolve-inputs"},
        **{f"train-{kind}": {"resolve-inputs", "prepare-data"} for kind in KINDS},
        "stack-ensemble": {"resolve-inputs", "prepare-data", *trained},
        "forecast-champion": {"resolve-inputs", "prepare-data"},
        "evaluate-models": {"prepare-data", "stack-ensemble", "forecast-champion"},
        **{f"final-{kind}": {"resolve-inputs", "prepare-data", f"train-{kind}"} for kind in KINDS},
        "register-model": {
            "resolve-inputs",
            "prepare-data",
            "stack-ensemble",
            "evaluate-models",
            *trained,
            *(f"final-{kind}" for kind in KINDS),
        },
    }


def test_parameters_and_their_defaults(spec: dict[str, Any]) -> None:
    found = spec["root"]["inputDefinitions"]["parameters"]
    sections = ["training", *KINDS, "ensemble", "search"]
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
    for name in sections:
        text = found[f"{name}_settings"]["defaultValue"]
        assert json.loads(text) == json.loads(
            getattr(
                AllSettings(training=TrainingSettings(horizon=48, season_lengths=[48, 336])), name
            ).model_dump_json()
        )


def test_each_trainer_reads_its_own_settings_alone(spec: dict[str, Any]) -> None:
    for kind in KINDS:
        read = named(spec)[f"train-{kind}"]["inputs"]["parameters"]
        inputs = {value.get("componentInputParameter") for value in read.values()} - {None}
        assert inputs == {"seed"}
        made = [value["taskOutputParameter"] for value in read.values() if "taskOutputParameter" in value]
        assert made == [{"outputParameterKey": f"{kind}_settings", "producerTask": "resolve-inputs"}]


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
        "train-arima-2": "kubecast-arima",
        "train-lstm": "kubecast-tensorflow-gpu",
        "train-lstm-2": "kubecast-tensorflow-gpu",
        "train-transformer": "kubecast-tensorflow-gpu",
        "train-transformer-2": "kubecast-tensorflow-gpu",
        "train-catboost": "kubecast-catboost",
        "train-catboost-2": "kubecast-catboost",
        "stack-ensemble": "kubecast-base",
        "forecast-champion": "kubecast-serving",
        "evaluate-models": "kubecast-base",
        "register-model": "kubecast-base",
    }
    assert not [image for image in images.values() if image.endswith((":latest", ":"))]
    assert "pip install" not in json.dumps(containers)


def test_only_resolve_inputs_is_never_cached(spec: dict[str, Any]) -> None:
    uncached = {name for name, task in named(spec).items() if not task["cachingOptions"].get("enableCache")}
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
    fitted = {name for name in found if name.startswith(("train", "final"))}
    assert fitted == {"train-catboost", "final-catboost"}


def test_without_final_fit_the_judged_models_are_registered(tmp_path: Path) -> None:
    found = compiled(tmp_path, models=["arima"], final_fit=False)
    inputs = named(found)["register-model"]["inputs"]["artifacts"]
    assert inputs["arima_final"] == inputs["arima_judged"]
    assert not [name for name in named(found) if name.startswith("final")]


def test_output_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.txt, allowed: \.yaml"):
        compile_pipeline(AllSettings(), tmp_path / "pipeline.txt")


def test_compiling_and_help_import_no_framework(tmp_path: Path) -> None:
    heavy = "{'tensorflow', 'keras', 'pmdarima', 'statsforecast', 'catboost', 'mlforecast', 'matplotlib'}"
    code = (
        "import sys\nfrom kubecast.cli import app\n"
        "for words in (['--help'], ['run', '--help'], ['compile', '--output', sys.argv[1]]):\n"
        "    try:\n        app(words)\n    except SystemExit:\n        pass\n"
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    path = tmp_path / "pipeline.yaml"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert path.exists()
