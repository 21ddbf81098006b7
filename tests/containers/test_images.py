"""Images agree with what names them, and are built by whichever engine works."""

import json
import os
import re
import runpy
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from kubecast.components import images
from kubecast.pipelines.compiling import compile_pipeline
from kubecast.settings.cluster import ClusterSettings, ImageName
from kubecast.settings.loading import load_settings

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent.name for path in (ROOT / "images").glob("*/requirements.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
# docker says the digest at the end, podman and buildah write it to a file.
PUSHES = f"""\
case "$1 $2" in
"push --digestfile") printf {DIGEST} >"$3" ;;
"images --format") echo "81.5 MB" ;;
"push "*) echo "1.2.3-abc: digest: {DIGEST} size: 1570" ;;
esac
"""
PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==(\S+)", re.MULTILINE)


def pins(path: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / path).read_text()))


def required(extra: str) -> set[str]:
    """Packages that an extra of the project names, through extras of its own."""
    found = set()
    for line in PROJECT["optional-dependencies"][extra]:
        inner = re.match(r"kubecast\[(.+)\]", line)
        names = [required(name) for name in inner[1].split(",")] if inner else [{package(line)}]
        found |= set().union(*names)
    return found


def package(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower()


def test_extras_are_pinned_by_name() -> None:
    """An older pip takes the newest of a package that is asked for by an extra that is not pinned so."""
    for path in ("requirements/dev.txt", "images/base/requirements.txt"):
        assert "\npsycopg[binary]==" in (ROOT / path).read_text()


def test_components_name_images_that_are_built() -> None:
    named = {value for value in vars(images).values() if str(value).startswith("kubecast-")}
    named |= set(images.OF_KIND.values())
    built = {f"kubecast-{folder}:{PROJECT['version']}" for folder in FOLDERS}
    assert named == built


def test_settings_name_the_images_that_are_built() -> None:
    assert sorted(get_args(ImageName)) == [f"kubecast-{folder}" for folder in FOLDERS]


def test_make_builds_every_image() -> None:
    listed = re.search(r"^IMAGES \?= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed is not None
    assert sorted(listed[1].split()) == FOLDERS


@pytest.mark.parametrize("folder", FOLDERS)
def test_image_holds_what_its_extra_requires(folder: str) -> None:
    extra = set() if folder == "base" else required(folder)
    assert {package(line) for line in PROJECT["dependencies"]} | extra <= pins(
        f"images/{folder}/requirements.txt"
    ).keys()


@pytest.mark.parametrize(
    "path", [*(f"{folder}/requirements.txt" for folder in FOLDERS), "executor.txt", "build.txt"]
)
def test_image_holds_the_versions_that_the_tests_run_with(path: str) -> None:
    tested = pins("requirements/dev.txt")
    found = pins(f"images/{path}")
    assert found
    assert {name: version for name, version in found.items() if tested.get(name, version) != version} == {}


def test_each_framework_is_in_its_own_image_alone() -> None:
    holders = {
        name: [folder for folder in FOLDERS if name in pins(f"images/{folder}/requirements.txt")]
        for name in ("pmdarima", "catboost", "tensorflow-cpu", "tensorflow")
    }
    assert holders == {
        "pmdarima": ["arima", "serving"],
        "catboost": ["catboost", "serving"],
        "tensorflow-cpu": ["serving", "tensorflow"],
        "tensorflow": ["tensorflow-gpu"],
    }


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the container engines of this machine: each takes down what it was told, or does not work."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("cat", "date", "dirname", "git", "mktemp", "rm", "sed", "sh", "tee"):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    for name in (
        "ENGINE",
        "BASE_IMAGE",
        "BUILD_FLAGS",
        "CA_BUNDLE",
        "PIP_CERT",
        "PIP_CONF",
        "PIP_CONFIG_FILE",
    ):
        monkeypatch.delenv(name, raising=False)

    def make(**works: bool) -> None:
        for name, does in works.items():
            told = f'echo "{name} $*" >> {tmp_path}/told\n{PUSHES}' if does else "exit 1\n"
            (tools / name).write_text(f"#!/bin/sh\n{told}")
            (tools / name).chmod(0o755)

    return make


def script(name: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(ROOT / "images" / name), *words], capture_output=True, text=True)


def told(tmp_path: Path) -> list[str]:
    """What an engine was told to make; not what it was asked."""
    lines = (tmp_path / "told").read_text().splitlines()
    return [line for line in lines if line.split()[1] not in ("info", "images")]


@pytest.mark.parametrize(
    ("works", "chosen"),
    [
        ({"docker": True, "podman": True, "buildah": True}, "docker"),
        ({"docker": False, "podman": True, "buildah": True}, "podman"),
        ({"docker": False, "buildah": True}, "buildah"),
    ],
    ids=["docker", "docker-client-alone", "neither-docker-nor-podman"],
)
def test_first_engine_that_works_builds(
    engines: Callable[..., None], tmp_path: Path, works: dict[str, bool], chosen: str
) -> None:
    engines(**works)
    assert script("build.sh", "base").returncode == 0
    assert [line.split()[:2] for line in told(tmp_path)] == [[chosen, "build"]]


def test_engine_of_choice_builds(
    engines: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(docker=True, buildah=True)
    monkeypatch.setenv("ENGINE", "buildah")
    script("build.sh", "base")
    assert told(tmp_path)[0].startswith("buildah build --layers ")


def test_no_engine_is_an_error_that_names_what_was_tried(engines: Callable[..., None]) -> None:
    engines(docker=False)
    done = script("build.sh", "base")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no container engine works here, tried: docker podman buildah")


def test_unknown_image_is_an_error_that_names_those_there_are(engines: Callable[..., None]) -> None:
    engines(podman=True)
    done = script("build.sh", "prophet")
    assert done.returncode == 2
    assert "images/prophet/requirements.txt is missing" in done.stderr
    assert all(folder in done.stderr for folder in FOLDERS)


def test_tags_are_the_version_alone_and_with_the_revision(
    engines: Callable[..., None], tmp_path: Path
) -> None:
    engines(podman=True)
    script("build.sh", "arima", "base")
    tags = [re.findall(r"--tag (\S+)", line) for line in told(tmp_path)]
    assert [found[0] for found in tags] == [images.OF_KIND["arima"], images.BASE]
    assert all(re.fullmatch(rf"{first}-[0-9a-z-]+", second) for first, second in tags)


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_build_ends_with_how_long_each_image_took_and_how_large_it_is(
    engines: Callable[..., None], engine: str
) -> None:
    engines(**{engine: True})
    *_, first, second = script("build.sh", "arima", "base").stdout.splitlines()
    assert re.fullmatch(r"kubecast-arima:\S+: built in [0-9]+ s, 81\.5 MB", first)
    assert re.fullmatch(r"kubecast-base:\S+: built in [0-9]+ s, 81\.5 MB", second)


def test_private_index_is_handed_over_as_secrets(
    engines: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(podman=True)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/etc/pip of mine.conf")
    monkeypatch.setenv("PIP_CERT", "/etc/ca.pem")
    script("build.sh", "base")
    [line] = told(tmp_path)
    assert "--secret id=pip.conf,src=/etc/pip of mine.conf --secret id=ca.crt,src=/etc/ca.pem" in line
    assert re.findall(r"--build-arg PIP_\S+", line) == ["--build-arg PIP_CERT=/run/secrets/ca.crt"]


def test_base_image_may_be_a_digest(
    engines: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(podman=True)
    monkeypatch.setenv("BASE_IMAGE", "python@sha256:0123")
    script("build.sh", "base")
    assert "--build-arg BASE_IMAGE=python@sha256:0123" in told(tmp_path)[0]


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_push_names_registry_and_tag(engines: Callable[..., None], tmp_path: Path, engine: str) -> None:
    engines(**{engine: True})
    assert script("push.sh", "ghcr.io/team", "1.2.3-abc", "base").returncode == 0
    built, pushed = told(tmp_path)
    assert re.fullmatch(rf"{engine} tag {images.BASE}-\S+ ghcr.io/team/kubecast-base:1.2.3-abc", built)
    assert re.fullmatch(rf"{engine} push (--digestfile \S+ )?ghcr.io/team/kubecast-base:1.2.3-abc", pushed)


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_push_prints_digests_for_the_settings_of_the_cluster(
    engines: Callable[..., None], engine: str
) -> None:
    engines(**{engine: True})
    done = script("push.sh", "ghcr.io/team", "", "base", "tensorflow-gpu")
    settings = ClusterSettings.model_validate(yaml.safe_load(done.stdout))
    assert settings.images == {
        f"kubecast-{name}": f"ghcr.io/team/kubecast-{name}@{DIGEST}" for name in ("base", "tensorflow-gpu")
    }


@pytest.mark.slow
@pytest.mark.parametrize("by_digest", [False, True], ids=["by-tag", "by-digest"])
def test_pipeline_that_is_compiled_with_what_push_prints_names_what_was_pushed(
    engines: Callable[..., None], tmp_path: Path, by_digest: bool
) -> None:
    engines(podman=True)
    printed = yaml.safe_load(script("push.sh", "ghcr.io/team", "", *FOLDERS).stdout)
    pushed = {line.split()[-1] for line in told(tmp_path) if line.startswith("podman push")}
    assert len(pushed) == len(FOLDERS)
    if by_digest:
        pushed = {f"{name.rpartition(':')[0]}@{DIGEST}" for name in pushed}
    else:
        del printed["images"]
    for gpu, unused in ((True, {"tensorflow"}), (False, {"tensorflow-gpu"})):
        used = references(tmp_path, {**printed, "gpu": gpu})
        assert used <= pushed
        assert {
            name
            for name in FOLDERS
            if not any(f"kubecast-{name}{at}" in each for at in ":@" for each in used)
        } == unused


def references(folder: Path, cluster: dict[str, Any]) -> set[str]:
    """Every image of the compiled training pipeline."""
    given = [f"cluster.{key}={json.dumps(value)}" for key, value in cluster.items()]
    settings = load_settings(ROOT / "configs", ["training.horizon=48", *given])
    spec = next(yaml.safe_load_all(compile_pipeline(settings, folder / "p.yaml").read_text()))
    return {each["container"]["image"] for each in spec["deploymentSpec"]["executors"].values()}


@pytest.mark.slow
@pytest.mark.parametrize("how_to", ["first-run", "build-the-images"])
def test_how_to_names_images_as_push_does(engines: Callable[..., None], tmp_path: Path, how_to: str) -> None:
    engines(podman=True)
    text = (ROOT / f"docs/how-to/{how_to}.md").read_text()
    block = re.search(r"image_repository[:=] ?(\S+)\s.*?image_tag[:=] ?(\S+)\s", text)
    assert block is not None
    printed = yaml.safe_load(script("push.sh", block[1], "", *FOLDERS).stdout)
    assert printed["image_repository"] == block[1]
    revision = r"-([0-9a-f]{12}(-dirty)?|unknown)"
    assert re.fullmatch(PROJECT["version"] + revision, printed["image_tag"])
    assert re.fullmatch(PROJECT["version"] + revision, block[2])
    named = {"image_repository": block[1], "image_tag": block[2]}
    script("push.sh", *named.values(), *FOLDERS)
    pushed = {line.split()[-1] for line in told(tmp_path) if line.startswith("podman push")}
    assert references(tmp_path, named) <= pushed


def test_push_that_docker_refuses_is_an_error(engines: Callable[..., None], tmp_path: Path) -> None:
    engines(docker=True)
    docker = tmp_path / "bin/docker"
    docker.write_text(docker.read_text().replace('echo "1.2.3', 'exit 1; echo "1.2.3'))
    done = script("push.sh", "ghcr.io/team", "", "base")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("registry", "tag", "missing"), [("", "1", "REGISTRY"), ("ghcr.io/team", "latest", "TAG latest")]
)
def test_push_refuses_what_it_cannot_name(
    engines: Callable[..., None], tmp_path: Path, registry: str, tag: str, missing: str
) -> None:
    engines(buildah=True)
    done = script("push.sh", registry, tag, "base")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {missing}")
    assert not (tmp_path / "told").exists()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "400000 100000\n"}, 3),
        ({"cpu.max": "max 100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({}, 3),
    ],
    ids=[
        "half",
        "rounded-up",
        "more-than-there-are",
        "no-limit",
        "version-1",
        "version-1-no-limit",
        "no-cgroup",
    ],
)
def test_processors_are_the_cgroups_limit_at_most_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "7"})
    module = runpy.run_path(str(ROOT / "images/sitecustomize.py"))
    assert module["processors"](str(tmp_path)) == expected


def test_threads_that_the_task_sets_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "7"})
    runpy.run_path(str(ROOT / "images/sitecustomize.py"))
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert int(os.environ["TF_NUM_INTRAOP_THREADS"]) >= 1
