"""The charts' script is the one that report-assets/ builds, and its licences are beside it."""

import json
import re
from importlib.resources import files
from pathlib import Path

LOCK = Path(__file__).parents[3] / "report-assets" / "package-lock.json"
TEMPLATES = files("kubecast.reports") / "templates"


def test_licences_are_those_of_the_locked_packages() -> None:
    packages = json.loads(LOCK.read_text())["packages"]
    text = (TEMPLATES / "plot.LICENSES.txt").read_text("utf-8")
    licensed = dict(re.findall(r"^((?:@observablehq/)?[a-z0-9-]+) ([0-9.]+) \(\S+\)$", text, re.MULTILINE))
    assert {"@observablehq/plot", "d3-scale", "d3-shape"} <= set(licensed)
    assert {name: packages[f"node_modules/{name}"]["version"] for name in licensed} == licensed


def test_lock_file_names_no_host() -> None:
    assert "://" not in LOCK.read_text()


def test_script_runs_under_a_policy_without_eval() -> None:
    script = (TEMPLATES / "plot.js").read_text("utf-8")
    assert script.startswith("var Plot=")
    assert not re.search(r"\beval\(|new Function|</script|fetch\(|XMLHttpRequest|import\(", script)
