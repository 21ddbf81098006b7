import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubecast.errors import ModelError
from kubecast.scoring.score_counts import ScoreCounts

LEVELS = [0.025, 0.1, 0.5, 0.9, 0.975]


def counts(scores: list[float] | np.ndarray, lead: int = 1) -> ScoreCounts:
    return ScoreCounts.of(np.full(len(scores), lead), np.asarray(scores, dtype=np.float64))


@pytest.mark.parametrize("count", [1, 2, 9, 100, 3_000])
@pytest.mark.parametrize("draw", ["normal", "standard_cauchy", "lognormal"])
def test_quantiles_are_those_of_the_scores(count: int, draw: str) -> None:
    scores = getattr(np.random.default_rng(count), draw)(size=count)
    exact = np.quantile(scores, LEVELS, method="weibull")
    np.testing.assert_allclose(counts(scores).quantiles(LEVELS), exact, rtol=5e-4, atol=1e-6)


@given(st.floats(allow_nan=False))
def test_score_is_kept_within_its_precision(score: float) -> None:
    kept = float(counts([score]).quantiles([0.5])[0])
    bounded = float(np.clip(score, -(2.0**1000), 2.0**1000))
    assert kept == pytest.approx(bounded, rel=2.0**-11, abs=2.0**-20)
    assert float(counts([-score]).quantiles([0.5])[0]) == -kept


def test_blocks_add_up_whatever_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    leads, scores = random.integers(1, 5, size=2_000), random.normal(size=2_000)
    whole = ScoreCounts.of(leads, scores)
    blocks = [ScoreCounts.of(*each) for each in zip(np.split(leads, 20), np.split(scores, 20), strict=True)]
    for most in (1 << 20, 50):  # cells that are held before blocks are added up
        monkeypatch.setattr("kubecast.scoring.score_counts._JOINED_CELLS", most)
        for ordered in (blocks, blocks[::-1]):
            joined = ScoreCounts.joined(iter(ordered))
            np.testing.assert_array_equal(joined.cells, whole.cells)
            np.testing.assert_array_equal(joined.counts, whole.counts)


def test_no_block_has_no_score() -> None:
    assert ScoreCounts.joined([]).size == 0
    assert ScoreCounts.joined([counts([]), counts([1.0])]).size == 1


def test_neighbours_are_taken_until_they_are_enough() -> None:
    joined = ScoreCounts.joined(counts([float(lead)] * 3, lead) for lead in range(1, 6))
    assert joined.near(3, 3, horizon=5).size == 3
    assert joined.near(3, 4, horizon=5).quantiles([0.01, 0.99]).tolist() == [2.0, 4.0]
    assert joined.near(1, 100, horizon=5).size == 15


def test_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ModelError, match="1 forecast errors are NaN; allowed: numbers"):
        counts([1.0, np.nan])
