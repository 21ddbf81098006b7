"""What the tests of `kubecast.pipelines.running` and of its commands share."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from kubecast.cli import app
from kubecast.config.schedules import ConnectionSettings
from kubecast.config.validation import validate
from kubecast.pipelines.running.client import Client
from kubecast.pipelines.running.connection import connect
from kubecast.settings.loading import load_settings
from tests.support.servers.kfp_api import KfpApi

IMAGES = ["cluster.image_repository=ghcr.io/team", "cluster.image_tag=0.1.0-0123456789ab"]
REGISTRY = "training.model_registry.path=s3://demand/registry"
SMALL = ["pipeline.models=[catboost]", "training.horizon=6", REGISTRY, *IMAGES]
SET = [word for text in SMALL for word in ("--set", text)]


def client(api: KfpApi, environment: dict[str, str] | None = None, **settings: Any) -> Client:
    connection = validate(ConnectionSettings, {"host": api.host, **settings}, "test")
    return Client(connect(connection, environment or {}))


def invoke(*words: str) -> Result:
    """Run a command; an error of kubecast is raised, as `kubecast.cli.app.main` sees it."""
    result = CliRunner().invoke(app.app, list(words), standalone_mode=False)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def invoke_json(*words: str) -> Any:
    result = invoke(*words, "--json")
    assert not result.exit_code, result.output
    return json.loads(result.stdout)


def folder_with(folder: Path, schedules: str, connection: str = "{}") -> Path:
    """A configuration folder with these schedules, and the smallest pipeline."""
    folder.mkdir(exist_ok=True)
    (folder / "pipeline.yaml").write_text("pipeline:\n  models: [catboost]\n")
    training = "model_name: demand\n  horizon: 6\n  model_registry: {path: s3://demand/registry}\n"
    (folder / "training.yaml").write_text(f"training:\n  {training}")
    images = "image_repository: ghcr.io/team\n  image_tag: 0.1.0-0123456789ab\n"
    cluster = f"  {images}  connection: {connection}\n  schedules:\n{schedules}"
    (folder / "cluster.yaml").write_text(f"cluster:\n{cluster}")
    load_settings(folder)
    return folder
