"""The wheel alone, in a folder that is no checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "src", "components", "pipelines", "configs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contents of the wheel, as an installation unpacks them."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=source, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_it_installs_kubecast_and_nothing_else(site: Path) -> None:
    assert {path.name.partition("-")[0] for path in site.iterdir()} == {"kubecast"}


@pytest.mark.long
def test_its_command_needs_no_checkout(site: Path, tmp_path: Path) -> None:
    def kubecast(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kubecast", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    written = kubecast("init", "demand", "--preset", "quick", "--overlay", "dev", "--horizon", "48")
    assert "demand/search/lstm.yaml" in written
    kubecast("sample", "--output", "demand.csv")
    assert "59 + 51 origins" in kubecast("validate", "--config", "demand", "--data", "demand.csv")
    kubecast("compile", "--config", "demand", "--output", "pipeline.yaml")
    assert "from kubecast.components." in (tmp_path / "pipeline.yaml").read_text()
