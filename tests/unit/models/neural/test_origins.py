"""The rows that windows of training and validation end on."""

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ModelError
from kubecast.models.neural.origins import window_origins
from tests.unit.models.neural.support import spec_of


def test_training_targets_end_before_the_tail_and_validation_targets_lie_in_it(panel: Panel) -> None:
    until = Cutoffs(panel.ends.frame.iloc[:1])
    spec = spec_of(panel)
    held = window_origins(panel, until, spec, hold_out=True)
    assert (held.train.min(), held.train.max()) == (47, 399 - 40 - 6)
    assert (held.validation.min(), held.validation.max()) == (399 - 40, 399 - 6)
    every = window_origins(panel, until, spec, hold_out=False)
    np.testing.assert_array_equal(every.train, np.arange(47, 394))
    assert not len(every.validation)


@pytest.mark.parametrize(("hold_out", "least"), [(False, 54), (True, 60)])
def test_too_short_series_are_named_with_the_rows_needed(panel: Panel, hold_out: bool, least: int) -> None:
    spec = spec_of(panel)

    def until(rows: int) -> Cutoffs:
        ends = panel.frame.iloc[panel.indptr[:-1] + rows - 1]
        return Cutoffs.from_frame(ends, "ds")

    assert len(window_origins(panel, until(least), spec, hold_out).train) == 3
    with pytest.raises(ModelError, match=f"longest has {least - 1} rows .* allowed: at least {least} for"):
        window_origins(panel, until(least - 1), spec, hold_out)
    mixed = Cutoffs(pd.concat([until(least).frame.iloc[:2], until(30).frame.iloc[2:]]))
    short = window_origins(panel, mixed, spec, hold_out).short
    assert short == {"s2": f"30 rows up to the cut-off, {least} needed to fit to it"}
