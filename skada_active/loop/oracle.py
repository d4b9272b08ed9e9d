"""Oracles: callables ``oracle(ids, X_rows) -> labels`` that answer; a missing label is an abstention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from skada_active.labels import as_labels, is_missing, mask_labels
from skada_active.session._validation import label_order

__all__ = ["AbstainingOracle", "ArrayOracle", "NoisyOracle"]

_NOISE, _ABSTENTION = 0, 1
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
        labels = as_labels(self.y)[np.asarray(ids, dtype=np.int64)]
        return mask_labels(labels, is_missing(labels)) if labels.dtype.kind == "O" else labels


class NoisyOracle(BaseEstimator):
    """Answer like another oracle, but with wrong labels now and then.

    Each row's fate depends on the seed and its id alone: asked again, a row gets the same answer. An abstention stays
    one.

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
        rows = np.asarray(ids, dtype=np.int64)
        labels, classes = _reply(self.oracle, rows, X_rows), as_labels(self.classes)
        if len(np.unique(classes)) < 2:
            raise ValueError(f"classes must hold at least two labels to draw a wrong one from, got {self.classes!r}.")
        _check_rate("noise_rate", self.noise_rate)
        noisy = labels.astype(np.result_type(labels, classes))  # a wrong label may be a longer string
        for position in np.flatnonzero(~is_missing(labels)):
            rng = _row_rng(self.random_state, _NOISE, rows[position])
            if rng.random() < self.noise_rate:
                wrong = classes[classes != labels[position]]
                noisy[position] = wrong[rng.integers(len(wrong))]
        return noisy


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
        rows = np.asarray(ids, dtype=np.int64)
        labels = _reply(self.oracle, rows, X_rows)
        _check_rate("rate", self.rate)
        draws = [_row_rng(self.random_state, _ABSTENTION, row).random() for row in rows]
        return mask_labels(labels, np.array(draws) < self.rate)


def _reply(oracle: Oracle, ids: NDArray[np.int64], X_rows: Any) -> NDArray[Any]:
    reply: Any = oracle(ids, X_rows)
    if not hasattr(reply, "iloc") or len(reply) != len(ids):
        return as_labels(reply)
    names = X_rows.index if hasattr(X_rows, "iloc") else None
    return as_labels(reply)[label_order(reply, ids.tolist(), names=names)]


def _row_rng(seed: int, purpose: int, row: int) -> np.random.Generator:
    # Noise and abstentions of equal seeds must not fall on the same rows.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, int(row))))


def _check_rate(name: str, rate: Any) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"{name} must be a probability in [0, 1], got {rate!r}.")
