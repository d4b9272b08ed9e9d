"""Query by committee: ask where several models disagree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import gen_batches

from skada_active.pool import PoolView
from skada_active.pool.values import as_probabilities
from skada_active.query._committee import CommitteeStrategy
from skada_active.utils._sklearn import StrOptions
from skada_active.utils.entropy import row_entropy

__all__ = ["QueryByCommittee", "mean_kl_to_consensus", "vote_entropy"]

# Rows whose votes are counted at a time.
_BLOCK_ROWS = 1024


def vote_entropy(committee_proba: ArrayLike) -> NDArray[np.float64]:
    """Return the entropy of the members' votes for every candidate, in nats.

    Parameters
    ----------
    committee_proba : array-like of shape (M, n, C)
        Class probabilities of M members; each votes for its likeliest class (ties: the first).

    Returns
    -------
    ndarray of shape (n,), float64
        ``-sum_c v_c/M ln(v_c/M)`` for v_c votes, from 0 (unanimous) to ``ln min(M, C)``.

    Raises
    ------
    ValueError
        If the shape is not (M, n, C) or a row does not hold probabilities.

    Notes
    -----
    O(M n C) time, O(n) memory.

    References
    ----------
    .. [1] Engelson and Dagan, "Minimizing Manual Annotation Cost in Supervised Training from Corpora", ACL 1996, Sec.
       4.

    Examples
    --------
    >>> from skada_active.query import vote_entropy
    >>> vote_entropy([[[0.9, 0.1]], [[0.6, 0.4]], [[0.2, 0.8]]]).round(6)
    array([0.636514])
    """
    proba = as_probabilities("committee_proba", committee_proba)
    n_members, n, n_classes = proba.shape
    entropy = np.empty(n)
    for rows in gen_batches(n, _BLOCK_ROWS):
        counts = np.zeros((rows.stop - rows.start, n_classes))
        for votes in proba[:, rows].argmax(axis=2):
            counts[np.arange(len(counts)), votes] += 1
        entropy[rows] = row_entropy(counts / n_members)
    return entropy


def mean_kl_to_consensus(committee_proba: ArrayLike) -> NDArray[np.float64]:
    """Return the mean Kullback-Leibler divergence of the members to their mean prediction, in nats.

    Parameters
    ----------
    committee_proba : array-like of shape (M, n, C)
        Class probabilities of M members.

    Returns
    -------
    ndarray of shape (n,), float64
        ``1/M sum_m KL(p_m || mean p)``, from 0 (all the same) to ``ln M``.

    Raises
    ------
    ValueError
        If the shape is not (M, n, C) or a row does not hold probabilities.

    Notes
    -----
    O(M n C) time, O(n) memory: the sum is the entropy of the mean minus the mean entropy.

    References
    ----------
    .. [1] McCallum and Nigam, "Employing EM and Pool-Based Active Learning for Text Classification", ICML 1998, Sec. 3.

    Examples
    --------
    >>> from skada_active.query import mean_kl_to_consensus
    >>> mean_kl_to_consensus([[[0.8, 0.2]], [[0.4, 0.6]]]).round(6)
    array([0.086305])
    """
    proba = as_probabilities("committee_proba", committee_proba)
    divergence = np.empty(proba.shape[1])
    for rows in gen_batches(len(divergence), _BLOCK_ROWS):
        members = proba[:, rows]
        mean_entropy = np.mean([row_entropy(member) for member in members], axis=0)
        divergence[rows] = row_entropy(members.mean(axis=0, dtype=np.float64)) - mean_entropy
    return np.maximum(divergence, 0)


_DISAGREEMENTS: dict[str, Callable[[ArrayLike], NDArray[np.float64]]] = {
    "vote_entropy": vote_entropy,
    "kl": mean_kl_to_consensus,
}


class QueryByCommittee(CommitteeStrategy):
    """Query by committee: the target rows on which the members of a committee disagree most.

    Reads the class probabilities of every member.

    Parameters
    ----------
    disagreement : {"vote_entropy", "kl"}, default="vote_entropy"
        Entropy of the votes, or mean Kullback-Leibler divergence to the mean prediction.
    n_members : int, default=5
        How many clones of the estimator form the committee where `members` is None.
    members : list of at least two estimators, default=None
        The committee. A fitted member is used as it is, any other one is cloned and fitted on what is known. Cloning a
        strategy (as a loop or a search does) unfits its members: wrap fitted ones in `sklearn.frozen.FrozenEstimator`.
        ``None``: `n_members` clones of the estimator, each fitted on a bootstrap of the labelled rows in which every
        domain keeps its number of rows of every class; a domain-aware estimator gets all unlabelled target rows too.
    n_jobs : int, default=None
        How many members are trained at a time, see `joblib.Parallel`; ``None``: one, unless a joblib backend says
        otherwise. It does not change the committee.
    estimator : estimator, default=None
        See `QueryStrategy`. ``None``: the first member, where `members` is given.
    random_state : int, RandomState instance or None, default=None
        Seed of the bootstraps and of the members' `random_state` (of given members: only where it is None). See
        `QueryStrategy`.

    See Also
    --------
    vote_entropy : Disagreement of votes as a function.
    mean_kl_to_consensus : Disagreement of probabilities as a function.
    MarginSampling : Doubt of a single model.

    Notes
    -----
    Trains `n_members` models per round, `n_jobs` at a time; threads that train networks take turns. O(M n C) time and
    memory on top. The utility of a row is the disagreement of the members.

    References
    ----------
    .. [1] Seung, Opper and Sompolinsky, "Query by Committee", COLT 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.query import QueryByCommittee
    >>> X = np.array([[0.0], [0.5], [1.0], [3.0], [3.5], [4.0], [-1.0], [2.0]])
    >>> y, sample_domain = np.array([0, 0, 0, 1, 1, 1, -1, -1]), [1, 1, 1, 1, 1, 1, -1, -1]
    >>> QueryByCommittee("kl", random_state=1).fit(X, y, sample_domain).query()
    array([7])
    """

    needs = frozenset({"committee_proba"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CommitteeStrategy._parameter_constraints,
        "disagreement": [StrOptions(set(_DISAGREEMENTS))],
    }

    def __init__(
        self,
        disagreement: str = "vote_entropy",
        n_members: int = 5,
        members: Sequence[Any] | None = None,
        n_jobs: int | None = None,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(n_members, members, n_jobs, estimator=estimator, random_state=random_state)
        self.disagreement = disagreement

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return _DISAGREEMENTS[self.disagreement](view.committee_proba)
