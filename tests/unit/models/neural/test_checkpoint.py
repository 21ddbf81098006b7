"""A checkpoint reads back what was written, for the very fit that wrote it."""

from pathlib import Path

import numpy as np
import pytest

from kubecast.models.base import FitPlan
from kubecast.models.neural.checkpoint import (
    Checkpoint,
    Progress,
    fit_digest,
    read_checkpoint,
    write_checkpoint,
)
from kubecast.models.neural.origins import WindowOrigins
from kubecast.models.neural.spec import WindowSpec
from tests.unit.models.neural.support import SETTINGS

SPEC = WindowSpec(
    sequence_length=24,
    horizon=6,
    frequency="h",
    season_lengths=[24],
    normalization="instance",
    residual="last",
)
ORIGINS = WindowOrigins(np.arange(30, 60), np.arange(70, 80), {})
WRITTEN = Checkpoint(
    Progress(rates=[0.1], train=[2.0, 1.0], validation=[2.0, 1.5]),
    [np.arange(3.0), np.float32([[1, 2]])],
    [np.zeros(3)],
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint", "a", WRITTEN)
    checkpoint = read_checkpoint(tmp_path / "checkpoint", "a", [0, 0], [0])
    assert checkpoint is not None
    assert checkpoint.progress == WRITTEN.progress
    for arrays, expected in ((checkpoint.current, WRITTEN.current), (checkpoint.best, WRITTEN.best)):
        for array, other in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, other)
            assert array.dtype == other.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("fault", ["missing", "empty", "cut", "other fit", "other variables"])
def test_what_cannot_be_resumed_is_none(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "checkpoint"
    write_checkpoint(path, "b" if fault == "other fit" else "a", WRITTEN)
    if fault == "missing":
        path.unlink()
    elif fault in ("empty", "cut"):
        path.write_bytes(path.read_bytes()[: 200 * (fault == "cut")])
    assert read_checkpoint(path, "a", [0] * (3 if fault == "other variables" else 2), [0]) is None


def test_digest_is_that_of_all_that_decides_a_fit_and_not_of_its_time_limit() -> None:
    digest = fit_digest(SETTINGS, FitPlan(seed=1), SPEC, ORIGINS)
    fits = [
        (SETTINGS.model_copy(update={"batch_size": 7}), FitPlan(seed=1), SPEC, ORIGINS),
        (SETTINGS, FitPlan(seed=2), SPEC, ORIGINS),
        (SETTINGS, FitPlan(seed=1, fixed_fit={"updates_per_epoch": 1}), SPEC, ORIGINS),
        (SETTINGS, FitPlan(seed=1), SPEC.model_copy(update={"horizon": 7}), ORIGINS),
        (SETTINGS, FitPlan(seed=1), SPEC, WindowOrigins(ORIGINS.train, ORIGINS.train, {})),
    ]
    assert digest not in {fit_digest(*fit) for fit in fits}
    hasty = SETTINGS.model_copy(update={"time_limit": 1.0})
    assert fit_digest(hasty, FitPlan(seed=1), SPEC, ORIGINS) == digest
