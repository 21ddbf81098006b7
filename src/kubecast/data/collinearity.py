"""Whether a covariate follows from the others, by their moments, which add up over blocks of rows."""

from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kubecast.data.findings import Notes
from kubecast.data.panel import Panel

Floats = NDArray[np.float64]

_LEAST = 1e-9  # spread beside the largest value, and eigenvalue of the correlations, of what is not constant


class Moments(NamedTuple):
    """Of the covariates of some rows.

    Attributes:
        names: Of the covariates, k.
        rows: Number of rows.
        largest: The largest absolute value of each; shape (k,).
        mean: In units of the largest, as the squares of very small values would be lost; shape (k,).
        products: Sums of products of deviations from the mean, in these units; shape (k, k).
    """

    names: list[str]
    rows: int
    largest: Floats
    mean: Floats
    products: Floats

    def in_units(self, largest: Floats) -> tuple[Floats, Floats]:
        """The mean and the products in units of other largest values."""
        ratio = self.largest / largest
        return self.mean * ratio, self.products * np.outer(ratio, ratio)


def moments_of(panel: Panel) -> Moments:
    """Those of the known-future and past-only covariates in a panel's rows."""
    names = [*panel.spec.future, *panel.spec.past]
    values = panel.frame[names].to_numpy(dtype=np.float64)
    largest = np.maximum(np.abs(values).max(axis=0), np.finfo(np.float64).tiny)
    values = values / largest
    mean = values.mean(axis=0)
    values = values - mean
    return Moments(names, len(values), largest, mean, values.T @ values)


def _added(one: Moments, other: Moments) -> Moments:
    """Those of the rows of both.

    Source: Chan, Golub & LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample
    variances".
    """
    largest = np.maximum(one.largest, other.largest)
    (mean, products), (other_mean, other_products) = (each.in_units(largest) for each in (one, other))
    rows, apart = one.rows + other.rows, other_mean - mean
    return Moments(
        one.names,
        rows,
        largest,
        mean + apart * other.rows / rows,
        products + other_products + np.outer(apart, apart) * (one.rows * other.rows / rows),
    )


def note_collinear(blocks: list[Moments], notes: Notes) -> None:
    """Note that one of the covariates is constant or follows from the others."""
    moments = reduce(_added, blocks)
    if not moments.names:
        return
    spread = np.sqrt(np.diag(moments.products) / moments.rows)
    units = np.where(spread > _LEAST, spread, np.inf)
    correlations = moments.products / moments.rows / np.outer(units, units)
    if np.linalg.matrix_rank(correlations, tol=_LEAST, hermitian=True) < len(moments.names):
        detail = f"covariates {', '.join(moments.names)}: one is constant or follows from the others"
        notes.add("collinear", detail)
