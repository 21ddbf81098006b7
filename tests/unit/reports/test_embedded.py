from pathlib import Path

import pytest
from markupsafe import escape

from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.reports import render_embedded
from kubecast.reports.embedded import MOST_BYTES
from tests.golden.write import REGISTRY


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    (path,) = Path(REGISTRY).glob(f"*/versions/*/{LEADERBOARD}")
    return Evaluation.read(path)


def test_the_page_stands_in_a_frame_of_its_own(evaluation: Evaluation) -> None:
    html = render_embedded(evaluation, '<p title="x">&amp;</p>')
    assert 'sandbox="allow-scripts"' in html
    assert 'srcdoc="&lt;p title=&#34;x&#34;&gt;&amp;amp;&lt;/p&gt;"' in html


def test_a_notebook_that_frames_it_can_escape_it(evaluation: Evaluation) -> None:
    assert str(escape(render_embedded(evaluation, ""))).startswith("&lt;p&gt;")


def test_a_page_that_would_fill_the_notebook_is_left_out(evaluation: Evaluation) -> None:
    html = render_embedded(evaluation, "<" * (MOST_BYTES // 4 + 1))  # &lt; is four bytes
    assert len(html) < 1000
    assert "model.report()" in html


def test_the_verdict_comes_first(evaluation: Evaluation) -> None:
    refused = evaluation.decision.model_copy(update={"promote": False, "reasons": ["skill is <-0.1"]})
    html = render_embedded(evaluation.model_copy(update={"decision": refused}), "")
    assert html.startswith("<p><strong>Not promoted: ")
    assert "skill is &lt;-0.1.</p>" in html


def test_what_is_not_evaluated_has_passed_nothing(evaluation: Evaluation) -> None:
    decision = evaluation.decision.model_copy(update={"promote": True, "evaluated": False})
    html = render_embedded(evaluation.model_copy(update={"decision": decision}), "")
    assert html.startswith("<p><strong>Champion, but not evaluated.</strong> ")
