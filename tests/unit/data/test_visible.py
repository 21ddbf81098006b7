"""Series side by side are looked at as each alone, in batches of bounded size."""

import numpy as np
import pytest

from kubecast.data import visible
from kubecast.data.level_shifts import find_shifts
from kubecast.data.pulses import find_pulses
from kubecast.data.visible import in_batches, medians
from tests.support.changes import Find, changes_in, changes_of
from tests.unit.data.test_level_shifts import Floats, seasonal


def several() -> list[Floats]:
    """A shift, a pulse, one of each below 0, and a short series, of different lengths."""
    made = [seasonal(24, seasons, seed) for seed, seasons in enumerate((60, 45, 58, 50, 2))]
    made[0][960:] *= 1.8
    made[1][960:972] *= 2
    made[2] -= 100
    made[2][960:] += 80
    made[3] -= 100
    made[3][960:972] += 150
    return made


@pytest.mark.parametrize("find", [find_shifts, find_pulses])
@pytest.mark.parametrize("batch", [1, 20_000, 2**20])
@pytest.mark.filterwarnings("error")
def test_each_series_is_looked_at_by_itself(find: Find, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visible, "BATCH", batch)
    series, random = several(), np.random.default_rng(0)
    own = [np.unique(random.integers(len(y) // 2, len(y), 30)) for y in series]
    expected = [each for y, ends in zip(series, own, strict=True) for each in changes_in(find, y, ends, [24])]
    indptr = np.cumsum([0, *map(len, series)])
    ends = np.concatenate([first + each for first, each in zip(indptr, own, strict=False)])
    order = random.permutation(len(ends))
    found = {}
    for origins, seen in in_batches(np.concatenate(series), indptr, ends[order]):
        assert len(origins) == 1 or len(origins) * seen.y.shape[1] <= batch
        found |= dict(zip(order[origins], changes_of(find, seen, [24]), strict=True))
    assert [found[number] for number in range(len(ends))] == expected
    assert {each.is_ratio for each in expected if each} == {False, True}


def test_medians_are_of_what_is_known() -> None:
    nan = np.nan
    values = np.array([[3.0, nan, 1.0, 2.0], [nan, nan, 4.0, 1.0], [nan] * 4])
    np.testing.assert_array_equal(medians(values), [2.0, 2.5, nan])
