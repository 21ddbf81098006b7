"""One browser, and every page as a file, for all of these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import chromium
from tests.browser.rendered import draw, run


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every page as a file; those of a run as the command wrote them."""
    folder = tmp_path_factory.mktemp("pages")
    draw(folder)
    for page in run(tmp_path_factory.mktemp("run")).glob("*.html"):
        page.rename(folder / page.name)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser
