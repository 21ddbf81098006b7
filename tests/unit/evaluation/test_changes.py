"""What changed since the champion."""

from datetime import datetime
from typing import Any

import pytest

from kubecast.evaluation.changes import Change, Extent, data_changes, differences, setting_changes


def test_changed_settings_are_named_and_a_model_that_came_or_went() -> None:
    before = {
        "training": {"horizon": 24, "seed": 1, "data": {"stale": "mark"}},
        "catboost": {"depth": 6, "rates": [0.1, 0.2]},
        "lstm": {"epochs": 3},
    }
    after = {
        "training": {"horizon": 24, "seed": 2, "data": {"stale": "forecast", "new": None}},
        "catboost": {"depth": 4, "rates": [0.1, 0.2]},
        "arima": {},
    }
    assert setting_changes(before, after) == [
        Change(name="arima", before="-", after="used"),
        Change(name="lstm", before="used", after="-"),
        Change(name="catboost.depth", before="6", after="4"),
        Change(name="training.data.new", before="-", after="none"),
        Change(name="training.data.stale", before="mark", after="forecast"),
    ]
    assert setting_changes(before, before) == []


def test_data_that_grew_is_told_as_far_as_it_is_known() -> None:
    old = Extent(rows=10, series=2)
    new = Extent(rows=12, series=2, data_to=datetime(2026, 1, 1))
    assert data_changes(old, new) == [Change(name="rows", before="10", after="12")]
    assert data_changes(None, new) == []


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        (0.00123449, 0.00123351, "0.00123449", "0.00123351"),
        ([0.1, 0.123456], [0.1, 0.123457], "[0.1, 0.123456]", "[0.1, 0.123457]"),
        (0.1, 0.25, "0.1", "0.25"),
        ("3", 3, '"3"', "3"),
        (None, [], "null", "[]"),
        (
            "https://me:one@host/x?sig=a",
            "https://me:two@host/x?sig=b",
            '"https://***@host/x?***"',
            '"https://***@host/x?***" (changed)',
        ),
    ],
)
def test_values_that_differ_are_told_apart(old: Any, new: Any, before: str, after: str) -> None:
    assert differences({"a": {"b": old}}, {"a": {"b": new}}) == [
        Change(name="a.b", before=before, after=after)
    ]
    assert differences({"a": {"b": old}}, {"a": {"b": old}}) == []


def test_absent_setting_is_not_one_that_is_a_dash() -> None:
    assert differences({}, {"a": "-"}) == [Change(name="a", before="-", after='"-"')]
