"""Query by committee: ask where several models disagree."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import gen_batches, resample
from sklearn.utils.validation import check_is_fitted

from skada_active.domains import Roles
from skada_active.labels import encode_labels
from skada_active.pool import PoolView
from skada_active.pool.readers import ModelReader
from skada_active.query._base import _MAX_SEED, QueryStrategy
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
    Engelson and Dagan, "Minimizing Manual Annotation Cost in Supervised Training from Corpora", ACL 1996, Sec. 4.

    Examples
    --------
    >>> from skada_active.query import vote_entropy
    >>> vote_entropy([[[0.9, 0.1]], [[0.6, 0.4]], [[0.2, 0.8]]]).round(6)
    array([0.636514])
    """
    committee_proba = PoolView(committee_proba=committee_proba).committee_proba
    n_members, n, n_classes = committee_proba.shape
    entropy = np.empty(n)
    for rows in gen_batches(n, _BLOCK_ROWS):
        counts = np.zeros((rows.stop - rows.start, n_classes))
        for votes in committee_proba[:, rows].argmax(axis=2):
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
    McCallum and Nigam, "Employing EM and Pool-Based Active Learning for Text Classification", ICML 1998, Sec. 3.

    Examples
    --------
    >>> from skada_active.query import mean_kl_to_consensus
    >>> mean_kl_to_consensus([[[0.8, 0.2]], [[0.4, 0.6]]]).round(6)
    array([0.086305])
    """
    committee_proba = PoolView(committee_proba=committee_proba).committee_proba
    divergence = np.empty(committee_proba.shape[1])
    for rows in gen_batches(len(divergence), _BLOCK_ROWS):
        members = committee_proba[:, rows]
        mean_entropy = np.mean([row_entropy(proba) for proba in members], axis=0)
        divergence[rows] = row_entropy(members.mean(axis=0, dtype=np.float64)) - mean_entropy
    return np.maximum(divergence, 0)


_DISAGREEMENTS = {"vote_entropy": vote_entropy, "kl": mean_kl_to_consensus}


class QueryByCommittee(QueryStrategy):
    """Choose the target rows on which the members of a committee disagree most.

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
    estimator : estimator, default=None
        See `QueryStrategy`. ``None``: the first member, where `members` is given.
    random_state : int, RandomState instance or None, default=None
        Seed of the bootstraps and of the members' `random_state` (of given members: only where it is None). See
        `QueryStrategy`.

    Notes
    -----
    Trains `n_members` models a round, one after the other. O(M n C) time and memory on top.

    References
    ----------
    Seung, Opper and Sompolinsky, "Query by Committee", COLT 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.query import QueryByCommittee
    >>> X, y = np.array([[0.0], [1.0], [3.0], [4.0], [0.2], [2.0]]), np.array([0, 0, 1, 1, -1, -1])
    >>> QueryByCommittee("kl", random_state=0).fit(X, y, sample_domain=[1, 1, 1, 1, -1, -1]).query()
    array([5])
    """

    needs: ClassVar[frozenset[str]] = frozenset({"committee_proba"})

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "disagreement": [StrOptions(set(_DISAGREEMENTS))],
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "members": [list, tuple, None],
    }

    def __init__(
        self,
        disagreement: str = "vote_entropy",
        n_members: int = 5,
        members: Sequence[Any] | None = None,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.disagreement = disagreement
        self.n_members = n_members
        self.members = members

    def utilities(self, view: PoolView) -> NDArray[np.float64]:
        """Return the disagreement of the members; see `QueryStrategy.utilities`."""
        return _DISAGREEMENTS[self.disagreement](view.committee_proba)

    def model_fields(self) -> frozenset[str]:
        """Return what a member has to supply: ``proba`` where the members are clones of the estimator."""
        return frozenset({"proba"} if self.members is None else ())

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if no committee can be formed; see `QueryStrategy.check_model`."""
        super().check_model(estimator)
        self._check_committee(estimator)

    def extra_fields(
        self, estimator: Any, X: Any, y: NDArray[Any], roles: Roles, random_state: Any
    ) -> dict[str, NDArray[Any]]:
        """Return ``committee_proba``: the probabilities of the fitted members for the pool."""
        self._check_committee(estimator)
        rng = self._rng(self._own_seed(random_state))
        if self.members is None:
            members = (_fit_bootstrap(estimator, X, y, roles, rng) for _ in range(self.n_members))
        else:
            members = (_fit_member(member, X, y, roles, rng) for member in self.members)
        pool = take_rows(X, roles.candidates)
        readers = [ModelReader.of(member) for member in members]
        proba = [reader.outputs(pool, {"proba"})["proba"] for reader in readers]
        return {"committee_proba": _stack(proba, [reader.model.classes_ for reader in readers])}

    def _check_committee(self, estimator: Any) -> None:
        if self.members is None:
            if is_frozen(estimator):
                raise ValueError(
                    f"estimator={estimator!r} is frozen, so its {self.n_members} bootstrap clones would all be the "
                    "same model. Pass a committee of different ones, members=[...], or an estimator that is not frozen."
                )
            return
        if len(self.members) < 2:
            raise ValueError(f"members must hold at least two estimators, got {len(self.members)}; add one.")
        for member in self.members:
            ModelReader.of(member).check({"proba"})

    def _default_estimator(self, X: Any) -> Any:
        if self.members is None:
            return super()._default_estimator(X)
        return FrozenEstimator(self.members[0]) if _is_fitted(self.members[0]) else self.members[0]


def _fit_bootstrap(estimator: Any, X: Any, y: NDArray[Any], roles: Roles, rng: np.random.RandomState) -> Any:
    """Return a seeded clone fitted on a bootstrap of the labelled rows, stratified by domain and class."""
    member = seed_estimator(clone(estimator), rng.randint(_MAX_SEED), overwrite=True)
    labeled = roles.labeled
    _, classes = np.unique(y[labeled], return_inverse=True)
    _, strata = np.unique(np.stack([roles.domain[labeled], classes]), axis=1, return_inverse=True)
    rows = resample(labeled, stratify=strata.ravel(), random_state=rng)
    if is_domain_aware(estimator):
        rows = np.concatenate([rows, roles.unlabeled_target])
    return fit_estimator(member, take_rows(X, rows), y[rows], Roles(roles.domain[rows], roles.is_labeled[rows]))


def _fit_member(member: Any, X: Any, y: NDArray[Any], roles: Roles, rng: np.random.RandomState) -> Any:
    if _is_fitted(member):
        return member
    return fit_estimator(seed_estimator(clone(member), rng.randint(_MAX_SEED)), X, y, roles)


def _is_fitted(estimator: Any) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def _stack(proba: list[NDArray[Any]], classes: list[NDArray[Any]]) -> NDArray[Any]:
    """Return the members' probabilities (M, n, C) over the classes that any of them knows."""
    union = np.unique(np.concatenate(classes))
    committee = np.zeros((len(proba), len(proba[0]), len(union)), dtype=np.result_type(*proba))
    for member, (values, known) in enumerate(zip(proba, classes, strict=True)):
        committee[member][:, encode_labels(known, union)] = values
    return committee
