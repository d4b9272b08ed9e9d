"""Subsets and changes of a user's own rows that make a harder task of them: label shift, partial target, wider gap."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.datasets._validation import check_number, seeded

if TYPE_CHECKING:
    from numpy.random import RandomState

    from skada_active.domains import Roles

__all__ = ["displace_source", "subsample_label_shift", "subsample_partial_target"]


def subsample_label_shift(
    y: ArrayLike,
    sample_domain: ArrayLike,
    *,
    imbalance: float = 5.2,
    reversed_target: bool = True,
    random_state: int | RandomState | None = None,
) -> NDArray[np.int64]:
    r"""Choose rows so that the classes are long-tailed, and the frequent ones of the source rare in the target (RSUT).

    In each domain the classes are ranked from frequent to rare, and that of rank r keeps

    .. math:: n_r = \frac{n_0}{1 + (\rho - 1)\, r / (C - 1)}, \qquad r = 0, \dots, C - 1

    rows, a Pareto curve that falls from :math:`n_0`, all rows of the most frequent class, to :math:`n_0 / \rho`;
    a class that has fewer keeps all of them.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels. Those of all rows are read, of the target rows too: the protocol is made by somebody who knows them.
    sample_domain : array-like of shape (n,) of int
        Domain number per row: ``>= 0`` source, ``< 0`` target. Every domain is subsampled by itself.
    imbalance : float, default=5.2
        Ratio :math:`\rho` of the largest class to the smallest, at least 1 (all alike).
    reversed_target : bool, default=True
        Source classes are ranked from the last label to the first in sorted order, and target classes the other way
        round; ``False``: the same way, so that the classes are long-tailed, but p(y) is shared.
    random_state : int, RandomState or None, default=None
        Seed of the rows that a class keeps.

    Returns
    -------
    ndarray of int64
        Row numbers, ascending: ``X[rows], y[rows], sample_domain[rows]`` is the task.

    Raises
    ------
    TypeError, ValueError
        If an argument is not valid, a row has no label, there are fewer than two classes, or a domain has no row of the
        class that is to be its most frequent one.

    Notes
    -----
    The profile is our reading: the paper names a Pareto distribution and no parameters. In the published lists of
    Office-Home RSUT the largest class has 5.2 (Product) and 5.6 (Clipart) times the rows of the smallest. This curve
    gives the class sizes of Clipart's source, 39 to 7 rows in 65 classes, to within one row.

    References
    ----------
    .. [1] Tan et al., "Class-imbalanced Domain Adaptation: An Empirical Odyssey", ECCV Workshops 2020: reversely
       unbalanced source, unbalanced target.
    .. [2] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Tables 4 and 6.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.datasets import make_shifted_blobs, subsample_label_shift
    >>> X, y, sample_domain = make_shifted_blobs(90, 90, random_state=0)
    >>> rows = subsample_label_shift(y, sample_domain, random_state=0)
    >>> [np.bincount(y[rows][sample_domain[rows] == number]).tolist() for number in (1, -2)]
    [[6, 10, 30], [30, 10, 6]]
    """
    check_number(imbalance, "imbalance", at_least=1)
    labels, roles = _labelled(y, sample_domain)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has one class, {classes.tolist()[0]!r}; a shift of the labels takes at least two.")
    rank = np.arange(len(classes))
    share = 1 / (1 + (imbalance - 1) * rank / (len(classes) - 1))
    rng, kept = seeded(random_state), []
    for number in np.unique(roles.domain).tolist():
        ranked = rank if number < 0 and reversed_target else rank[::-1]
        rows = rng.permutation(np.flatnonzero(roles.domain == number))
        sizes = np.bincount(codes[rows], minlength=len(classes))
        if not sizes[ranked[0]]:
            raise ValueError(
                f"Domain {number} has no row of class {classes.tolist()[ranked[0]]!r}, which is to be its most "
                "frequent one; leave that class out of all domains."
            )
        wanted = np.empty(len(classes))
        wanted[ranked] = np.maximum(1, np.floor(sizes[ranked[0]] * share + 0.5))
        by_class = np.argsort(codes[rows], kind="stable")
        place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        kept.append(rows[by_class[place < np.repeat(wanted, sizes)]])
    return np.sort(np.concatenate(kept)).astype(np.int64, copy=False)


def subsample_partial_target(y: ArrayLike, sample_domain: ArrayLike, classes: int | Sequence[Any]) -> NDArray[np.int64]:
    """Choose all source rows and the target rows of some classes: partial domain adaptation.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels. Those of the target rows are read, which this protocol is made from.
    sample_domain : array-like of shape (n,) of int
        Domain number per row: ``>= 0`` source, ``< 0`` target.
    classes : int or sequence of labels
        Classes that the target keeps; a number: the first so many in sorted order, such as 25 for Office-Home.

    Returns
    -------
    ndarray of int64
        Row numbers, ascending: ``X[rows], y[rows], sample_domain[rows]`` is the task.

    Raises
    ------
    ValueError
        If a row has no label, `classes` names a class that no row has, or no target row is left.

    References
    ----------
    .. [1] Hu et al., "Unsupervised Domain Adaptation with Hierarchical Gradient Synchronization", CVPR 2020, Section 4
       (Office-31-PDA).

    Examples
    --------
    >>> from skada_active.datasets import subsample_partial_target
    >>> subsample_partial_target(["a", "b", "c", "a", "b", "c"], [1, 1, 1, -2, -2, -2], ["a", "c"])
    array([0, 1, 2, 3, 5])
    >>> subsample_partial_target(["a", "b", "c", "a", "b", "c"], [1, 1, 1, -2, -2, -2], 1)
    array([0, 1, 2, 3])
    """
    labels, roles = _labelled(y, sample_domain)
    known = np.unique(labels).tolist()
    if isinstance(classes, Integral) and not isinstance(classes, bool):
        n_classes = int(classes)
        if not 1 <= n_classes <= len(known):
            raise ValueError(f"classes={n_classes} must be a number from 1 to {len(known)}, that of the classes in y.")
        kept = known[:n_classes]
    elif isinstance(classes, str | bytes) or not np.iterable(classes):
        raise ValueError(f"classes={classes!r} must be a number of classes or a list of labels.")
    else:
        kept = list(classes)
    if unknown := [label for label in kept if label not in known]:
        raise ValueError(f"classes names {unknown[0]!r}, which no row of y has; choose from {str(known[:20])[1:-1]}.")
    stays = ~roles.is_target | np.isin(labels, kept)
    if not (stays & roles.is_target).any():
        raise ValueError(f"classes={classes!r} leaves no target row (sample_domain < 0) of {len(roles.target)}.")
    return np.flatnonzero(stays)


def displace_source(
    X: ArrayLike,
    y: ArrayLike,
    sample_domain: ArrayLike,
    *,
    scale: float = 0.1,
    random_state: int | RandomState | None = None,
) -> NDArray[Any]:
    r"""Move every class of the source at random, which widens the gap to the target.

    All source rows of class c move by

    .. math:: \xi_c = \sum_i r_{ci}\, (p_i - p_c), \qquad r_{ci} \sim U(-u, u)

    where :math:`p_i` are the means of the classes in the source; target rows stay where they are.

    Parameters
    ----------
    X : array-like of shape (n, D)
        Rows of numbers, such as the embedding of a pretrained network.
    y : array-like of shape (n,)
        Labels; those of the target rows are not read.
    sample_domain : array-like of shape (n,) of int
        Domain number per row: ``>= 0`` source, ``< 0`` target. Several sources move as one.
    scale : float, default=0.1
        Largest weight u of a difference of two means, at least 0.
    random_state : int, RandomState or None, default=None
        Seed of the weights.

    Returns
    -------
    ndarray of shape (n, D)
        A copy of `X`, in its floating type.

    Raises
    ------
    ValueError
        If rows are not finite numbers, `scale` is negative, or rows, labels and domains do not fit together.

    References
    ----------
    .. [1] Sun et al., "Local Context-Aware Active Domain Adaptation", ICCV 2023, Section 4.3 and Fig. 7.

    Examples
    --------
    >>> from skada_active.datasets import displace_source, make_shifted_blobs
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> moved = displace_source(X, y, sample_domain, scale=0.5, random_state=0)
    >>> sorted(set(sample_domain[(moved != X).any(axis=1)].tolist()))
    [1]
    """
    from sklearn.utils import check_array

    from skada_active.domains import check_inputs
    from skada_active.labels import native_labels

    check_number(scale, "scale", at_least=0)
    checked = check_array(X, dtype=[np.float64, np.float32], input_name="X")
    rows, labels, roles = check_inputs(checked, y, sample_domain)
    classes, codes = np.unique(native_labels(labels[roles.source]), return_inverse=True)
    means = np.zeros((len(classes), rows.shape[1]))
    np.add.at(means, codes, rows[roles.source])
    means /= np.maximum(np.bincount(codes, minlength=len(classes)), 1)[:, None]
    weights = seeded(random_state).uniform(-scale, scale, size=(len(classes), len(classes)))
    moves = weights @ means - weights.sum(axis=1, keepdims=True) * means
    moved: NDArray[Any] = rows.copy()
    moved[roles.source] += moves[codes].astype(rows.dtype)
    return moved


def _labelled(y: ArrayLike, sample_domain: ArrayLike) -> tuple[NDArray[Any], Roles]:
    """Return labels, all of which are known, and the roles of the rows."""
    from skada_active.domains import (
        check_domain_coding,
        resolve_roles,
    )  # here, for the data sets import without scikit-learn
    from skada_active.labels import as_labels, native_labels

    labels = as_labels(y)
    roles = resolve_roles(labels, sample_domain)
    check_domain_coding(roles)
    if not len(roles.target):
        raise ValueError("sample_domain names no target row; number the rows of a target below 0.")
    if len(roles.unlabeled_target):
        raise ValueError(
            f"y has no label for {len(roles.unlabeled_target)} target row(s), the first is row "
            f"{roles.unlabeled_target[0]}, and rows are chosen by their class; leave these rows out."
        )
    return native_labels(labels), roles
