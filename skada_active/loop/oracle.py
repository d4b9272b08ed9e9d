"""Who answers: an oracle is any callable ``oracle(ids, X_rows) -> labels``; a missing label is an abstention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from skada_active.domains import as_labels, mask_labels

__all__ = ["AbstainingOracle", "ArrayOracle", "NoisyOracle"]

Oracle = Callable[[NDArray[np.int64], Any], ArrayLike]


class ArrayOracle(BaseEstimator):
    """Answer from an array that holds the label of every row.

    Parameters
    ----------
    y : array-like of shape (n,)
        Label of every row; a missing one (-1, NaN or None by type) makes the oracle abstain on that row.

    Examples
    --------
    >>> from skada_active.loop import ArrayOracle
    >>> ArrayOracle([3, 1, 2])([2, 0], None)
    array([2, 3])
    """

    def __init__(self, y: ArrayLike) -> None:
        self.y = y

    def __call__(self, ids: ArrayLike, X_rows: Any = None) -> NDArray[Any]:
        """Return the labels of the rows `ids`, shape (len(ids),)."""
        return as_labels(self.y)[np.asarray(ids, dtype=np.int64)]


class NoisyOracle(BaseEstimator):
    """Answer like another oracle, but with wrong labels now and then.

    Each row's fate depends on the seed and its id alone: asked again, a row gets the same answer.

    Parameters
    ----------
    oracle : callable
        The oracle that knows.
    classes : array-like of shape (C,)
        Labels that a wrong answer is drawn from, uniformly, the right one excluded.
    noise_rate : float, default=0.1
        Probability of a wrong answer.
    random_state : int, default=0
        Seed.

    Examples
    --------
    >>> from skada_active.loop import ArrayOracle, NoisyOracle
    >>> NoisyOracle(ArrayOracle([0, 1, 1]), classes=[0, 1], noise_rate=1.0)([0, 1], None)
    array([1, 0])
    """

    def __init__(self, oracle: Oracle, classes: ArrayLike, noise_rate: float = 0.1, random_state: int = 0) -> None:
        self.oracle = oracle
        self.classes = classes
        self.noise_rate = noise_rate
        self.random_state = random_state

    def __call__(self, ids: ArrayLike, X_rows: Any = None) -> NDArray[Any]:
        """Return the labels of the rows `ids`, some of them wrong, shape (len(ids),)."""
        labels = as_labels(self.oracle(ids, X_rows)).copy()
        for position, row in enumerate(ids):
            rng = _row_rng(self.random_state, row)
            if rng.random() < self.noise_rate:
                wrong = [label for label in np.asarray(self.classes) if label != labels[position]]
                labels[position] = wrong[rng.integers(len(wrong))]
        return labels


class AbstainingOracle(BaseEstimator):
    """Answer like another oracle, but abstain now and then.

    Parameters
    ----------
    oracle : callable
        The oracle that knows.
    rate : float, default=0.1
        Probability of an abstention; it depends on the seed and the row's id alone.
    random_state : int, default=0
        Seed.

    Examples
    --------
    >>> from skada_active.loop import AbstainingOracle, ArrayOracle
    >>> AbstainingOracle(ArrayOracle([3, 1]), rate=1.0)([0, 1], None)
    array([-1, -1])
    """

    def __init__(self, oracle: Oracle, rate: float = 0.1, random_state: int = 0) -> None:
        self.oracle = oracle
        self.rate = rate
        self.random_state = random_state

    def __call__(self, ids: ArrayLike, X_rows: Any = None) -> NDArray[Any]:
        """Return the labels of the rows `ids`, missing where the oracle abstains, shape (len(ids),)."""
        labels = as_labels(self.oracle(ids, X_rows))
        return mask_labels(labels, np.array([_row_rng(self.random_state, row).random() < self.rate for row in ids]))


def _row_rng(seed: int, row: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(row),)))
