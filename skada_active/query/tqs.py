"""TQS: uncertain rows that a committee disagrees about and a domain discriminator takes for target rows."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.utils import check_consistent_length, column_or_1d, gen_batches

from skada_active.pool import PoolView
from skada_active.pool.values import as_probabilities
from skada_active.pool.view import row_margin
from skada_active.query._committee import CommitteeStrategy
from skada_active.query._draw import draw_from_best
from skada_active.selection import top_k
from skada_active.utils._sklearn import Interval, StrOptions
from skada_active.utils.arrays import to_host
from skada_active.utils.shares import n_in_share

__all__ = ["TQS", "tqs_scores"]

# Rows whose members are compared at a time.
_BLOCK_ROWS = 1024


def tqs_scores(
    proba: ArrayLike,
    committee_proba: ArrayLike,
    source_logit: ArrayLike | None = None,
    *,
    domainness: str = "linear",
    mean: float = 0.75,
    std: float = 0.4,
) -> NDArray[np.float64]:
    r"""Return the sum of transferable uncertainty, committee and domainness of every row.

    .. math::

        s = 1 - (p_{(1)} - p_{(2)}) + \frac{1}{C} \sum_c \mathrm{std}_m(p_{mc}) + g(d), \qquad d = P(\text{target})

    with the unbiased standard deviation over the members m of the committee, and g(d) = d or
    :math:`g(d) = e^{-(d - \mu)^2 / 2 \sigma^2}`.

    Parameters
    ----------
    proba : array-like of shape (n, C)
        Class probabilities of the classifier.
    committee_proba : array-like of shape (M, n, C)
        Those of at least two members of a committee.
    source_logit : array-like of shape (n,), default=None
        Logit of P(source) of a domain discriminator. ``None``: the sum without domainness.
    domainness : {"linear", "gaussian"}, default="linear"
        Form of g.
    mean, std : float, default=0.75 and 0.4
        P(target) that counts most, and how fast others count less, above 0; for ``"gaussian"`` only.

    Returns
    -------
    ndarray of shape (n,), float64
        Scores, at least 0.

    Raises
    ------
    ValueError
        If the committee has fewer than two members, lengths differ, a row does not hold probabilities, `domainness` is
        another string, or `std` is not above 0.

    Notes
    -----
    O(M n C) time, O(n) memory.

    References
    ----------
    .. [1] Fu et al., "Transferable Query Selection for Active Domain Adaptation", CVPR 2021.

    Examples
    --------
    >>> from skada_active.query import tqs_scores
    >>> proba, committee_proba = [[0.7, 0.3], [0.5, 0.5]], [[[0.8, 0.2], [0.5, 0.5]], [[0.6, 0.4], [0.5, 0.5]]]
    >>> tqs_scores(proba, committee_proba).round(4)
    array([0.7414, 1.    ])
    >>> tqs_scores(proba, committee_proba, source_logit=[-2.0, 0.0]).round(4)
    array([1.6222, 1.5   ])
    """
    proba, members = as_probabilities("proba", proba), as_probabilities("committee_proba", committee_proba)
    check_consistent_length(proba, members[0] if len(members) else proba)
    scores = 1 - row_margin(proba) + _deviation(members)
    if source_logit is None:
        return scores
    logit = column_or_1d(to_host(source_logit))
    check_consistent_length(proba, logit)
    return scores + _domainness(logit, domainness, mean, std)


class TQS(CommitteeStrategy):
    """TQS strategy: target rows in doubt by margin and committee, and unlike the source.

    Reads class probabilities, those of a committee, and the logit of a trained domain discriminator, which
    ``AdaptationClassifier(DANN())`` trains. The committee are the heads of a network that has several. For any other
    estimator, or from `members`, the strategy trains one, as `QueryByCommittee` does.

    Parameters
    ----------
    domainness : {"linear", "gaussian", None}, default="linear"
        How P(target) of the discriminator counts: as it is, as in the published code; by a bell curve around `mean`, as
        in the paper, so that rows far from the source count less again; or not at all, and no discriminator is read.
    window : float, "auto" or None, default=None
        Share of the pool, above 0 and at most 1, among whose highest scores rows are drawn uniformly, for diversity,
        never fewer than are asked for. ``"auto"``: the share that the model estimates to be wrong, 1 minus its mean
        confidence. ``None``: the highest scores themselves.
    mean, std : float, default=0.75 and 0.4
        Middle and width of the bell curve; see `tqs_scores`. Recollected values, not checked against the paper.
    n_members : int, default=5
        How many bootstrap clones of the estimator form the committee, where it has no heads and `members` is None; of
        the default estimator, where that is a network, how many heads it gets if it can have several.
    members : list of at least two estimators, default=None
        The committee; see `QueryByCommittee`.
    n_jobs : int, default=None
        How many members are trained at a time; see `QueryByCommittee`.
    estimator : estimator, default=None
        See `QueryStrategy`; ``None``: ``AdaptationClassifier(DANN())``, or without domainness the usual one.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw, of the bootstraps and of the default estimator. See `QueryStrategy`.

    See Also
    --------
    tqs_scores : The score as a function.
    QueryByCommittee : The committee alone.
    AADA : Entropy and the discriminator.

    Notes
    -----
    The utility of a row is its score. O(M n C) time and memory, and, where the estimator has no heads, the training of
    `n_members` models per round.

    Where paper, code and reading differ: the published code leaves domainness out, trains no discriminator for it, and
    starts the window at the accuracy on the target's test labels, which nobody has: of the rows in ascending order it
    skips that share. ``window="auto"`` skips the mean confidence instead. That the draw is uniform over all ranks above
    is our reading.

    References
    ----------
    .. [1] Fu et al., "Transferable Query Selection for Active Domain Adaptation", CVPR 2021.

    Examples
    --------
    >>> from skada_active.pool import PoolView
    >>> from skada_active.query import TQS
    >>> proba, committee_proba = [[0.7, 0.3], [0.5, 0.5]], [[[0.8, 0.2], [0.5, 0.5]], [[0.6, 0.4], [0.5, 0.5]]]
    >>> view = PoolView(proba=proba, committee_proba=committee_proba, source_logit=[-2.0, 0.0])
    >>> TQS().select(view, 1), TQS(domainness=None).select(view, 1)
    (array([0]), array([1]))
    """

    reads_heads: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CommitteeStrategy._parameter_constraints,
        "domainness": [StrOptions({"linear", "gaussian"}), None],
        "window": [Interval(Real, 0, 1, closed="right"), StrOptions({"auto"}), None],
        "mean": [Interval(Real, None, None, closed="neither")],
        "std": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        domainness: str | None = "linear",
        window: float | str | None = None,
        mean: float = 0.75,
        std: float = 0.4,
        n_members: int = 5,
        members: Sequence[Any] | None = None,
        n_jobs: int | None = None,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(n_members, members, n_jobs, estimator=estimator, random_state=random_state)
        self.domainness = domainness
        self.window = window
        self.mean = mean
        self.std = std

    @property
    def needs(self) -> frozenset[str]:
        """``proba`` and ``committee_proba``, and with domainness ``source_logit``."""
        domains = () if self.domainness is None else ("source_logit",)
        return frozenset({"proba", "committee_proba", *domains})

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        doubt = 1 - view.margin + _deviation(view.committee_proba)
        if self.domainness is None:
            return doubt
        return doubt + _domainness(view.source_logit, self.domainness, self.mean, self.std)

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        scores = self._scores(view)
        if self.window is None:
            return top_k(scores, n_queries, rng)
        share = 1 - view.confidence.mean() if isinstance(self.window, str) else self.window
        return draw_from_best(scores, n_in_share(share, len(view)), n_queries, rng)

    @property
    def _n_heads(self) -> int | None:
        # Heads of one network are trained at once.
        return self.n_members if self.members is None else None


def _deviation(committee_proba: NDArray[Any]) -> NDArray[np.float64]:
    """Return the unbiased standard deviation over the members, averaged over the classes, of each row."""
    n_members, n, _ = committee_proba.shape
    if n_members < 2:
        raise ValueError(
            f"committee_proba must hold at least two members, got {n_members}: one has no deviation. Give an estimator "
            "with n_heads=5, or members=[...] of two or more."
        )
    deviation = np.empty(n)
    for rows in gen_batches(n, _BLOCK_ROWS):
        deviation[rows] = committee_proba[:, rows].std(axis=0, ddof=1, dtype=np.float64).mean(axis=1)
    return deviation


def _domainness(source_logit: NDArray[Any], form: str, mean: float, std: float) -> NDArray[np.float64]:
    """Return how much P(target) counts."""
    if form not in ("linear", "gaussian"):
        raise ValueError(f'domainness must be "linear" or "gaussian", got {form!r}.')
    if not std > 0:
        raise ValueError(f"std must be above 0, got {std!r}; it is the width of a bell curve.")
    is_target = expit(-source_logit.astype(np.float64))
    if form == "linear":
        return is_target
    with np.errstate(over="ignore"):
        return np.exp(-(((is_target - mean) / std) ** 2) / 2)
