"""Committees: the members that a strategy trains, or is given, and their probabilities for the pool."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import resample
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from skada_active.domains import Roles
from skada_active.labels import encode_labels
from skada_active.pool.readers import ModelReader
from skada_active.query._base import MAX_SEED, QueryStrategy
from skada_active.utils._sklearn import Interval
from skada_active.utils.fitting import fit_estimator, is_domain_aware, is_frozen, seed_estimator
from skada_active.utils.rows import take_rows

__all__ = ["CommitteeStrategy"]


class CommitteeStrategy(QueryStrategy):
    """Base class of the strategies that read ``committee_proba`` and can fill it by training members.

    Parameters
    ----------
    n_members : int, default=5
        How many bootstrap clones of the estimator are trained where `members` is None.
    members : list of at least two estimators, default=None
        The committee.
    n_jobs : int, default=None
        How many members are trained at a time.
    estimator : estimator, default=None
        See `QueryStrategy`.
    random_state : int, RandomState instance or None, default=None
        See `QueryStrategy`.
    """

    fills = frozenset({"committee_proba"})

    #: Whether a committee that the estimator itself supplies, such as heads of one network, is read before any other.
    reads_heads: ClassVar[bool] = False

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **QueryStrategy._parameter_constraints,
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "members": [list, tuple, None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_members: int = 5,
        members: Sequence[Any] | None = None,
        n_jobs: int | None = None,
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator=estimator, random_state=random_state)
        self.n_members = n_members
        self.members = members
        self.n_jobs = n_jobs

    def filled_for(self, estimator: Any) -> frozenset[str]:
        """Return ``committee_proba``, unless it is read of the estimator."""
        has_heads = self.reads_heads and self.members is None
        return self.fills - (ModelReader.from_estimator(estimator).supplies if has_heads else frozenset())

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if no committee can be formed; see `QueryStrategy.check_model`."""
        super().check_model(estimator)
        if not self.filled_for(estimator):
            return
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
        self,
        estimator: Any,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        rng: np.random.RandomState,
        target_weight: Any = None,
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
            delayed(_member_proba)(member, X, y, roles, rows, pool, target_weight) for member, rows in members
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
    member: Any, X: Any, y: NDArray[Any], roles: Roles, rows: NDArray[np.int64], pool: Any, target_weight: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the probabilities of a member for the pool, and its classes; one not fitted yet is fitted first."""
    if not _is_fitted(member):
        of_rows = Roles(roles.domain[rows], roles.is_labeled[rows])
        member = fit_estimator(member, take_rows(X, rows), y[rows], of_rows, target_weight)
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
