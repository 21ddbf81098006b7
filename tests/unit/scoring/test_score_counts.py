import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubecast.errors import ModelError
from kubecast.scoring import score_counts
from kubecast.scoring.score_counts import ScoreCounts, ScoreTally

LEVELS = [0.025, 0.1, 0.5, 0.9, 0.975]


def counts(scores: list[float] | np.ndarray, lead: int = 1) -> ScoreCounts:
    return ScoreCounts.of(np.full(len(scores), lead), np.asarray(scores, dtype=np.float64))


def assert_equal(some: ScoreCounts, others: ScoreCounts) -> None:
    np.testing.assert_array_equal(some.cells, others.cells)
    np.testing.assert_array_equal(some.counts, others.counts)


@pytest.mark.parametrize("count", [1, 2, 9, 100, 3_000])
@pytest.mark.parametrize("draw", ["normal", "standard_cauchy", "lognormal"])
def test_quantiles_are_those_of_the_scores(count: int, draw: str) -> None:
    scores = getattr(np.random.default_rng(count), draw)(size=count)
    exact = np.quantile(scores, LEVELS, method="weibull")
    np.testing.assert_allclose(
        counts(scores).quantiles(LEVELS), exact, rtol=5e-4, atol=5e-4 * np.median(np.abs(scores))
    )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_score_is_kept_within_its_precision(score: float) -> None:
    kept = float(counts([score]).quantiles([0.5])[0])
    bounded = float(np.clip(score, -(2.0**1000), 2.0**1000))
    assert kept == pytest.approx(bounded, rel=2.0**-11, abs=2.0**-1012)
    assert float(counts([-score]).quantiles([0.5])[0]) == -kept


@pytest.mark.parametrize("held", [1 << 20, 50])
def test_blocks_add_up_whatever_their_order(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    leads, scores = random.integers(1, 5, size=2_000), random.normal(size=2_000)
    blocks = [ScoreCounts.of(*each) for each in zip(np.split(leads, 20), np.split(scores, 20), strict=True)]
    monkeypatch.setattr(score_counts, "HELD_CELLS", held)
    for ordered in (blocks, blocks[::-1]):
        tally = ScoreTally()
        for block in ordered:
            tally.add(block)
        assert_equal(tally.total(), ScoreCounts.of(leads, scores))


def test_some_scores_are_taken_away() -> None:
    some, others = counts([1.0, 2.0, 2.0]), counts([2.0, 3.0])
    assert_equal(ScoreCounts.joined([some, others]).without(others), some)
    assert some.without(some).size == 0


def test_no_block_has_no_score() -> None:
    assert ScoreTally().total().size == ScoreCounts.joined([]).size == 0
    assert ScoreCounts.joined([counts([]), counts([1.0])]).size == 1


def test_neighbours_are_taken_until_they_are_enough() -> None:
    joined = ScoreCounts.joined(counts([float(lead)] * 3, lead) for lead in range(1, 6))
    assert joined.pooled(3, 3, horizon=5).size == 3
    assert joined.pooled(3, 4, horizon=5).quantiles([0.01, 0.99]).tolist() == [2.0, 4.0]
    assert joined.pooled(1, 100, horizon=5).size == 15
    assert joined.pooled(1, 100, horizon=3).size == 9
    assert joined.pooled(9, 3, horizon=9).quantiles([0.5]).tolist() == [5.0]  # the next ones with scores


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_score_that_is_not_finite_is_refused(wrong: float) -> None:
    with pytest.raises(ModelError, match="1 of 2 forecast errors over their series' scale are not finite"):
        counts([1.0, wrong])
