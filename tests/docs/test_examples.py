"""The tutorials' code, run as it is written."""

import doctest
import json
import pkgutil
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from kubecast.ensemble.bundle import Bundle
from kubecast.registry import Registry
from tests.support.clusters import invoke

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/tutorials/notebook.ipynb"


@pytest.fixture
def cells() -> list[str]:
    document = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]


@pytest.mark.long
def test_the_notebook_runs(cells: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells:
        exec(compile(cell, str(NOTEBOOK), "exec"), names)  # noqa: S102
    assert len(names["forecasts"]) == 48
    assert {"arima", "catboost", "ensemble", "seasonal_naive_336"} <= set(names["board"]["model"])
    assert {"arima", "target, newest season"} <= set(names["explained"]["name"])
    assert names["again"].forecast(names["df"]).equals(names["forecasts"])
    assert (tmp_path / "report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text()
    (source,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102
    assert names["kc"].load("output/model").forecast(names["df"]).equals(names["model"].forecast())


def test_the_notebook_is_kept_without_outputs() -> None:
    assert not any(cell.get("outputs") for cell in json.loads(NOTEBOOK.read_text())["cells"])


def test_the_tutorial_looks_at_the_data_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/tutorials/first-forecast.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    commands = {
        words[1]: words[2:] for line in lines if (words := shlex.split(line))[0] == ".venv/bin/kubecast"
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "output").mkdir()
    assert not invoke("sample", *commands["sample"]).exit_code
    result = invoke("validate", *commands["validate"])
    assert not result.exit_code, result.output
    assert f"```text\n{result.output}```" in text
    assert list(commands) == ["sample", "validate", "run", "forecast", "models"]


@pytest.mark.slow
def test_the_examples_of_the_page_on_data_print_what_stands_there() -> None:
    page = ROOT / "docs/explanation/data.md"
    failed, attempted = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert attempted > 20
    assert not failed


@pytest.mark.slow
def test_the_examples_of_pipelines_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/how-to/use-in-your-pipeline.md").read_text()
    one, whole = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    assert not invoke("compile", "--set", "training.horizon=14", "--output", "pipeline.yaml").exit_code
    for number, source in enumerate([one, whole]):
        path = tmp_path / f"example_{number}.py"  # KFP reads the source of a component
        path.write_text(source)
        runpy.run_path(str(path))
    image = re.findall(r"image: (\S+)", (tmp_path / "sales_forecast.yaml").read_text())
    assert "ghcr.io/team/kubecast-serving:0.1.0-0123456789ab" in image
    assert "runAsNonRoot: true" in (tmp_path / "sales_training.yaml").read_text()


def test_a_published_version_forecasts_as_the_how_to_has_it() -> None:
    text = (ROOT / "docs/how-to/use-a-version.md").read_text()
    (source,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    imports = "\n".join(line for line in source.splitlines() if re.match(r"import |from ", line))
    exec(imports, names)  # noqa: S102
    called = set(re.findall(r"\bmodel\.(\w+)", text))
    assert called <= set(dir(names["kc"].Model))
    named = re.findall(r"`(kubecast\.[\w.]+\.[A-Z]\w+)`", text)
    assert [pkgutil.resolve_name(name) for name in named] == [Registry, Bundle]
