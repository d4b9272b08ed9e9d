"""S3VAADA: rows that a small step would flip, that differ from those chosen, and that stand for others."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, gen_batches

from skada_active.pool import PoolView
from skada_active.query._base import QueryStrategy, check_n_queries
from skada_active.selection._ties import Ties
from skada_active.utils._sklearn import Interval
from skada_active.utils.arrays import Floats
from skada_active.utils.random import RandomStateLike

__all__ = ["S3VAADA", "s3vaada_picks"]

# Offset inside of the logarithm of the similarity, which is then 13.8 for equal predictions.
_OFFSET = 1e-6
# Smallest probability that a divergence reckons with, as a logarithm of 0 has no use.
_FLOOR = 1e-12
# Gains that differ by less are rounding, and a tie: similarities are kept in float32.
_SLACK = 1e-7
# Rows of a block when all pairs are gone through, and candidates whose gain is brought up to date at a time.
_BLOCK_ROWS, _CANDIDATES = 256, 16


def s3vaada_picks(
    proba: ArrayLike,
    divergence: ArrayLike,
    n_queries: int,
    *,
    alpha: float = 0.5,
    beta: float = 0.3,
    random_state: RandomStateLike = None,
) -> NDArray[np.int64]:
    r"""Return the rows that S3VAADA chooses, one after another by the largest gain.

    .. math::

        \alpha\, VAP_x + \beta \min_{s \in S} KL(p_s \| p_x) +
        (1 - \alpha - \beta) \frac{1}{n} \sum_i [sim(i, x) - \max_{s \in S} sim(i, s)]_+,
        \qquad sim(i, x) = -\ln(1 - \sum_c \sqrt{p_{ic} p_{xc}} + 10^{-6})

    where S holds the rows chosen so far. The first row is that of largest VAP alone. VAP is scaled to [0, 1] over the
    rows, divergences and similarities over all pairs of rows; what is the same for all is 0.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities.
    divergence : array-like of shape (n,)
        VAP of the same rows: how far the prediction moves by an adversarial step.
    n_queries : int
        How many rows; at most n are returned.
    alpha : float, default=0.5
        Weight of VAP.
    beta : float, default=0.3
        Weight of the distance to the nearest row chosen; the rest up to 1 weighs how many rows a row stands for.
    random_state : int, RandomState, Generator or None, default=None
        What the order of ties is drawn from; ``None``: their positions.

    Returns
    -------
    ndarray of shape (min(n_queries, n),), int64
        Distinct positions, in order of choice.

    Raises
    ------
    ValueError
        If `proba` and `divergence` differ in length, or `alpha`, `beta` or their rest to 1 is negative.

    Notes
    -----
    The gain of a row for the similarities never grows, so that only rows whose last known gain could still win are
    computed again. O(n² C) time for all pairs, once, in blocks, and O(n C) for each row that is computed again, of
    which there are a few dozen a choice; O(n C) memory, no n x n array. Probabilities below 1e-12 count as that in the
    divergence, and rows are scaled to the sum 1. Gains that differ by less than 1e-7 are ties.

    References
    ----------
    .. [1] Rangwani et al., "S3VAADA: Submodular Subset Selection for Virtual Adversarial Active Domain Adaptation",
       ICCV 2021, Sec. 3. That the first row is chosen by VAP alone, and the scaling over all pairs, follow the
       published code.

    Examples
    --------
    >>> from skada_active.query import s3vaada_picks
    >>> s3vaada_picks([[0.9, 0.1], [0.5, 0.5], [0.45, 0.55], [0.1, 0.9]], [0.6, 0.8, 0.7, 0.1], 2)
    array([1, 0])
    """
    check_consistent_length(proba, divergence)
    if min(alpha, beta, 1 - alpha - beta) < -np.finfo(float).eps:
        raise ValueError(
            f"alpha and beta must be at least 0 and their sum at most 1, got alpha={alpha} and beta={beta}; "
            "1 - alpha - beta is the third weight."
        )
    vap = _scaled(np.asarray(divergence, dtype=np.float64))
    n_queries = min(check_n_queries(n_queries), len(vap))
    if n_queries == 0:
        return np.empty(0, dtype=np.int64)
    ties = Ties(len(vap), random_state)
    first = ties.best(vap, _SLACK)
    return _greedy(first, alpha * vap, _Pairs(np.asarray(proba)), n_queries, beta, max(0.0, 1 - alpha - beta), ties)


class S3VAADA(QueryStrategy):
    """S3VAADA strategy: rows that a small step would flip, unlike those chosen, and alike to many others.

    Reads class probabilities and the virtual adversarial divergence (VAP), which an `AdaptationClassifier` supplies:
    how far the prediction moves when the row is moved a little in the worst direction. The rule as a pure function:
    `s3vaada_picks`.

    Parameters
    ----------
    alpha : float, default=0.5
        Weight of VAP.
    beta : float, default=0.3
        Weight of the distance to the nearest row chosen; the rest up to 1 weighs how many rows a row stands for.
    max_pool : int, default=5000
        Most candidates that are compared with one another: of a larger pool so many (at least `n_queries`) are drawn by
        the seed, and the others are not asked for.
    estimator : estimator, default=None
        See `QueryStrategy`. ``None`` is an `AdaptationClassifier` with the loss `VAT` that the paper trains with.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw from a large pool. See `QueryStrategy`.

    See Also
    --------
    s3vaada_picks : The choice as a function.
    skada_active.deep.VAT : The loss that the paper combines it with (VAADA).

    Notes
    -----
    Divergence and similarity compare predictions, the embedding is not read. With m candidates compared, O(m² C) time
    and O(m C) memory. VAP costs ten forward and five backward passes
    over the pool, see `skada_active.deep.functional.virtual_adversarial_divergence`.

    References
    ----------
    .. [1] Rangwani et al., "S3VAADA: Submodular Subset Selection for Virtual Adversarial Active Domain Adaptation",
       ICCV 2021.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import S3VAADA
    >>> proba = [[0.9, 0.1], [0.5, 0.5], [0.45, 0.55], [0.1, 0.9]]
    >>> S3VAADA().select(PoolView(proba=proba, virtual_divergence=[0.6, 0.8, 0.7, 0.1]), 2)
    array([1, 0])
    """

    needs = frozenset({"proba", "virtual_divergence"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "alpha": [Interval(Real, 0, 1, closed="both")],
        "beta": [Interval(Real, 0, 1, closed="both")],
        "max_pool": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.3,
        max_pool: int = 5000,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.alpha = alpha
        self.beta = beta
        self.max_pool = max_pool

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        n, size = len(view), max(self.max_pool, n_queries)
        rows = np.arange(n) if n <= size else np.sort(rng.choice(n, size, replace=False))
        weights = {"alpha": self.alpha, "beta": self.beta}
        picks = s3vaada_picks(view.proba[rows], view.virtual_divergence[rows], n_queries, **weights, random_state=rng)
        return rows[picks]


class _Pairs:
    """Divergences and similarities of the predictions of all pairs of rows, computed as they are read.

    Parameters
    ----------
    proba : ndarray of shape (n, C)
        Class probabilities.
    """

    def __init__(self, proba: NDArray[Any]) -> None:
        # In double precision: what is next to 1 loses the offset in float32, and products of C columns are cheap.
        self.proba = proba / proba.sum(axis=1, keepdims=True, dtype=np.float64)
        self.root = np.sqrt(self.proba)
        # Over that of equal probabilities, which changes no divergence: small ones would be lost in float32.
        self.log_proba = np.log(np.maximum(self.proba, _FLOOR) * self.proba.shape[1])
        self.negentropy = np.einsum("ij,ij->i", self.proba, self.log_proba)

    def divergence(self, position: int) -> NDArray[np.float64]:
        """Return the divergences KL(p_s || p_x) of all rows x from one row s, shape (n,)."""
        return np.maximum(self.negentropy[position] - self.log_proba @ self.proba[position], 0)

    def similarity(self, rows: Any, others: slice = slice(None)) -> NDArray[np.float32]:
        """Return the similarities of some rows to others, shape (len(rows), len(others))."""
        distance = self.root[rows] @ self.root[others].T
        np.subtract(1, distance, out=distance)
        single = distance.astype(np.float32)
        np.maximum(single, 0, out=single)
        single += np.float32(_OFFSET)
        return np.negative(np.log(single, out=single), out=single)

    def scan(self, covered: Floats) -> tuple[NDArray[np.float64], float, float]:
        """Return the gains of all rows, the largest divergence, and the range of the similarities, from all pairs."""
        n = len(self.proba)
        gains, largest, low, high = np.zeros(n), 0.0, np.inf, -np.inf
        proba, log_proba = self.proba.astype(np.float32), self.log_proba.astype(np.float32)
        blocks = list(gen_batches(n, _BLOCK_ROWS))
        for number, block in enumerate(blocks):
            for other in blocks[number:]:
                similarity = self.similarity(block, other)
                low, high = min(low, float(similarity.min())), max(high, float(similarity.max()))
                gains[block] += _uncovered(similarity, covered[other])
                if other is not block:  # similarities are the same both ways
                    gains[other] += _uncovered(similarity.T, covered[block])
                for one, two in ((block, other), (other, block)):
                    cross = (proba[one] @ log_proba[two].T).min(axis=1)
                    largest = max(largest, float((self.negentropy[one] - cross).max()))
        return gains, largest, high - low


def _greedy(
    first: int, score: NDArray[np.float64], pairs: _Pairs, n_queries: int, beta: float, gamma: float, ties: Ties
) -> NDArray[np.int64]:
    """Return the first row and those of the largest gains; `score` (n,) is the part of the gain that stays."""
    chosen = [first]
    if n_queries == 1:
        return np.array(chosen, dtype=np.int64)
    nearest = pairs.divergence(chosen[0])
    covered = pairs.similarity(chosen)[0]
    # What each row would add to the similarities, as known last: it never grows.
    stale, largest, span = pairs.scan(covered)
    beta = beta / largest if largest > _SLACK else 0.0
    gamma = gamma / (len(score) * span) if span > _SLACK else 0.0
    is_left = np.ones(len(score), dtype=bool)
    while True:
        is_left[chosen[-1]] = False
        fixed = np.where(is_left, score + beta * nearest, -np.inf)
        chosen.append(_best(fixed, stale, gamma, covered, pairs, ties))
        if len(chosen) == n_queries:
            return np.array(chosen, dtype=np.int64)
        nearest = np.minimum(nearest, pairs.divergence(chosen[-1]))
        covered = np.maximum(covered, pairs.similarity(chosen[-1:])[0])


def _best(
    fixed: NDArray[np.float64], stale: NDArray[np.float64], gamma: float, covered: Floats, pairs: _Pairs, ties: Ties
) -> int:
    """Return the row of the largest gain, where `stale` bounds a part of it from above and is brought up to date."""
    bound = fixed + gamma * stale
    is_exact = np.full(len(bound), gamma == 0.0)
    while True:
        best = bound[is_exact].max(initial=-np.inf)
        rivals = np.flatnonzero(~is_exact & (bound >= best - _SLACK) & (bound > -np.inf))
        if not len(rivals):
            return ties.best(np.where(is_exact, bound, -np.inf), _SLACK)
        if len(rivals) > _CANDIDATES:
            rivals = rivals[np.argpartition(bound[rivals], -_CANDIDATES)[-_CANDIDATES:]]
        stale[rivals] = _uncovered(pairs.similarity(rivals), covered)
        bound[rivals] = fixed[rivals] + gamma * stale[rivals]
        is_exact[rivals] = True


def _uncovered(similarity: NDArray[np.float32], covered: Floats) -> NDArray[np.float32]:
    """Return how much more similar than the chosen ones each of some rows (k, n) is to all, summed, shape (k,)."""
    gains = similarity - covered
    return np.maximum(gains, 0, out=gains).sum(axis=1)


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values scaled to [0, 1]; all 0 where they are the same."""
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
