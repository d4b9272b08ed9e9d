"""Splits for model selection whose test folds hold target rows only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseShuffleSplit, ShuffleSplit

from skada_active.domains import check_inputs, resolve_roles
from skada_active.labels import as_labels
from skada_active.utils.random import RandomStateLike, check_rng
from skada_active.utils.rows import take_rows

__all__ = ["TargetShuffleSplit", "holdout_target"]


class TargetShuffleSplit(BaseShuffleSplit):
    """Split at random so that test folds hold target rows only, and training folds all source rows.

    The domains are passed as `groups`, as in ``GridSearchCV(loop, grid, cv=TargetShuffleSplit(3)).fit(X, y,
    sample_domain=sample_domain, groups=sample_domain)``. Target rows whose label is missing never go into a test fold.
    A plain `KFold` puts source rows into its test folds, whose score says little about the target, and may leave a
    training fold without one.

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

    def __init__(self, n_splits: int = 5, *, test_size: float = 0.5, random_state: RandomStateLike = None) -> None:
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


def holdout_target(
    X: Any,
    y: ArrayLike,
    sample_domain: ArrayLike,
    *,
    test_size: float = 0.5,
    random_state: RandomStateLike = None,
) -> tuple[tuple[Any, NDArray[Any], NDArray[np.int64]], tuple[Any, NDArray[Any]]]:
    """Set target rows aside for evaluation: rows that are neither trained on nor asked about.

    On target rows that took part, bought labels by themselves raise the accuracy; accuracy on held-out rows tells how
    the model generalises (the inductive protocol of the SAGE paper, which sets half of the target aside).

    Parameters
    ----------
    X : array-like of shape (n, ...) or dataset
        Rows of all domains.
    y : array-like of shape (n,)
        Labels. Which rows are set aside does not depend on them, nor on whether they are known.
    sample_domain : array-like of shape (n,) of int
        Domain number per row: ``>= 0`` source, ``< 0`` target.
    test_size : float or int, default=0.5
        Share or number of the target rows to set aside; several targets are one pool.
    random_state : int, RandomState instance or None, default=None
        Seed of the split; ``None`` differs from call to call and leaves numpy's global generator alone.

    Returns
    -------
    train : tuple (X, y, sample_domain)
        All source rows and the other target rows, in their order. The row numbers of a loop that is fitted on them
        count these rows.
    eval_set : tuple (X, y)
        The rows set aside, in their order: what `eval_set` of a loop takes.

    Raises
    ------
    ValueError
        If there are fewer than two target rows, `test_size` leaves none of them on one side, or lengths, labels and
        domain numbers do not fit together.

    References
    ----------
    .. [1] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Section 5.1.

    Examples
    --------
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.model_selection import holdout_target
    >>> train, eval_set = holdout_target(*make_shifted_blobs(random_state=0), random_state=0)
    >>> len(train[1]), len(eval_set[1])
    (300, 100)
    """
    X, labels, roles = check_inputs(X, y, sample_domain)
    if len(roles.target) < 2:
        raise ValueError(
            f"sample_domain names {len(roles.target)} target row(s) (domain numbers < 0); setting some aside takes 2."
        )
    domain = roles.domain
    splitter = TargetShuffleSplit(1, test_size=test_size, random_state=random_state)
    train, test = next(splitter.split(domain, groups=domain))
    return (take_rows(X, train), labels[train], domain[train]), (take_rows(X, test), labels[test])
