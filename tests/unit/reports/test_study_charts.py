"""Optuna's plots on the page of a search."""

import re

import optuna
import pytest

from kubecast.reports.study_charts import study_charts

pytestmark = pytest.mark.slow


def test_plots_of_a_study_have_plain_text_and_room_for_it() -> None:
    space = {name: optuna.distributions.FloatDistribution(1e-4, 1.0, log=True) for name in "abcdefg"}
    study = optuna.create_study()
    for at in range(1, 5):
        params = dict.fromkeys(space, 0.1**at * 2)
        study.add_trial(optuna.create_trial(value=at, params=params, distributions=space))
    plots = study_charts(study)
    assert not [
        text for chart in plots.values() for text in re.findall(r">([^<>]+)</text>", chart) if "$" in text
    ]
    assert 'style="min-width: ' in plots["Slices"]
    assert 'style="min-width: ' not in plots["History"]
