"""Target rows that look like no source row, such as rows of a class that the source does not have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

__all__ = ["stranger_p_values", "strangers_among"]

_NEIGHBORS = 5


def stranger_p_values(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, of every target row (t,), the conformal p-value of 'it is a row like those of the source'.

    The score of a row is its mean distance to the 5 nearest source rows, other than itself; the p-value is the share of
    the source rows that score as high, the row itself counted among them.
    """
    search = NearestNeighbors(n_neighbors=min(_NEIGHBORS, len(source) - 1), algorithm="brute").fit(source)
    usual = np.sort(search.kneighbors()[0].mean(axis=1))
    scores = search.kneighbors(target)[0].mean(axis=1)
    as_high = len(usual) - np.searchsorted(usual, scores, "left")
    return (1 + as_high) / (1 + len(usual))


def strangers_among(p_values: NDArray[np.float64], false_share: float) -> NDArray[np.bool_]:
    """Return which rows are flagged so that at most `false_share` of them are expected to be usual ones.

    By Benjamini and Hochberg's rule, which holds for conformal p-values of one calibration set (Bates et al., "Testing
    for Outliers with Conformal p-values", Annals of Statistics 2023).
    """
    n = len(p_values)
    ranked = np.sort(p_values)
    passing = np.flatnonzero(ranked <= false_share * np.arange(1, n + 1) / n)
    return p_values <= ranked[passing[-1]] if len(passing) else np.zeros(n, dtype=bool)
