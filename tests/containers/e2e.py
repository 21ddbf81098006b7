"""The compiled pipelines in the real images: each task a container of its own, publishing to an S3 server.

Not of the suite that `make test` runs: `make e2e` builds the images and runs this.
"""

import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from kubecast.data.sample import write_sample
from kubecast.models.artifact import read_status
from kubecast.registry import Registry
from kubecast.settings.cluster import ClusterSettings
from kubecast.storage.bucket import ObjectStore
from tests.containers.image_registry import ImageRegistry
from tests.containers.podman import Podman
from tests.containers.running import MODELS, TAG, USER, Finished, call

FRAMEWORK_OF = {"lstm": "tensorflow", "transformer": "tensorflow"}
FRAMEWORKS = {
    "arima": ("pmdarima", "statsforecast"),
    "tensorflow": ("tensorflow", "keras"),
    "catboost": ("catboost", "mlforecast"),
}
FRAMEWORKS["serving"] = tuple(name for names in FRAMEWORKS.values() for name in names)
IMAGES = ["base", *FRAMEWORKS]


@pytest.fixture(scope="module")
def data(store: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample in a bucket, as the how-to puts it there; the first file makes the bucket."""
    sample = tmp_path_factory.mktemp("data") / "demand.csv"
    write_sample(sample)
    ObjectStore("s3://kubecast").write("demand.csv", [sample.read_bytes()])
    return "s3://kubecast/demand.csv"


@pytest.fixture(scope="module")
def trained(run: Callable[..., Finished], data: str) -> Finished:
    """The training pipeline on half-hourly electricity demand."""
    return run(
        "train",
        data=data,
        horizon=48,
        frequency="30min",
        season_lengths="48,336",
        registry="s3://kubecast/registry",
    )


def test_training_publishes_a_version_with_every_model(trained: Finished) -> None:
    version = Registry.open("s3://kubecast/registry").resolve(trained.outputs["register-model"]["Output"])
    assert version.aliases == ("champion",)
    assert version.metadata["image"] == f"kubecast-base:{TAG}"
    board = json.loads(Path(trained.outputs["evaluate-models"]["evaluation"], "leaderboard.json").read_text())
    evaluated = {row["model"] for row in board["leaderboard"] if row["split"] == "test"}
    assert evaluated >= {*MODELS, "ensemble", "seasonal_naive_336"}


def test_every_model_is_fitted_for_production(trained: Finished, root: Path) -> None:
    models = [path.parent for path in root.rglob("status.json") if path.parent.name == "model"]
    assert len(models) == 2 * len(MODELS)
    assert {read_status(folder).state for folder in models} == {"ok"}


def test_each_task_runs_in_its_own_image(trained: Finished) -> None:
    used = Counter(re.findall(r"Found image 'localhost/kubecast-([a-z]+):", trained.log))
    models = Counter(FRAMEWORK_OF.get(model, model) for model in MODELS)
    assert used == Counter(base=5, serving=1) + models + models  # as evaluated, and for production


def test_tasks_write_as_the_images_user(trained: Finished, root: Path) -> None:
    written = [path for path in root.rglob("*") if path.is_file()]
    assert written
    assert {(path.stat().st_uid, path.stat().st_gid) for path in written} == {(1000, 0)}


def test_batch_forecast_in_the_serving_image_equals_the_production_forecast(
    trained: Finished, run: Callable[..., Finished], data: str
) -> None:
    batch = run(
        "score",
        data=data,
        registry="s3://kubecast/registry",
        model="forecaster",
        destination="s3://kubecast/batches",
    )
    found = pd.read_parquet(batch.outputs["publish-batch"]["forecasts"])
    published = pd.read_parquet(trained.outputs["register-model"]["forecast"])
    pd.testing.assert_frame_equal(found, published, check_dtype=False, rtol=1e-5, atol=1e-5)


def test_searches_run_in_the_images_of_their_models(run: Callable[..., Finished], data: str) -> None:
    overrides = (
        "pipeline.models=[catboost]",
        "pipeline.tuning.models=[catboost, ensemble]",
        "training.optimization={n_trials: 2, folds: 2}",
        "catboost.iterations=20",
        "training.checkpoint_url=s3://kubecast/checkpoints",
    )
    parameters = {"horizon": 48, "frequency": "30min", "season_lengths": "48,336"}
    tuned = run("tune", overrides, data=data, registry="s3://kubecast/tuned", **parameters)
    used = Counter(re.findall(r"Found image 'localhost/kubecast-([a-z]+):", tuned.log))
    assert used == Counter(base=5, serving=2, catboost=3)  # searched, as evaluated, and for production
    for kind in ("catboost", "ensemble"):
        assert len(pd.read_csv(tuned.outputs[f"tune-{kind}"]["trials"])) == 2
        assert f"Tuning of {kind}" in Path(tuned.outputs[f"tune-{kind}"]["report"]).read_text()


@pytest.fixture(scope="module")
def image_registry() -> Iterator[ImageRegistry]:
    with ImageRegistry() as server:
        yield server


@pytest.mark.parametrize("engine", ["buildah", "podman"])
def test_push_tells_the_digest_that_a_cluster_pulls(image_registry: ImageRegistry, engine: str) -> None:
    name = f"{image_registry.address}/{engine}/kubecast-base"
    done = subprocess.run(
        ["make", "--silent", "push", f"REGISTRY={Path(name).parent}", "TAG=e2e", "IMAGES=base"],
        env={**os.environ, **image_registry.environment, "ENGINE": engine},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    call("podman", "untag", f"localhost/kubecast-base:{TAG}", f"{name}:e2e")
    reference = ClusterSettings.model_validate(yaml.safe_load(done.stdout)).images["kubecast-base"]
    assert re.fullmatch(rf"{name}@sha256:[0-9a-f]{{64}}", reference)
    # Into a storage of its own, where no layer is yet.
    with tempfile.TemporaryDirectory(prefix="pulled-") as storage:
        podman = ("podman", "--root", f"{storage}/root", "--runroot", f"{storage}/run")
        call(*podman, "pull", "--quiet", reference, **image_registry.environment)
        told = call(*podman, "image", "inspect", "--format={{.Config.User}} {{.Digest}}", reference)
    assert told.split() == [USER, reference.partition("@")[2]]


def test_bill_of_materials_is_of_its_image(tmp_path: Path) -> None:
    call("make", "sbom", f"OUTPUT={tmp_path}")
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "sbom").iterdir()}
    assert sorted(found) == sorted(
        f"kubecast-{path.parent.name}" for path in Path("images").glob("*/requirements.txt")
    )
    for name, bill in found.items():
        assert bill["metadata"]["component"]["name"] == name
        assert "pandas" in {each["name"] for each in bill["components"]}


def test_image_names_the_revision_that_it_was_built_from(tmp_path: Path) -> None:
    """A commit that changes no file of the image is a new revision all the same."""
    clone, variables = (
        tmp_path / "clone",
        {"ENGINE": "buildah", "BASE_IMAGE": "localhost/kubecast-debian:bookworm"},
    )
    call("git", "clone", "--quiet", ".", str(clone))
    author = ("-c", "user.name=kubecast", "-c", "user.email=kubecast@localhost")
    call(
        "git", "-C", str(clone), *author, "commit", "--quiet", "--allow-empty", "--message", "Change no file"
    )
    call(str(clone / "images/build.sh"), "base", BUILD_FLAGS="--isolation chroot --network host", **variables)
    tag = call(str(clone / "images/tag.sh")).strip()
    assert tag != TAG
    name = f"localhost/kubecast-base:{tag}"
    values = call("podman", "image", "inspect", name, "--format", "{{json .Config.Env}}")
    call("podman", "image", "rm", name)
    call(
        "podman", "tag", f"localhost/kubecast-base:{TAG}", f"localhost/kubecast-base:{TAG.partition('-')[0]}"
    )
    assert f"KUBECAST_IMAGE=kubecast-base:{tag}" in json.loads(values)


@pytest.mark.parametrize("image", IMAGES)
class TestImage:
    """What holds of every image, by its own account."""

    @pytest.fixture
    def name(self, image: str) -> str:
        return f"localhost/kubecast-{image}:{TAG}"

    def test_user_is_not_root_and_has_a_home_to_write_to(self, podman: Podman, name: str) -> None:
        words = (
            "python3",
            "-c",
            "import os, pathlib; (pathlib.Path.home() / 'x').touch(); print(os.getuid())",
        )
        assert podman.run(name, *words) == "1000\n"

    def test_holds_neither_compiler_nor_package_installer(self, podman: Podman, name: str) -> None:
        tools = "gcc cc g++ clang ld make pip pip3 uv"
        assert podman.run(name, "sh", "-c", f"for tool in {tools}; do command -v $tool; done; true") == ""

    def test_holds_nothing_of_the_build(self, podman: Podman, name: str) -> None:
        places = "/run/secrets /build /tools /wheels /etc/pip.conf /root/.cache"
        assert (
            podman.run(name, "sh", "-c", f"for place in {places}; do ls -d $place 2>/dev/null; done; true")
            == ""
        )
        assert "PIP_" not in podman.run(name, "env")

    def test_modules_have_bytecode_that_python_accepts(self, podman: Podman, image: str, name: str) -> None:
        modules = ("kubecast.steps.register", "kfp.dsl.executor_main", *FRAMEWORKS.get(image, ()))
        script = f"""
import importlib, pathlib, sys
for name in {modules}:
    importlib.import_module(name)
loaded = [vars(module) for name, module in list(sys.modules.items()) if name != "__main__"]
files = [module["__cached__"] for module in loaded if module.get("__cached__")]
print([file for file in files if not pathlib.Path(file).exists()])
"""
        told = podman.run(name, "python3", "-c", script, options=("--env=_KFP_RUNTIME=true",))  # as in a task
        assert told.splitlines()[-1] == "[]"

    @pytest.mark.parametrize(("limit", "threads"), [("0.5", 1), ("1.5", min(2, os.cpu_count() or 1))])
    def test_libraries_use_the_processors_of_the_containers_limit(
        self, podman: Podman, name: str, limit: str, threads: int
    ) -> None:
        script = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['TF_NUM_INTRAOP_THREADS'])"
        assert (
            podman.run(name, "python3", "-c", script, options=("--cpus", limit)) == f"{threads} {threads}\n"
        )
