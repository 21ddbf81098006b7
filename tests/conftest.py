"""Small real panels for every test."""

import inspect
import logging
import traceback
import uuid
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest

from kubecast import retrying
from kubecast.config.training import TrainingSettings
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel
from tests.seaweed import Seaweed

S3_BUCKET = "registry"
SMALL = {"data": {"min_samples": 1}, "validation": {"cv_folds": 3, "max_origins": 8}}


def hourly(series: int = 3, rows: int = 400, seed: int = 0, covariates: bool = False) -> pd.DataFrame:
    """Hourly series of unequal lengths with a daily season, a level of their own and noise."""
    random = np.random.default_rng(seed)
    tables = []
    for number in range(series):
        length = rows - 30 * number
        hours = np.arange(length)
        level = 100.0 * (number + 1)
        y = level * (1 + 0.3 * np.sin(2 * np.pi * hours / 24)) + random.normal(0, 0.03 * level, length)
        ds = pd.date_range("2024-01-01", periods=rows, freq="h")[-length:]
        table = pd.DataFrame({"unique_id": f"s{number}", "ds": ds, "y": y})
        if covariates:
            table["promotion"] = (random.random(length) < 0.1).astype(float)
            table["visitors"] = random.normal(10, 1, length)
            table["region"] = f"r{number % 2}"
            table["y"] += 0.5 * level * table["promotion"]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def small_settings(**changes: object) -> TrainingSettings:
    """Settings under which ``hourly`` makes a panel; ``changes`` are whole top-level keys."""
    base = {"horizon": 6, "season_lengths": [24], "frequency": "h", **SMALL}
    return TrainingSettings.model_validate({**base, **changes})


WITH_COVARIATES = {
    "min_samples": 1,
    "covariates": {"future": ["promotion"], "past": ["visitors"], "static": ["region"]},
}


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """The logger of kubecast, which tells all to ``caplog``; a test may configure it."""
    logger = logging.getLogger("kubecast")
    logger.setLevel(logging.INFO)
    yield logger
    logger.handlers.clear()
    logger.propagate = True


@pytest.fixture(autouse=True)
def faults_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is unavailable is tried again, but by tests that say so."""
    monkeypatch.setenv(retrying.VARIABLE, "0")


@pytest.fixture(scope="session", autouse=True)
def callers_without_their_source() -> Iterator[None]:
    """KFP asks ``inspect.stack`` for a name, which looks for the source of each caller in all loaded modules.

    With TensorFlow among them that is nine tenths of a compile.
    """

    def stack(context: int = 1) -> list[inspect.FrameInfo]:
        frames = (frame for frame, _ in traceback.walk_stack(inspect.currentframe()))
        return [
            inspect.FrameInfo(
                frame, frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name, None, None
            )
            for frame in frames
        ][1:]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect, "stack", stack)
        yield


@pytest.fixture(scope="session")
def panel() -> Panel:
    """Three hourly series of unequal lengths, horizon 6, season 24."""
    return build_panel(hourly(), small_settings())


@pytest.fixture(scope="session")
def covariate_panel() -> Panel:
    """As ``panel``, with one covariate of each kind."""
    return build_panel(hourly(covariates=True), small_settings(data=WITH_COVARIATES))


@pytest.fixture
def make_panel() -> Callable[..., Panel]:
    """Build a panel from rows and changed settings."""
    return lambda rows, **changes: build_panel(rows, small_settings(**changes))


@pytest.fixture(scope="session")
def seaweed() -> Iterator[Seaweed]:
    """A real S3 server, started by the first test that asks for it; one for each xdist worker.

    A test that kills or pauses it brings it back before it ends.
    """
    with Seaweed() as server:
        yield server


@pytest.fixture
def s3_url(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty folder in a bucket, which the environment allows to read and write."""
    seaweed.create_bucket(S3_BUCKET)
    for name, value in seaweed.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{S3_BUCKET}/{uuid.uuid4().hex}"
