"""The page in place of one that cannot be made."""

import pytest

from kubecast.reports.unexplained import page_or_reason
from tests.support.pages import HOSTILE, PageChecker


def test_a_page_that_cannot_be_made_gives_way_to_the_reason_as_text(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str:
        raise RuntimeError(HOSTILE)

    checker = PageChecker()
    checker.feed(page_or_reason("train-lstm", fail, "The model is not affected."))
    checker.close()
    assert not checker.open
    assert checker.tags.count("main") == 1
    text = "".join(checker.text)
    assert f"There is no page: RuntimeError: {HOSTILE}" in text
    assert "The model is not affected." in text
    assert caplog.messages == [f"no page on train-lstm: RuntimeError: {HOSTILE}"]


def test_a_page_that_can_be_made_is_the_page(caplog: pytest.LogCaptureFixture) -> None:
    assert page_or_reason("train-lstm", lambda: "the page", "") == "the page"
    assert caplog.messages == []
