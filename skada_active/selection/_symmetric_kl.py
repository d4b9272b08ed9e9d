"""Rows of probabilities, apart from each other by the symmetric Kullback-Leibler divergence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.selection._on_demand import OnDemand
from skada_active.utils.arrays import Array, Floats, as_floats, rows_inner

__all__ = ["SymmetricKL"]


class SymmetricKL(OnDemand):
    r"""Hold n distributions whose squared distances are their symmetric Kullback-Leibler divergences, in nats.

    .. math::

        d(p, q) = \tfrac{1}{2} \bigl(KL(p \| q) + KL(q \| p)\bigr) = \tfrac{1}{2} \sum_c (p_c - q_c)(\ln p_c - \ln q_c)

    It is no squared Euclidean distance, but a difference of two, which is all that the passes of `farthest_first` need.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Probabilities.
    floor : float, default=1e-12
        What smaller probabilities are raised to.

    Notes
    -----
    A divergence is read off inner products of length 2 C, ``(p, ln p)`` with ``(ln q, q)``, which are computed in
    float64 a block of rows at a time and never held for all: where most predictions are certain, so many divergences
    are nearly the same that float32 would not tell which is the largest.

    Examples
    --------
    >>> from skada_active.selection import SymmetricKL, farthest_first
    >>> farthest_first(SymmetricKL([[0.5, 0.5], [0.1, 0.9], [0.6, 0.4], [0.9, 0.1]]), 3, first=0)
    array([0, 1, 3])
    """

    def __init__(self, proba: ArrayLike, *, floor: float = 1e-12) -> None:
        (self.proba,) = as_floats(proba)
        self.floor = floor
        super().__init__(self._pairs, [self.proba], width=2 * self.proba.shape[1])

    def dual(self, values: Array) -> Array:
        """Return what an inner product with other rows multiplies: the halves of `values` in the place of the other."""
        return np.roll(values, values.shape[1] // 2, axis=1) / 4

    def _norms_of(self, values: Array) -> Array:
        return rows_inner(values, self.dual(values))

    def _pairs(self, index: NDArray[np.int64]) -> Floats:
        # Logarithms over that of the floor: a constant changes no divergence, and so no norm is negative.
        raised = np.maximum(self.proba[index], self.floor, dtype=np.float64)
        return np.concatenate([raised, np.log(raised / self.floor)], axis=1)
