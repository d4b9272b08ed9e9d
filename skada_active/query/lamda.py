"""LAMDA: prototypes of the target distribution, of which sure and labelled ones cost nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, gen_batches

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy, check_n_queries
from skada_active.query._cost import product_seconds
from skada_active.selection._ties import Ties
from skada_active.utils._sklearn import Interval
from skada_active.utils.arrays import Floats, as_floats, to_host
from skada_active.utils.random import RandomStateLike

__all__ = ["LAMDA", "lamda_picks"]

# Rows of a block of the kernel, so that a block of pairs stays in the cache.
_BLOCK_ROWS = 512
# Scores that differ by less are rounding, and a tie, in units of the floats' precision.
_SLACK = 16.0


def lamda_picks(
    features: ArrayLike,
    n_queries: int,
    *,
    labeled_features: ArrayLike | None = None,
    margin: ArrayLike | None = None,
    gamma: float | None = None,
    pseudo_label_threshold: float | None = 0.8,
    random_state: RandomStateLike = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r"""Return the prototypes that LAMDA buys, and those that it gets for nothing by their pseudo-label.

    Prototypes of all n + l target rows are chosen one after another by the largest

    .. math::

        \frac{2}{n + l} \sum_i k(i, x) - \frac{2 \sum_{s \in S} k(s, x) + k(x, x)}{|S| + 1},
        \qquad k(i, x) = e^{-\gamma |f_i - f_x|^2}

    where S holds the prototypes so far, none at first: those that bring the prototypes' distribution nearest to that of
    the target in maximum mean discrepancy. A labelled row, and one whose margin exceeds the threshold, is free: it
    represents its surroundings without being bought. At most ``2 (l + n_queries)`` prototypes are free; one more, and
    the oldest free one without a label is bought after all.

    Parameters
    ----------
    features : array-like of shape (n, D)
        Embedding of the candidates.
    n_queries : int
        How many rows to buy; at most n are.
    labeled_features : array-like of shape (l, D), default=None
        Embedding of the target rows whose label is known; they are never bought again.
    margin : array-like of shape (n,), default=None
        Largest minus second largest probability of the candidates; ``None``: no candidate is free.
    gamma : float, default=None
        Width of the kernel; ``None``: 1 / D.
    pseudo_label_threshold : float, default=0.8
        Margin above which a candidate is free; ``None``: no candidate is.
    random_state : int, RandomState, Generator or None, default=None
        What the order of ties is drawn from; ``None``: their positions.

    Returns
    -------
    bought : ndarray of shape (min(n_queries, n),), int64
        Distinct positions among the candidates, in the order in which they were bought.
    free : ndarray of shape (m,), int64
        Positions of the free prototypes among the candidates, in order of choice.

    Raises
    ------
    ValueError
        If the lengths do not agree, or squared distances are out of the range of their type.

    Notes
    -----
    O((n + l)² D) time, once, and O((n + l) D) for each prototype, of which there are at most
    ``3 n_queries + 2 l``. The sums over all rows go by blocks of pairs; O((n + l) D) memory, no n x n array. Where the
    rows come to an end before `n_queries` are bought, the free ones are bought, the oldest first.

    References
    ----------
    .. [1] Hwang et al., "Combating Label Distribution Shift for Active Domain Adaptation", ECCV 2022, Sec. 3. The
       limit is that of the published code, ``2 r b`` in round r of b purchases each, where that rounds count from 1 is
       our reading; there the oldest free prototype is bought even if its label is known.

    Examples
    --------
    >>> from skada_active.query import lamda_picks
    >>> bought, free = lamda_picks([[0.0], [0.1], [2.0], [2.1], [5.0]], 3, gamma=1.0)
    >>> bought
    array([2, 0, 4])
    """
    labeled = np.empty((0, np.shape(features)[1])) if labeled_features is None else labeled_features
    candidates, labeled = map(to_host, as_floats(features, labeled))
    n, rows = len(candidates), np.concatenate([candidates, labeled])
    n_queries = min(check_n_queries(n_queries), n)
    is_sure = np.zeros(n, dtype=bool)
    if margin is not None and pseudo_label_threshold is not None:
        check_consistent_length(features, margin)
        is_sure = np.asarray(margin) > pseudo_label_threshold
    if not n_queries:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    kernel = _Kernel(rows, 1 / max(1, rows.shape[1]) if gamma is None else gamma)
    return _share_out(_prototypes(kernel, Ties(len(rows), random_state)), is_sure, len(labeled), n_queries)


class LAMDA(QueryStrategy):
    """LAMDA strategy: prototypes whose distribution is that of the target; what is known or sure is not bought.

    Reads the embedding of the pool and of the labelled target rows, and class probabilities where sure candidates are
    free. The rule as a pure function: `lamda_picks`.

    Parameters
    ----------
    gamma : float, default=None
        Width of the Gaussian kernel ``exp(-gamma |x - y|^2)``; ``None``: 1 / D, for an embedding whose columns have a
        scale of about 1.
    pseudo_label_threshold : float, default=0.8
        A candidate whose two largest probabilities differ by more is a prototype without being bought; ``None``: all
        prototypes without a label are bought.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        Seed of the default estimator where that is a network; the choice itself has no randomness.

    See Also
    --------
    lamda_picks : The choice as a function, which also returns the free prototypes.
    CoreSet : Rows that cover the pool, outliers first.
    KMeansSampling : Rows that represent it.

    Notes
    -----
    The choice starts afresh in every round, and the labelled rows become prototypes in their turn. O(n² D) time and
    O(n D) memory; a choice that will take minutes is announced by a warning. The paper's embedding is that of the
    backbone, 2048 columns wide; here it is the input of the final classifier, as for all strategies.

    References
    ----------
    .. [1] Hwang et al., "Combating Label Distribution Shift for Active Domain Adaptation", ECCV 2022, Sec. 3.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import LAMDA
    >>> view = PoolView(features=[[0.0], [0.1], [2.0], [2.1], [5.0]])
    >>> LAMDA(gamma=1.0, pseudo_label_threshold=None).select(view, 3)
    array([2, 0, 4])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "gamma": [Interval(Real, 0, None, closed="neither"), None],
        "pseudo_label_threshold": [Interval(Real, 0, 1, closed="both"), None],
    }

    def __init__(
        self,
        gamma: float | None = None,
        pseudo_label_threshold: float | None = 0.8,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.gamma = gamma
        self.pseudo_label_threshold = pseudo_label_threshold

    @property
    def needs(self) -> frozenset[str]:
        """The embedding of candidates and labelled rows, and ``proba`` where sure candidates are free."""
        sure = {"proba"} if self.pseudo_label_threshold is not None else set()
        return frozenset({"features", "labeled_features"} | sure)

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        n = float(len(view) + len(view.labeled_features))
        return product_seconds(view, n * n * view.features.shape[1] / 2)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        bought, _ = lamda_picks(
            view.features,
            n_queries,
            labeled_features=view.labeled_features,
            margin=None if self.pseudo_label_threshold is None else view.margin,
            gamma=self.gamma,
            pseudo_label_threshold=self.pseudo_label_threshold,
            random_state=rng,
        )
        return bought


class _Kernel:
    """Gaussian kernel of rows, a block or a column at a time.

    Parameters
    ----------
    rows : ndarray of shape (n, D)
        Rows.
    gamma : float
        Width.
    """

    def __init__(self, rows: Floats, gamma: float) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            # Distances in products lose what the rows have in common.
            self.rows = (rows - rows.mean(axis=0)) * rows.dtype.type(np.sqrt(2 * gamma))
            self.half_squares = np.einsum("ij,ij->i", self.rows, self.rows) / 2
        if not self.half_squares.max(initial=0) <= np.finfo(rows.dtype).max / 4:
            raise ValueError(
                f"features with gamma={gamma:.3g} have squared distances beyond the range of {rows.dtype}; scale "
                "features down, or give a smaller gamma."
            )

    def column(self, position: int) -> Floats:
        """Return the kernel of all rows with one, shape (n,); 1 with itself."""
        column = self._values(self.rows @ self.rows[position], self.half_squares, self.half_squares[position])
        column[position] = 1
        return column

    def sums(self) -> NDArray[np.float64]:
        """Return the sum of the kernel of each row with all, shape (n,)."""
        sums = np.zeros(len(self.rows))
        blocks = list(gen_batches(len(self.rows), _BLOCK_ROWS))
        for number, block in enumerate(blocks):
            for other in blocks[number:]:  # the kernel is symmetric: half of the pairs tell of all
                inner = self.rows[block] @ self.rows[other].T
                values = self._values(inner, self.half_squares[block, None], self.half_squares[other])
                if other is block:
                    np.fill_diagonal(values, 1)
                else:
                    sums[other] += values.sum(axis=0)
                sums[block] += values.sum(axis=1)
        return sums

    @staticmethod
    def _values(inner: Floats, left: Floats, right: Floats) -> Floats:
        inner -= left
        inner -= right
        return np.exp(np.minimum(inner, 0, out=inner), out=inner)


def _prototypes(kernel: _Kernel, ties: Ties) -> Iterator[int]:
    """Yield all rows of the kernel in the order in which they become prototypes."""
    n = ties.n
    density = 2 / n * kernel.sums()
    slack = _SLACK * float(np.finfo(kernel.rows.dtype).eps)
    overlap = np.zeros(n)
    is_left = np.ones(n, dtype=bool)
    for size in range(n):
        gain = density - (2 * overlap + 1) / (size + 1)
        best = ties.best(np.where(is_left, gain, -np.inf), slack)
        yield best
        is_left[best] = False
        overlap += kernel.column(best)


def _share_out(
    prototypes: Iterator[int], is_sure: NDArray[np.bool_], n_labeled: int, n_queries: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the candidates that are bought and those that are free prototypes; labelled rows come after them all."""
    n, limit = len(is_sure), 2 * (n_labeled + n_queries)
    n_known = 0
    bought: list[int] = []
    free: deque[int] = deque()
    for row in prototypes:
        if row >= n:
            n_known += 1
        elif is_sure[row]:
            free.append(row)
        else:
            bought.append(row)
        if n_known + len(free) > limit:
            bought.append(free.popleft())
        if len(bought) == n_queries:
            break
    while len(bought) < n_queries:
        bought.append(free.popleft())
    return np.array(bought, dtype=np.int64), np.array(free, dtype=np.int64)
