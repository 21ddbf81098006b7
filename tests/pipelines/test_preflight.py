"""What `submit` and `schedule apply` refuse before anything is made on the cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kubecast.errors import ConfigError
from tests.support.clusters import REGISTRY, SET, folder_with, invoke
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi

pytestmark = pytest.mark.slow

DATA = ["--param", "data=s3://demand/demand.csv"]
SCORE = ["--mode", "score", *DATA, "--param", "destination=s3://demand/out"]
NIGHTLY = """\
    - name: nightly
      cron: "0 2 * * *"
      parameters: {data: "s3://demand/demand.csv"}
"""


@pytest.fixture
def api() -> Iterator[KfpApi]:
    with KfpApi() as server:
        yield server


def accounts(kubernetes: KubernetesApi, *names: str) -> None:
    objects = [{"metadata": {"name": name}} for name in names]
    kubernetes.add("/api/v1/namespaces", {"metadata": {"name": "team-a"}})
    kubernetes.add("/api/v1/namespaces/team-a/serviceaccounts", *objects)


def refused(api: KfpApi, *words: str) -> str:
    """The error, which comes before anything is asked of Kubeflow Pipelines, in a dry run too."""
    messages = []
    for more in ([], ["--dry-run"]):
        with pytest.raises(ConfigError) as caught:
            invoke(*words, "--host", api.host, *more)
        messages.append(str(caught.value))
    assert not api.requests
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    return messages[0]


@pytest.mark.parametrize("mode", ["train", "tune", "retrain"])
@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--param", "data=demand.csv"], "--param data: demand.csv is a path"),
        (["--param", "data=file:///demand.csv"], "--param data: file:///demand.csv is a path"),
        ([*DATA, "--param", "registry=/models"], "--param registry: /models is a path"),
        (
            [*DATA, "--set", "training.model_registry.path=models"],
            "training.model_registry.path: models is a path",
        ),
        (
            [*DATA, "--set", "training.checkpoint_url=/checkpoints"],
            "training.checkpoint_url: /checkpoints is a path",
        ),
    ],
    ids=["data", "URL of a file", "registry", "registry of the file", "checkpoints"],
)
def test_path_of_this_machine_is_refused(api: KfpApi, mode: str, words: list[str], key: str) -> None:
    tuned = ["--set", "pipeline.tuning.models=[catboost]"] if mode == "tune" else []
    found = refused(api, "submit", *SET, *tuned, "--mode", mode, *words)
    assert (
        found
        == f"{key}, and pods do not see this machine's files; allowed: {'s3://, gs://, az://'} or"
        + (" minio://BUCKET/PATH")
    )


@pytest.mark.parametrize("name", ["data", "destination", "registry", "future"])
def test_path_in_a_run_that_only_forecasts_is_refused(api: KfpApi, name: str) -> None:
    found = refused(api, "submit", *SET, *SCORE, "--param", f"{name}=here")
    assert found.startswith(f"--param {name}: here is a path, and pods do not see")


def test_folder_of_the_runs_work_on_this_machine_is_refused_where_the_run_uses_it(api: KfpApi) -> None:
    work = ["--set", "cluster.work.url=work"]
    found = refused(api, "submit", *SET, *work, *SCORE)
    assert found.startswith("cluster.work.url: work is a path, and pods do not see this machine's files")
    invoke("submit", *SET, *work, *DATA, "--host", api.host)
    assert api.runs


def test_empty_location_is_refused(api: KfpApi) -> None:
    found = refused(api, "submit", *SET, "--param", "data=")
    assert found == "--param data: is empty; allowed: s3://, gs://, az:// or minio://BUCKET/PATH"


def test_checkpoints_are_no_matter_of_a_run_that_only_forecasts(api: KfpApi) -> None:
    invoke("submit", *SET, "--set", "training.checkpoint_url=here", *SCORE, "--host", api.host)
    assert api.runs


def test_database_is_data_and_nothing_else(api: KfpApi) -> None:
    query = ["--set", "training.data.query='SELECT * FROM sales'"]
    found = refused(api, "submit", *SET, *query, "--param", "data=postgresql://me:secret@host/demand")
    assert found.startswith(
        "--param data: postgresql://…: allowed: postgresql://HOST[:PORT]/DATABASE, with PGUSER"
    )
    assert "secret" not in found
    found = refused(api, "submit", *SET, *DATA, "--param", "registry=postgresql://host/demand")
    assert "allowed: SCHEME://BUCKET[/PREFIX]" in found
    invoke("submit", *SET, *query, "--param", "data=postgresql://host/demand", "--host", api.host)
    assert api.runs


@pytest.mark.parametrize(
    "words",
    [
        ["--param", "data=file://me:secret@host/demand.csv"],
        [*DATA, "--param", "registry=file://me:secret@host/models"],
        [*DATA, "--set", "training.model_registry.path=file://me:secret@host/models"],
        [*DATA, "--set", "training.checkpoint_url=file:///x?token=secret"],
    ],
    ids=["data", "registry", "registry of the file", "checkpoints"],
)
def test_url_of_a_file_is_refused_without_its_secret(api: KfpApi, words: list[str]) -> None:
    message = refused(api, "submit", *SET, *words)
    assert "is a path, and pods do not see" in message
    assert "***" in message
    assert "secret" not in message


@pytest.mark.parametrize("url", ["s3://key:secret@demand/x.csv", "https://demand.example.com/x?sig=secret"])
def test_url_that_is_no_bucket_s_is_refused_without_its_secret(api: KfpApi, url: str) -> None:
    found = refused(api, "submit", *SET, "--param", f"data={url}")
    assert found.startswith("--param data: ")
    assert "allowed: SCHEME://BUCKET[/PREFIX]" in found
    assert "secret" not in found


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (NIGHTLY.replace("s3://demand/", ""), "schedule nightly: parameters.data: demand.csv is a path"),
        (
            NIGHTLY.replace("data:", "registry: models, data:"),
            "schedule nightly: parameters.registry: models is a path",
        ),
    ],
    ids=["data", "registry"],
)
def test_path_in_a_schedule_is_refused(api: KfpApi, tmp_path: Path, text: str, key: str) -> None:
    folder = folder_with(tmp_path / "configs", text)
    assert refused(api, "schedule", "apply", "--config", str(folder)).startswith(key)
    with pytest.raises(ConfigError, match=key):  # and shows no secret that the value may hold
        invoke("schedule", "diff", "--config", str(folder), "--host", api.host)


WITHOUT_IMAGES = [
    *("--set", "pipeline.models=[catboost]"),
    *("--set", "training.horizon=6"),
    *("--set", REGISTRY),
]


def test_images_that_are_not_set_are_refused(api: KfpApi, tmp_path: Path) -> None:
    why = r"cluster.image_repository is not set, so nodes would look for kubecast-base:0.1.0 on Docker Hub"
    assert refused(api, "submit", *WITHOUT_IMAGES, *DATA).startswith(why)
    folder = folder_with(tmp_path / "configs", NIGHTLY)
    path = folder / "cluster.yaml"
    content = yaml.safe_load(path.read_text())
    del content["cluster"]["image_repository"], content["cluster"]["image_tag"]
    path.write_text(yaml.safe_dump(content))
    assert refused(api, "schedule", "apply", "--config", str(folder)).startswith(why)


def test_every_image_that_is_used_is_looked_at(api: KfpApi) -> None:
    base = ["--set", "cluster.images={kubecast-base: 'ghcr.io/team/kubecast-base:1'}"]
    assert "look for kubecast-catboost:0.1.0 " in refused(api, "submit", *WITHOUT_IMAGES, *base, *DATA)
    images = {name: f"{name}:here" for name in ("kubecast-base", "kubecast-catboost", "kubecast-serving")}
    invoke("submit", *WITHOUT_IMAGES, "--set", f"cluster.images={images}", *DATA, "--host", api.host)
    assert api.runs


def test_images_that_the_nodes_have_already_are_named_localhost(api: KfpApi) -> None:
    here = ["--set", "cluster.image_repository=localhost", "--set", "cluster.image_tag=0.1.0"]
    invoke("submit", *WITHOUT_IMAGES, *here, *DATA, "--host", api.host)
    assert api.runs


def test_namespace_without_an_account_by_default_asks_for_one(api: KfpApi, kubernetes: KubernetesApi) -> None:
    accounts(kubernetes, "default", "kubecast-pipeline", "kubecast-trial")
    assert refused(api, "submit", *SET, *DATA, "--namespace", "team-a") == (
        "cluster.connection.service_account is not set; default-editor, which is taken then, is not in"
        f" namespace team-a of {kubernetes.host}; allowed: default, kubecast-pipeline, kubecast-trial; set"
        " cluster.connection.service_account: kubecast-pipeline, which the manifests make"
    )


def test_account_that_is_not_there_is_refused(api: KfpApi, kubernetes: KubernetesApi, tmp_path: Path) -> None:
    accounts(kubernetes, "default", "kubecast-pipeline")
    words = ["--namespace", "team-a", "--service-account", "trainer"]
    why = (
        f"cluster.connection.service_account trainer is not in namespace team-a of {kubernetes.host}; allowed"
    )
    assert refused(api, "submit", *SET, *DATA, *words).startswith(why)
    folder = folder_with(tmp_path / "configs", NIGHTLY)
    assert refused(api, "schedule", "apply", "--config", str(folder), *words).startswith(why)


def test_profile_has_an_account_by_default(api: KfpApi, kubernetes: KubernetesApi) -> None:
    accounts(kubernetes, "default", "default-editor", "default-viewer")
    api.namespaces = {"team-a"}
    invoke("submit", *SET, *DATA, "--namespace", "team-a", "--host", api.host)
    assert api.runs


def test_single_user_has_an_account_by_default(api: KfpApi) -> None:
    invoke("submit", *SET, *DATA, "--host", api.host)
    assert api.runs


def test_account_that_a_single_user_names_and_that_is_not_there_is_refused(
    api: KfpApi, kubernetes: KubernetesApi
) -> None:
    kubernetes.add("/api/v1/namespaces", {"metadata": {"name": "kubeflow"}})
    for name in ("default", "pipeline-runner"):
        kubernetes.add("/api/v1/namespaces/kubeflow/serviceaccounts", {"metadata": {"name": name}})
    assert refused(api, "submit", *SET, *DATA, "--service-account", "trainer") == (
        f"cluster.connection.service_account trainer is not in namespace kubeflow of {kubernetes.host};"
        " allowed: default, pipeline-runner; set cluster.connection.service_account: kubecast-pipeline, which"
        " the manifests make"
    )
    invoke("submit", *SET, *DATA, "--host", api.host)
    assert api.runs


WHO = ["forbidden", "no kubeconfig", "another cluster"]


@pytest.mark.parametrize("who", WHO)
def test_who_cannot_see_the_accounts_names_one(
    api: KfpApi, kubernetes: KubernetesApi, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    if who == "forbidden":
        kubernetes.forbidden = ["list .*"]
    if who == "no kubeconfig":
        monkeypatch.setenv("KUBECONFIG", "none")
    api.namespaces = {"team-a"}
    assert refused(api, "submit", *SET, *DATA, "--namespace", "team-a") == (
        "cluster.connection.service_account is not set, and whether namespace team-a has default-editor"
        " cannot be seen; set kubecast-pipeline, which the manifests make, or default-editor in a Profile"
    )
    words = ["--namespace", "team-a", "--service-account", "kubecast-pipeline", "--host", api.host]
    invoke("submit", *SET, *DATA, *words)
    assert api.runs


def test_name_of_a_run_that_is_too_long_is_refused(api: KfpApi) -> None:
    found = refused(api, "submit", *SET, *DATA, "--name", "x" * 256)
    assert found == "--name xxxxxxxxxxxxxxxxxxxx…: 256 characters; allowed: 255"
