"""The series of benchmarks/level_shifts.py, and its bars on a few of them."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.level_shifts import (
    FREQUENCIES,
    KINDS,
    Generated,
    bars,
    fit_before,
    generate,
    relative_errors_of,
    score,
)


def factors(generated: Generated) -> "pd.DataFrame":
    """By which factor each row differs from those of a series that is the same but has no change."""
    plain = generate(generated.frequency, ["nothing"], seed=5).rows
    assert generated.unchanged["y"].equals(plain["y"])
    return generated.rows.assign(factor=generated.rows["y"] / plain["y"])


@pytest.mark.parametrize("frequency", list(FREQUENCIES))
@pytest.mark.parametrize("kind", KINDS)
def test_series_change_after_the_rows_that_models_are_fitted_to(frequency: str, kind: str) -> None:
    generated = generate(frequency, [kind], seed=5)
    factor = factors(generated)["factor"].to_numpy()
    change, season = generated.changes.iloc[0], FREQUENCIES[frequency].season_lengths[0]
    assert len(generated.fitted) == FREQUENCIES[frequency].rows <= change["row"]
    changed = np.flatnonzero(~np.isclose(factor, 1))
    if kind == "nothing":
        assert not len(changed)
        return
    assert (changed[0], len(changed) < season) == (change["row"], kind == "pulse")
    np.testing.assert_allclose(factor[changed], change["factor"])
    assert kind == "pulse" or changed[-1] == len(factor) - 1


@pytest.mark.long
def test_forecasts_meet_the_bars_on_a_few_series() -> None:
    generated = generate("D", ["shift"] * 20 + ["pulse", "unit", "nothing"] * 7, seed=12)
    scores = score(generated, fit_before(generated, ["catboost"], ["catboost.iterations=60"]))
    after = scores[scores["when"] == "two seasons"]
    lasting = [bar for bar in bars(scores) if bar.least is not None]  # errors of so few series say little
    assert (len(lasting), [bar.what for bar in lasting if not bar.met]) == (4, [])
    near = after["ratio"].sub(1).abs().le(0.15).groupby([after["kind"], after["method"]]).mean()
    assert near["unit", "as is"] < 0.6 < 0.9 < near["unit", "following"]
    errors = after.groupby(["kind", "method"])["error"].mean()
    assert errors["pulse", "following"] < errors["pulse", "as is"]
    assert errors["nothing", "following"] == errors["nothing", "as is"] == errors["nothing", "unchanged"]
    assert errors["shift", "unchanged"] < errors["shift", "as is"]
    before = scores[scores["when"] == "before"].groupby(["kind", "method"])["error"].mean()
    assert before["pulse", "following"] == before["pulse", "unchanged"]
    table = pd.DataFrame(relative_errors_of(scores).rows).set_index("change")
    assert table.loc["nothing", "by unchanged"] == "1.000 ± 0.000"
    bar = next(bar for bar in bars(scores) if bar.what.endswith("by that without it"))
    assert table.loc["pulse", "by unchanged"].startswith(f"{bar.value:.3f} ± 0.0")
