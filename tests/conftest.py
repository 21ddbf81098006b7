"""What any test may use: small real panels, an S3 server, a webhook."""

import gc
import inspect
import logging
import traceback
import uuid
from collections.abc import Callable, Iterator

import pytest

from kubecast import retrying
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel
from kubecast.environment import WORKFLOW_VARIABLE
from kubecast.logs import RUN_VARIABLE
from kubecast.steps.notify import URL_VARIABLE
from tests.support.panels import WITH_COVARIATES, hourly, small_settings
from tests.support.servers.seaweed import Seaweed
from tests.support.servers.webhook import Webhook

S3_BUCKET = "registry"


def pytest_collection_finish() -> None:
    """Leave what the imports made out of garbage collection: it is far more than the tests make."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """The logger of kubecast, all of which reaches ``caplog``; a test may configure it."""
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
    """A real S3 server, started by the first test that uses it; one for each xdist worker.

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


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """The webhook that the environment of run 7 names."""
    with Webhook() as server:
        monkeypatch.setenv(URL_VARIABLE, server.url)
        monkeypatch.setenv(RUN_VARIABLE, "7")
        monkeypatch.delenv(WORKFLOW_VARIABLE, raising=False)
        yield server
