"""Protocols that change nothing but the roles of the rows: few labels per class, each domain in turn, one domain."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from skada_active.domains import resolve_roles
from skada_active.labels import as_labels, is_missing, native_labels
from skada_active.utils.random import RandomStateLike, check_rng

__all__ = ["labeled_per_class", "leave_one_domain_out", "single_domain"]


def labeled_per_class(
    y: ArrayLike, sample_domain: ArrayLike, n_per_class: int = 1, *, random_state: RandomStateLike = None
) -> NDArray[np.bool_]:
    """Draw the same small number of labelled target rows from every class: semi-supervised domain adaptation (SSDA).

    The labels that are known are then fixed instead of bought, as in the 1-shot and 3-shot columns of the papers:
    ``loop.set_params(budget=0).fit(X, y, sample_domain=sample_domain, labeled_target=mask)``.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels. Those of all target rows are read, for the protocol takes for granted that somebody knows a row of every
        class; target rows without a label are not drawn.
    sample_domain : array-like of shape (n,) of int
        Domain number per row: ``>= 0`` source, ``< 0`` target; several targets are one pool.
    n_per_class : int, default=1
        Target rows of each class that the target has.
    random_state : int, RandomState instance or None, default=None
        Seed of the rows; ``None`` differs from call to call and leaves numpy's global generator alone. With one seed,
        the rows of fewer labels per class are among those of more.

    Returns
    -------
    ndarray of shape (n,), bool
        The rows that were drawn, which `labeled_target` of a loop takes.

    Raises
    ------
    ValueError
        If no target row has a label, a class has fewer rows than `n_per_class`, or labels and domains do not fit.

    See Also
    --------
    holdout_target : Sets rows aside; draw from what it leaves for training.

    References
    ----------
    .. [1] Saito et al., "Semi-supervised Domain Adaptation via Minimax Entropy", ICCV 2019, Section 4.1.
    .. [2] Bouvier et al., "Stochastic Adversarial Gradient Embedding for Active Domain Adaptation", 2021, Table 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.model_selection import labeled_per_class
    >>> y, sample_domain = np.array([0, 1, 0, 0, 1, 1]), np.array([1, 1, -2, -2, -2, -2])
    >>> mask = labeled_per_class(y, sample_domain, random_state=0)
    >>> np.bincount(y[mask])
    array([1, 1])
    """
    check_scalar(n_per_class, "n_per_class", Integral, min_val=1)
    labels = as_labels(y)
    rows = resolve_roles(labels, sample_domain).labeled_target
    if not len(rows):
        raise ValueError("y has a label for no target row (sample_domain < 0), so there is nothing to draw from.")
    rows = check_rng(random_state).permutation(rows)
    classes, codes, counts = np.unique(native_labels(labels[rows]), return_inverse=True, return_counts=True)
    if counts.min() < n_per_class:
        rare = int(counts.argmin())
        raise ValueError(
            f"n_per_class={n_per_class}, but class {classes[rare : rare + 1].tolist()[0]!r} has {counts[rare]} target "
            "row(s) with a label; draw fewer, or leave the rows of that class out."
        )
    by_class = np.argsort(codes, kind="stable")
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    mask = np.zeros(len(labels), dtype=bool)
    mask[rows[by_class[place < n_per_class]]] = True
    return mask


def leave_one_domain_out(sample_domain: ArrayLike) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Make every domain the target in turn, and all others sources.

    Parameters
    ----------
    sample_domain : array-like of shape (n,) of int
        Domain number per row, other than 0, which has no negative. The sign says nothing here: 3 and -3 are one domain.

    Yields
    ------
    number : int
        The domain that is the target, ascending.
    sample_domain : ndarray of shape (n,), int64
        The domain numbers to fit with: ``-number`` for its rows, above 0 for all others.

    Raises
    ------
    ValueError
        If there are fewer than two domains, one has the number 0, or `sample_domain` does not hold integers.

    Notes
    -----
    Every row is a source row in some turn, so all of them need labels.

    Examples
    --------
    >>> from skada_active.model_selection import leave_one_domain_out
    >>> for number, seen in leave_one_domain_out([1, 1, 2, -3]):
    ...     print(number, seen)
    1 [-1 -1  2  3]
    2 [ 1  1 -2  3]
    3 [ 1  1  2 -3]
    """
    domain = np.abs(resolve_roles(np.zeros(np.size(sample_domain)), sample_domain).domain)
    numbers = np.unique(domain).tolist()
    if 0 in numbers:
        raise ValueError("sample_domain holds 0, which has no negative to mark a target by; number the domains from 1.")
    if len(numbers) < 2:
        raise ValueError(f"sample_domain names {len(numbers)} domain(s); leaving one out takes at least 2.")
    return ((number, np.where(domain == number, -domain, domain)) for number in numbers)


def single_domain(
    y: ArrayLike, n_initial: int | float = 0.1, *, random_state: RandomStateLike = None
) -> NDArray[np.int64]:
    """Split one domain into labelled rows and a pool: plain active learning, without a gap between domains.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels. All that is read of them is whether they are missing: such a row belongs to the pool.
    n_initial : int or float, default=0.1
        Number, or share of all rows, whose label is known from the start.
    random_state : int, RandomState instance or None, default=None
        Seed of the split; ``None`` differs from call to call and leaves numpy's global generator alone.

    Returns
    -------
    ndarray of shape (n,), int64
        Domain numbers: 1 for the labelled rows, -1 for the pool, which are "source" and "target" of one domain.

    Raises
    ------
    ValueError
        If `n_initial` leaves no row on one side, or exceeds the rows with a label.

    Notes
    -----
    The labelled rows are drawn regardless of their class, as in the first step of a campaign. A class of which none was
    drawn is new to the model when it is bought.

    References
    ----------
    .. [1] Xie et al., "Learning Distinctive Margin toward Active Domain Adaptation", CVPR 2022, Fig. 4 (CIFAR-10, from
       10 to 30 % of the rows).

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.model_selection import single_domain
    >>> np.unique(single_domain(np.arange(20) % 2, n_initial=0.1, random_state=0), return_counts=True)
    (array([-1,  1]), array([18,  2]))
    """
    labels = as_labels(y)
    known = np.flatnonzero(~is_missing(labels))
    n_rows = 0
    if isinstance(n_initial, Integral) and not isinstance(n_initial, bool):
        n_rows = int(n_initial)
    elif isinstance(n_initial, Real) and 0 < n_initial < 1:
        n_rows = int(n_initial * len(labels))
    if not 0 < n_rows <= min(len(known), len(labels) - 1):
        raise ValueError(
            f"n_initial={n_initial!r} must be a count or a share below 1 that takes at least one of the {len(known)} "
            f"row(s) with a label and leaves a pool, got {n_rows} of {len(labels)} row(s)."
        )
    domain = np.full(len(labels), -1, dtype=np.int64)
    domain[check_rng(random_state).permutation(known)[:n_rows]] = 1
    return domain
