"""The steps write pages; that they are drawn is tested in tests/unit/reports and by the runs of tests/e2e."""

from collections.abc import Iterator

import pytest

from tests.support import drawings


@pytest.fixture(scope="module", autouse=True)
def no_drawings() -> Iterator[None]:
    with drawings.left_empty():
        yield
