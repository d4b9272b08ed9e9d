"""Split and score for model selection: test folds hold target rows only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseShuffleSplit, ShuffleSplit
from sklearn.utils.validation import check_consistent_length

from skada_active._rows import as_rows, n_rows, take_rows
from skada_active.domains import as_labels, is_missing, resolve_roles
from skada_active.selection._validation import check_rng

__all__ = ["TargetShuffleSplit", "target_accuracy"]


class TargetShuffleSplit(BaseShuffleSplit):
    """Split at random so that test folds hold target rows only, and training folds all source rows.

    The domains are passed as `groups`, as in ``GridSearchCV(loop, grid, cv=TargetShuffleSplit(3)).fit(X, y,
    sample_domain=sample_domain, groups=sample_domain)``. Target rows whose label is missing never go into a test fold.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits.
    test_size : float or int, default=0.5
        Share or number of the (labelled) target rows in the test fold.
    random_state : int, RandomState instance or None, default=None
        Seed of the splits; ``None`` differs from call to call and leaves numpy's global generator alone.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.model_selection import TargetShuffleSplit
    >>> sample_domain = np.array([1, 1, 1, -2, -2])
    >>> train, test = next(TargetShuffleSplit(1, random_state=0).split(np.zeros((5, 2)), groups=sample_domain))
    >>> sample_domain[test], len(train)
    (array([-2]), 4)
    """

    # Under metadata routing the splitter asks for the domains by itself.
    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True}

    def __init__(self, n_splits: int = 5, *, test_size: Any = 0.5, random_state: Any = None) -> None:
        super().__init__(n_splits=n_splits, test_size=test_size, random_state=random_state)

    def _iter_indices(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        if groups is None:
            raise ValueError(
                "groups is None; TargetShuffleSplit needs the domains: pass groups=sample_domain next to "
                "sample_domain=sample_domain."
            )
        labels = np.zeros(len(groups)) if y is None else as_labels(y)
        roles = resolve_roles(labels, groups)
        rows = roles.labeled_target
        if len(rows) < 2:
            raise ValueError(
                f"groups names {len(rows)} target row(s) with a label; a split needs at least 2 (domain numbers < 0)."
            )
        splitter = ShuffleSplit(self.n_splits, test_size=self.test_size, random_state=check_rng(self.random_state))
        for _, test in splitter.split(rows):
            in_train = np.ones(len(labels), dtype=bool)
            in_train[rows[test]] = False
            yield np.flatnonzero(in_train), np.sort(rows[test])


def target_accuracy(estimator: Any, X: Any, y: ArrayLike, sample_domain: ArrayLike | None = None) -> float:
    """Score an estimator by its accuracy on target rows.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier.
    X : array-like of shape (n, ...) or dataset
        Rows.
    y : array-like of shape (n,)
        Labels; rows whose label is missing (-1, NaN or None) are left out.
    sample_domain : array-like of shape (n,) of int, default=None
        Domain number per row; ``None``: all rows are target rows, as in the test folds of `TargetShuffleSplit`.

    Returns
    -------
    float
        Accuracy in [0, 1].

    Raises
    ------
    ValueError
        If no target row has a label.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skada_active.model_selection import target_accuracy
    >>> model = DummyClassifier(strategy="constant", constant=1).fit([[0], [1]], [0, 1])
    >>> target_accuracy(model, [[0], [1], [2]], [1, 0, -1])
    0.5
    """
    X, y = as_rows(X), as_labels(y)
    check_consistent_length(range(n_rows(X)), y)
    is_target = np.ones(len(y), dtype=bool) if sample_domain is None else resolve_roles(y, sample_domain).is_target
    rows = np.flatnonzero(is_target & ~is_missing(y))
    if not len(rows):
        raise ValueError("y has no label of a target row to score against; score on rows whose labels are known.")
    # Compared as objects: labels beside missing ones are held as objects, which scikit-learn's metrics refuse.
    predicted = np.asarray(estimator.predict(take_rows(X, rows)))
    return float((y[rows].astype(object) == predicted.astype(object)).mean())
