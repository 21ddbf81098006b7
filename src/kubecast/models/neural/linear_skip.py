"""The linear skip: a ridge regression of the targets on the window, beside what the network learns.

Source: Toner & Darlow (2024), "An analysis of linear time series forecasting models".
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubecast.models.neural.spec import Floats, Rows, WindowSpec
from kubecast.models.neural.windows import Windows, chunks, spread_sample

LAYER = "linear_skip"  # name of the layer that holds the coefficients
SAMPLE = 20_000  # windows that it is fitted to, at most
PENALTIES = tuple(10.0**power for power in range(-5, 3))  # for each window fitted to
FOLDS = 5  # of the cross-validation that chooses the penalty
COMPLETE = 100  # windows without a gap that suffice to choose it; then one decomposition serves every step


def fit_linear_skip(network: Any, windows: Windows, train: Rows, penalty: float | None) -> float:
    """Set the linear skip to a ridge regression of the targets on window, context and known future.

    A window that shows how a horizon's length moved over the longest season needs no calendar phase, and is
    regressed on without it.

    Args:
        network: Holds the layer ``linear_skip``.
        windows: Reads the windows.
        train: Their origins.
        penalty: For each window fitted to; None: the best of ``PENALTIES`` in a cross-validation over folds
            of neighbouring windows.

    Returns:
        The penalty.
    """
    x, y, weights = _regression(windows, spread_sample(train, SAMPLE))
    columns = _columns(windows.spec, x.shape[1])
    coefficients = np.zeros((x.shape[1], y.shape[1]), dtype=np.float32)
    x = x[:, columns]
    if penalty is None:
        penalty = _best_penalty(x, y, weights, gap=windows.spec.horizon)
    (coefficients[columns],) = ridge(x, y, weights, (penalty,))
    network.get_layer(LAYER).set_weights([coefficients[:-1], coefficients[-1]])
    return penalty


def _columns(spec: WindowSpec, count: int) -> NDArray[np.int64]:
    """Positions of the columns that are regressed on."""
    kept = np.ones(count, dtype=bool)
    if spec.sequence_length + spec.difference >= max(spec.season_lengths) + spec.horizon:
        kept[spec.sequence_length : spec.sequence_length + spec.phase_columns] = False
    return np.flatnonzero(kept)


def _best_penalty(x: Floats, y: Floats, weights: Floats, gap: int) -> float:
    complete = weights.all(axis=1)
    if complete.sum() >= COMPLETE:
        x, y, weights = x[complete], y[complete], weights[complete]
    errors = np.zeros(len(PENALTIES))
    for fold in np.array_split(np.arange(len(x)), FOLDS):
        # Windows nearer than a horizon share targets with the fold.
        kept = np.r_[0 : max(fold[0] - gap, 0), fold[-1] + 1 + gap : len(x)] if len(fold) else fold
        maps = ridge(x[kept], y[kept], weights[kept], PENALTIES)
        errors += [np.sum(weights[fold] * np.abs(x[fold] @ coefficients - y[fold])) for coefficients in maps]
    return PENALTIES[int(np.argmin(errors))]


def _regression(windows: Windows, rows: Rows) -> tuple[Floats, Floats, Floats]:
    """Regressors, a constant last, targets, and 1 where these are observed, of the windows of some rows."""
    parts = []
    for chunk in chunks(rows):
        batch = windows.batch(chunk)
        inputs = batch.inputs
        ones = np.ones((len(chunk), 1), dtype=np.float32)
        x = np.concatenate([inputs.target, inputs.context, inputs.future, ones], axis=1)
        parts.append((x, *windows.targets(chunk, batch)))
    x, y, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return x, y, weights


def ridge(x: Floats, y: Floats, weights: Floats, penalties: tuple[float, ...]) -> list[Floats]:
    """Regress each column of ``y`` on ``x`` over the rows where it is observed.

    Args:
        x: Shape (windows, regressors).
        y: Shape (windows, horizon).
        weights: 1 where ``y`` is observed, else 0.
        penalties: For each window fitted to.

    Returns:
        For each penalty, coefficients of shape (regressors, horizon).
    """
    maps = [np.zeros((x.shape[1], y.shape[1]), dtype=np.float32) for _ in penalties]
    patterns, member = np.unique(weights > 0, axis=1, return_inverse=True)
    for number, rows in enumerate(patterns.T):
        columns = np.flatnonzero(member == number)
        kept = x[rows]
        values, vectors = np.linalg.eigh((kept.T @ kept).astype(np.float64))
        projected = vectors.T @ (kept.T @ y[np.ix_(rows, columns)])
        for coefficients, penalty in zip(maps, penalties, strict=True):
            shrunk = projected / (values.clip(0) + penalty * max(len(kept), 1))[:, None]
            coefficients[:, columns] = vectors @ shrunk
    return maps
