"""Regressors of an ARIMA: which are used, their coefficients, and those that are made here."""

import numpy as np

from kubecast.models.arima.filter import Arima, Floats


def constant_column(rows: int, model: Arima, origin: int = 0) -> Floats:
    """The regressor whose difference is constant: 1 or, once differenced, a line; shape (rows,)."""
    return (origin + np.arange(rows, dtype=np.float64)) ** sum(model.differences)


def regress(model: Arima, values: Floats, columns: Floats) -> Floats:
    """Generalised least squares of the values on the columns, with the ARIMA's errors; shape (columns,).

    Source: Cochrane & Orcutt (1949), "Application of least squares regression to relationships containing
    auto-correlated error terms".
    """
    if columns.shape[1] == 0:
        return np.zeros(0)
    skip = min(model.memory - 1, len(values) // 2)
    errors, design = model.residuals(values)[skip:], model.residuals(columns)[skip:]
    scale = np.linalg.norm(design, axis=0)
    scale[scale == 0] = 1.0
    return np.asarray(np.linalg.lstsq(design / scale, errors, rcond=1e-8)[0] / scale)


def independent_columns(columns: Floats) -> list[int]:
    """Positions of the columns that are neither constant nor a combination of those before them."""
    basis = np.ones((len(columns), 1)) / np.sqrt(len(columns))
    kept = []
    for position, column in enumerate(columns.T):
        rest = column - basis @ (basis.T @ column)
        rest = rest - basis @ (basis.T @ rest)
        size = float(np.linalg.norm(rest))
        if size > 1e-8 * float(np.linalg.norm(column)):
            basis = np.column_stack([basis, rest / size])
            kept.append(position)
    return kept


def fourier(first: int, rows: int, season_lengths: list[int], terms: int) -> Floats:
    """Compute sine and cosine pairs of each season.

    ``utilsforecast`` counts every series from 1, in 32-bit floats: a history that begins later would have
    other phases.

    Args:
        first: Steps from the common time zero to the first row.
        rows: How many.
        season_lengths: In steps.
        terms: Pairs for each season, at most half its length.

    Returns:
        Shape (rows, columns).
    """
    time = first + np.arange(rows)
    columns = []
    for season in season_lengths:
        for term in range(1, min(terms, season // 2) + 1):
            angle = 2 * np.pi * (time * term % season) / season
            columns += [np.cos(angle)] if 2 * term == season else [np.cos(angle), np.sin(angle)]
    return np.column_stack(columns) if columns else np.zeros((rows, 0))
