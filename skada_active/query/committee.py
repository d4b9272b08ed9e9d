"""Query by committee: ask where several models disagree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import gen_batches, resample
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from skada_active.domains import Roles
from skada_active.labels import encode_labels
from skada_active.pool import PoolView
from skada_active.pool.readers import ModelReader
from skada_active.pool.view import as_probabilities
from skada_active.query._base import MAX_SEED, QueryStrategy
from skada_active.utils._sklearn import Interval, StrOptions
from skada_active.utils.entropy import row_entropy
from skada_active.utils.fitting import fit_estimator, is_domain_aware, is_frozen, seed_estimator
from skada_active.utils.rows import take_rows

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


class QueryByCommittee(QueryStrategy):
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

    needs = fills = frozenset({"committee_proba"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "disagreement": [StrOptions(set(_DISAGREEMENTS))],
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "members": [list, tuple, None],
        "n_jobs": [Integral, None],
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
        super().__init__(estimator=estimator, random_state=random_state)
        self.disagreement = disagreement
        self.n_members = n_members
        self.members = members
        self.n_jobs = n_jobs

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        return _DISAGREEMENTS[self.disagreement](view.committee_proba)

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if no committee can be formed; see `QueryStrategy.check_model`."""
        super().check_model(estimator)
        if self.members is None and is_frozen(estimator):
            raise ValueError(
                f"estimator={estimator!r} is frozen, so its {self.n_members} bootstrap clones would all be the same "
                "model. Pass a committee of different ones, members=[...], or an estimator that is not frozen."
            )
        members = [estimator] * self.n_members if self.members is None else self.members
        if len(members) < 2:
            raise ValueError(f"members must hold at least two estimators, got {len(members)}; add one.")
        for member in members:
            ModelReader.from_estimator(member).readable({"proba"})

    def _extra_fields(
        self, estimator: Any, X: Any, y: NDArray[Any], roles: Roles, rng: np.random.RandomState
    ) -> dict[str, NDArray[Any]]:
        """Return ``committee_proba``: the probabilities of the fitted members for the pool."""
        self.check_model(estimator)
        # Seeds and bootstraps are drawn here, in order: what is drawn does not depend on who trains which member when.
        if self.members is None:
            members = [_bootstrap(estimator, y, roles, rng) for _ in range(self.n_members)]
        else:
            members = [_seeded(member, roles, rng) for member in self.members]
        pool = take_rows(X, roles.candidates)
        outputs = Parallel(n_jobs=self.n_jobs)(
            delayed(_member_proba)(member, X, y, roles, rows, pool) for member, rows in members
        )
        return {"committee_proba": _stack(*zip(*outputs, strict=True))}

    def _default_estimator(self, X: Any) -> Any:
        if self.members is None:
            return super()._default_estimator(X)
        return FrozenEstimator(self.members[0]) if _is_fitted(self.members[0]) else self.members[0]


def _bootstrap(
    estimator: Any, y: NDArray[Any], roles: Roles, rng: np.random.RandomState
) -> tuple[Any, NDArray[np.int64]]:
    """Return a seeded clone, and the rows of a bootstrap of the labelled ones, stratified by domain and class."""
    member = seed_estimator(clone(estimator), rng.randint(MAX_SEED), overwrite=True)
    labeled = roles.labeled
    _, classes = np.unique(y[labeled], return_inverse=True)
    _, strata = np.unique(np.stack([roles.domain[labeled], classes]), axis=1, return_inverse=True)
    rows = resample(labeled, stratify=strata.ravel(), random_state=rng)
    return member, np.concatenate([rows, roles.unlabeled_target]) if is_domain_aware(estimator) else rows


def _seeded(member: Any, roles: Roles, rng: np.random.RandomState) -> tuple[Any, NDArray[np.int64]]:
    """Return a fitted member as it is, any other one as a seeded clone, and all rows."""
    fresh = member if _is_fitted(member) else seed_estimator(clone(member), rng.randint(MAX_SEED))
    return fresh, np.arange(len(roles))


def _member_proba(
    member: Any, X: Any, y: NDArray[Any], roles: Roles, rows: NDArray[np.int64], pool: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the probabilities of a member for the pool, and its classes; one not fitted yet is fitted first."""
    if not _is_fitted(member):
        of_rows = Roles(roles.domain[rows], roles.is_labeled[rows])
        member = fit_estimator(member, take_rows(X, rows), y[rows], of_rows)
    reader = ModelReader.from_estimator(member)
    return reader.outputs(pool, {"proba"})["proba"], reader.model.classes_


def _is_fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def _stack(proba: Sequence[NDArray[Any]], classes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the members' probabilities (M, n, C) over the classes that any of them knows."""
    union = np.unique(np.concatenate(classes))
    committee = np.zeros((len(proba), len(proba[0]), len(union)), dtype=np.result_type(*proba))
    for member, (values, known) in enumerate(zip(proba, classes, strict=True)):
        committee[member][:, encode_labels(known, union)] = values
    return committee
