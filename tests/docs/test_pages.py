"""The documentation's links, paths and names are those of the tree."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from docs import generate
from kubecast.settings.loading import SECTIONS
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import render

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SOURCES = [
    *(path for folder in ("src", "components", "pipelines") for path in (ROOT / folder).rglob("*.py")),
    *(ROOT / "images").glob("*.*"),
    ROOT / "images/Containerfile",
]
OWN = re.compile(r"\bKUBECAST_[A-Z0-9]+(?:_[A-Z0-9]+)*\b")


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", *PAGES], ids=names)
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_paths_of_the_repository_exist(page: Path) -> None:
    tops = "src|components|pipelines|configs|images|manifests|tests|benchmarks|docs|requirements"
    paths = re.findall(rf"`((?:{tops})/[\w./-]*)`", page.read_text())
    assert [path for path in paths if path == path.lower() and not (ROOT / path).exists()] == []


def test_the_list_of_variables_is_complete() -> None:
    page = (ROOT / "docs/reference/environment.md").read_text()
    in_code = {name for path in SOURCES for name in OWN.findall(path.read_text(errors="ignore"))}
    assert set(OWN.findall(page)) == in_code


def test_every_decision_has_a_status_and_a_line_in_the_index() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text()
    for page in sorted((ROOT / "docs/decisions").glob("0*.md")):
        assert re.search(r"^\d{4}-\d\d-\d\d\. \*\*Status:\*\* .+\.$", page.read_text(), re.MULTILINE), (
            page.name
        )
        assert f"]({page.name})" in index


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"[\w/-]+\.md$", text, re.MULTILINE))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}


def test_the_reference_has_every_setting_command_component_and_error() -> None:
    parts = {name: "\n".join(lines) for name, lines in generate.parts().items()}
    for name, model in SECTIONS.items():
        assert all(
            f"`{key}`" in parts["settings"] or key in parts["settings"] for key in model.model_fields
        ), name
    commands = re.findall(r"^## kubecast (\w+)$", parts["command"], re.MULTILINE)
    assert {"run", "compile", "submit", "models"} <= set(commands)
    folders = {path.parent.name for path in (ROOT / "components").glob("*/*/component.py")}
    assert set(re.findall(r"^## (\w+)$", parts["components"], re.MULTILINE)) == folders
    assert "**`StoreBusy`** (exit status 1, tried again)" in parts["errors"]


def test_the_pins_of_the_site_are_those_of_its_requirements() -> None:
    required = re.findall(r"^([a-z]+)", (ROOT / "requirements/docs.in").read_text(), re.MULTILINE)
    pinned = re.findall(
        r"^([a-z-]+)(?:\[\w+\])?==", (ROOT / "requirements/docs.txt").read_text(), re.MULTILINE
    )
    assert {name for name in required if not any(pin.startswith(name) for pin in pinned)} == set()


def test_published_schema_of_the_leaderboard_is_the_one_that_is_written() -> None:
    assert generate.SCHEMA.read_text("utf-8") == generate.leaderboard_schema(), "run docs/generate.py"


@pytest.mark.slow
def test_leaderboard_is_as_its_schema_says() -> None:
    board = json.loads(render(forecasts(NOISE, origins=10))[1].model_dump_json())
    jsonschema.validate(board, json.loads(generate.SCHEMA.read_text("utf-8")))
