"""Tables of figures as a notebook shows them."""

from kubecast.api.tables import _is_share


def test_shares_inside_intervals_stand_last() -> None:
    columns = ["mase", "coverage_97.5", "coverage_intervals", "scored", "coverage_80"]
    last = ["mase", "coverage_intervals", "scored", "coverage_97.5", "coverage_80"]
    assert sorted(columns, key=_is_share) == last
