"""Settings that have no effect are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from kubecast.models.arima.settings import ArimaSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_order": [1, 3, 1]}, "differences 3 times"),
        ({"seasonal": True, "deseasonalize": "profile"}, "removes the season that seasonal searches"),
        ({"fourier_terms": 3}, "fourier_terms has no effect"),
        ({"engine": "burg", "max_order": [48, 1, 1]}, "48, 1, 1] with engine burg"),
        ({"engine": "burg", "max_order": [48, 1, 0], "seasonal": True}, "seasonal: true with engine burg"),
        ({"max_order": [48, 1, 0]}, "a search of such orders takes too long"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ArimaSettings(**settings)
