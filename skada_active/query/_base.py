"""Template of all query strategies: fit a model, take one snapshot of the pool, choose rows."""

from __future__ import annotations

import copy
from functools import reduce
from numbers import Integral
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skada_active.domains import Roles, check_domain_coding, check_inputs
from skada_active.pool import PoolView, snapshot
from skada_active.pool.readers import ModelReader
from skada_active.pool.values import named
from skada_active.query import _cost
from skada_active.query._validation import check_candidates, check_positions, check_table
from skada_active.selection import top_k
from skada_active.utils._sklearn import HasMethods
from skada_active.utils.fitting import fit_estimator, keeps_grad_mode, remember_columns
from skada_active.utils.random import RandomStateLike, check_rng
from skada_active.utils.warn import warn_user

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MAX_SEED", "QueryStrategy", "check_n_queries"]

MAX_SEED = np.iinfo(np.int32).max


class QueryStrategy(BaseEstimator):
    """Base class of all query strategies, which choose the target rows whose labels are worth most.

    A strategy alone is fitted on data and queried for row numbers; inside `ActiveAdaptationLoop` it is handed a view of
    the pool once per round. A subclass says what it reads (`needs`) and implements ``_utilities(view)`` (higher is
    asked first), ``_select(view, n_queries, rng)``, or both; each is a pure function of the view. The public methods
    check parameters, view and answer, and call them. `skada_active.testing.check_strategy` runs the whole contract.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier whose outputs are read. It is cloned and fitted on the labelled rows (with ``sample_domain`` on all
        rows, if its ``fit`` takes it); wrap a fitted one in `sklearn.frozen.FrozenEstimator` to use it as it is.
        ``None``: the cheapest model that supplies what the strategy reads, for tabular data a logistic regression on
        columns of variance 1 (centred where `X` is not sparse), which are then the embedding, unless it reads a domain
        discriminator; inside a loop, the loop's model.
    random_state : int, RandomState instance or None, default=None
        Seed of every random choice, and of the order of tied rows. Inside a loop an integer wins over the loop's seeds.

    Attributes
    ----------
    estimator_ : estimator or None
        The fitted classifier; None where the strategy reads nothing and has no estimator of its own.
    pool_ : PoolView
        What was read of the unlabelled target rows; empty where there are none.
    n_features_in_, feature_names_in_
        Number and names of the columns of `X`, where it has them.
    """

    # Under metadata routing the strategy asks for the domains by itself.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_domain": True}

    # What scikit-learn's `_validate_params` checks; a subclass adds its own parameters.
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit"]), None],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator: Any = None, random_state: Any = None) -> None:
        self.estimator = estimator
        self.random_state = random_state

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in {"utilities", "select"} & vars(cls).keys():
            raise TypeError(
                f"{cls.__name__} overrides {name}, which checks and calls _{name}; override _{name} instead."
            )

    @property
    def needs(self) -> frozenset[str]:
        """Names of the `PoolView` fields that this configuration reads: a class attribute, or a property."""
        return frozenset()

    @property
    def fills(self) -> frozenset[str]:
        """Those among `needs` that the strategy fills by itself, in ``_extra_fields``, and no model has to supply."""
        return frozenset()

    @property
    def on_device(self) -> frozenset[str]:
        """Fields that the strategy reads as torch tensors, too, when the model is on an accelerator: ``"features"``."""
        return frozenset()

    @keeps_grad_mode
    def fit(self, X: Any, y: ArrayLike, sample_domain: ArrayLike | None = None) -> Self:
        """Fit the estimator on what is known and take the snapshot of the pool.

        Parameters
        ----------
        X : array-like of shape (n, ...) or dataset
            Rows of all domains.
        y : array-like of shape (n,)
            Labels; a target row without a known label holds the missing label (-1, NaN or None) and is a candidate.
        sample_domain : array-like of shape (n,) of int, default=None
            Domain number per row: ``>= 0`` source, ``< 0`` target. ``None``: all rows are source, the pool is empty.

        Returns
        -------
        QueryStrategy
            The fitted strategy.

        Raises
        ------
        ValueError
            If labels and domains do not fit together, or the estimator cannot supply what the strategy reads.
        """
        self._validate_params()
        X, labels, roles = check_inputs(X, y, sample_domain)
        if not len(roles.target):
            check_domain_coding(roles)
        remember_columns(self, X)
        rng = check_rng(self.random_state)
        self.estimator_ = self.fit_model(X, labels, roles)
        self.pool_ = self.view(self.estimator_, X, labels, roles, random_state=rng.randint(MAX_SEED))
        self._query_seed = int(rng.randint(MAX_SEED))
        return self

    @overload
    def query(
        self, n_queries: int = 1, *, candidates: ArrayLike | None = None, return_utilities: Literal[False] = False
    ) -> NDArray[np.int64]: ...

    @overload
    def query(
        self, n_queries: int = 1, *, candidates: ArrayLike | None = None, return_utilities: Literal[True]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...

    def query(
        self, n_queries: int = 1, *, candidates: ArrayLike | None = None, return_utilities: bool = False
    ) -> NDArray[np.int64] | tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Choose rows to ask about.

        Parameters
        ----------
        n_queries : int, default=1
            How many rows; more than there are to choose from gives all of them and a warning.
        candidates : array-like of int, default=None
            Distinct row numbers of the fitted `X` to choose from, all of them in the pool; ``None``: the whole pool.
            Utilities are those that the rows have in the whole pool, where they are a matter of their neighbours too.
        return_utilities : bool, default=False
            Whether to return the utilities of the chosen rows too (NaN where the strategy has no score per row).

        Returns
        -------
        ids : ndarray of shape (n_queries,), int64
            Distinct row numbers of the fitted `X`, in order of choice, ties in an order that the seed draws.
            Repeating a query repeats the answer.
        utilities : ndarray of shape (n_queries,), float64
            Only with ``return_utilities=True``.

        Raises
        ------
        ValueError
            If `n_queries` is not an integer >= 0, or `candidates` repeats a row or names one that is not in the pool.
        """
        check_is_fitted(self)
        n_queries = check_n_queries(n_queries)
        view = self.pool_ if candidates is None else self.pool_.restrict(check_candidates(candidates, self.pool_))
        if n_queries > len(view):
            self._exceed(n_queries, view)
        positions, utilities = self.choose(view, n_queries, random_state=self._query_seed)
        ids = view.index[positions]
        return (ids, utilities) if return_utilities else ids

    def utilities(self, view: PoolView) -> NDArray[np.float64]:
        """Return the utility of every candidate, shape (n,): higher is asked first, ``-inf`` never first.

        Parameters
        ----------
        view : PoolView
            The pool.

        Returns
        -------
        ndarray of shape (n,), float64

        Raises
        ------
        AttributeError
            If the strategy has no score per row, or a field that it reads is not filled.
        ValueError
            If a parameter is not valid, or a field that it reads holds NaN or infinity.
        """
        return self._scores(view) if self._check(view, 1) else np.empty(0)

    def select(self, view: PoolView, n_queries: int, random_state: RandomStateLike = None) -> NDArray[np.int64]:
        """Choose candidates: the highest utilities, unless the strategy has a rule of its own.

        Ties are broken by the seed, for files are sorted by class; without one, by position. Where there are none, the
        seed changes no choice without randomness.

        Parameters
        ----------
        view : PoolView
            The pool.
        n_queries : int
            How many candidates.
        random_state : int, RandomState instance or None, default=None
            Source of random choices and of the order of ties; ``None``: the strategy's own `random_state`, and where
            that is None too, fresh entropy for the choices and the order of the positions for ties.

        Returns
        -------
        ndarray of shape (min(n_queries, n),), int64
            Distinct positions into the view, in order of choice.

        Raises
        ------
        AttributeError
            If a field that the strategy reads is not filled.
        ValueError
            If a parameter or `n_queries` is not valid, or a field that the strategy reads holds NaN or infinity.
        """
        n_queries = self._check(view, n_queries)
        return self._positions(view, n_queries, self._rng(random_state)) if n_queries else np.empty(0, dtype=np.int64)

    # What a subclass implements.

    def _utilities(self, view: PoolView) -> NDArray[np.float64]:
        """Return the utility of every candidate of a view that has some, shape (n,)."""
        raise AttributeError(
            f"{type(self).__name__} has no utility per candidate; it chooses rows as a set, by select."
        )

    def _select(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        """Return `n_queries` distinct positions, at least one and at most all; here the highest utilities.

        `rng` is for random choices, and for ties too: `top_k`, `farthest_first` and `kmeans_picks` of
        `skada_active.selection` take it, and leave ties in the order of the positions where nobody gave a seed.
        """
        return top_k(self._scores(view), n_queries, rng)

    def _seconds(self, view: PoolView, n_queries: int) -> float:
        """Return about how many seconds a choice takes on one core, for a warning before one of minutes."""
        return 0.0

    def _extra_fields(
        self,
        estimator: Any,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        rng: np.random.RandomState,
        target_weight: Any = None,
    ) -> dict[str, NDArray[Any]]:
        """Return the fields that the strategy `fills` by itself, such as a committee's votes; none here.

        `target_weight` is the loop's, for models that are trained for them.
        """
        return {}

    # What the loop shares with `fit` and `query`.

    def in_round(self, number: int) -> QueryStrategy:
        """Return the strategy that chooses in a round of a loop, counted from 1: itself, unless a part goes by rounds.

        A part is a parameter that is a strategy. Alone, a strategy is in round 1; ``in_round(3).fit(X, y,
        sample_domain)`` is in another one.
        """
        parts = {name: part for name, part in self.get_params(deep=False).items() if isinstance(part, QueryStrategy)}
        now = {name: part.in_round(number) for name, part in parts.items()}
        if all(now[name] is part for name, part in parts.items()):
            return self
        return copy.copy(self).set_params(**now)

    def has_utilities(self) -> bool:
        """Tell whether the strategy has a score per row, or chooses rows as a set only."""
        return type(self)._utilities is not QueryStrategy._utilities

    def filled_for(self, estimator: Any) -> frozenset[str]:
        """Return those among `fills` that are not read of `estimator`, fitted or not; here all of them."""
        return self.fills

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if a parameter is not valid or `estimator`, fitted or not, lacks what is read of it."""
        self._validate_params()
        ModelReader.from_estimator(estimator).readable(self.needs - (self.fills and self.filled_for(estimator)))

    def fit_model(self, X: Any, y: NDArray[Any], roles: Roles, target_weight: Any = None) -> Any:
        """Return the strategy's estimator, fitted on what is known; an unmet need is refused before any training.

        A strategy that reads nothing trains nothing: without an estimator of its own it returns None. `target_weight`
        is that of the loop, see `ActiveAdaptationLoop`.
        """
        if self.estimator is None and not self.needs:
            return None
        estimator = self._default_estimator(X) if self.estimator is None else self.estimator
        self.check_model(estimator)
        if self.estimator is None and isinstance(estimator, Pipeline):
            check_table(X, type(self).__name__)
        return fit_estimator(clone(estimator), X, y, roles, target_weight)

    def view(
        self,
        estimator: Any,
        X: Any,
        y: NDArray[Any],
        roles: Roles,
        *,
        random_state: Any = None,
        n_initial: Any = None,
        target_weight: Any = None,
        previous: Any = None,
    ) -> PoolView:
        """Return the view of the pool through the fitted `estimator`: the snapshot and the strategy's own fields.

        A strategy that reads ``previous_proba`` is given `previous`, the fitted model of the round before.
        """
        extra: dict[str, NDArray[Any]] = {}
        fills = self.fills and self.filled_for(estimator)
        if fills and len(roles.candidates):
            rng = self._rng(self._own_seed(random_state))
            extra = self._extra_fields(estimator, X, y, roles, rng, target_weight)
        on_device = self.on_device
        if on_device and not ModelReader.from_estimator(estimator).on_accelerator:
            on_device = frozenset()
        fields: dict[str, Any] = {"y": y, "n_initial": n_initial, "on_device": on_device, "previous": previous, **extra}
        return snapshot(estimator, X, roles, self.needs - fills, **fields)

    def choose(
        self, view: PoolView, n_queries: int, random_state: RandomStateLike = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return what `select` does, and the utilities of the chosen (NaN where there is no score per row).

        An integer `random_state` of the strategy wins over the given one. Everything is checked and computed once.
        """
        n_queries = self._check(view, n_queries)
        if not n_queries:
            return np.empty(0, dtype=np.int64), np.empty(0)
        own = random_state is None or isinstance(self.random_state, Integral)
        seed = self.random_state if own else random_state
        if type(self)._select is QueryStrategy._select:
            utilities = self._scores(view)
            positions = top_k(utilities, n_queries, seed)
        else:
            positions = self._positions(view, n_queries, self._rng(seed))
            utilities = self._scores(view) if self.has_utilities() else np.full(len(view), np.nan)
        return positions, utilities[positions]

    def _check(self, view: PoolView, n_queries: int) -> int:
        """Check the parameters and what is read of a view, and return how many candidates are to be chosen."""
        self._validate_params()
        n_queries = min(check_n_queries(n_queries), len(view))
        if n_queries:
            view.check_finite(self.needs, type(self).__name__)
            has_estimate = type(self)._seconds is not QueryStrategy._seconds
            if has_estimate and (seconds := self._seconds(view, n_queries)) > _cost.LONG_SECONDS:
                _cost.warn_long(type(self).__name__, seconds, len(view), n_queries)
        return n_queries

    def _scores(self, view: PoolView) -> NDArray[np.float64]:
        utilities = np.asarray(self._utilities(view))
        if utilities.shape != (len(view),) or utilities.dtype.kind not in "fiu":
            raise ValueError(
                f"{type(self).__name__}._utilities must return one number for each of the {len(view)} candidate(s), "
                f"got dtype {utilities.dtype} of shape {utilities.shape}."
            )
        return utilities

    def _positions(self, view: PoolView, n_queries: int, rng: np.random.RandomState) -> NDArray[np.int64]:
        return check_positions(type(self).__name__, self._select(view, n_queries, rng), n_queries, len(view))

    def _exceed(self, n_queries: int, view: PoolView) -> None:
        """Warn that a query asks for more rows than there are."""
        whole = view is self.pool_
        rows = f"the pool of {len(view)} unlabelled target row(s)" if whole else f"the {len(view)} candidate(s)"
        warn_user(f"n_queries={n_queries} exceeds {rows}; all are returned.")

    def _own_seed(self, random_state: Any) -> Any:
        return self.random_state if isinstance(self.random_state, Integral) else random_state

    def _rng(self, random_state: RandomStateLike) -> np.random.RandomState:
        return check_rng(self.random_state if random_state is None else random_state)

    @property
    def _reads(self) -> frozenset[str]:
        """What a default estimator has to supply."""
        return self.needs - self.fills

    @property
    def _n_heads(self) -> int | None:
        """How many heads a default network gets, to be read as a committee; None: the usual one."""
        return None

    def _default_estimator(self, X: Any) -> Any:
        # Logistic regression supplies probabilities, logits and a head; images and discriminators need a network.
        # Columns are scaled, for it neither converges nor weighs them alike otherwise; centring would fill sparse rows.
        trained = {field.objective for field in named(self._reads) if field.objective is not None}
        if not trained and hasattr(X, "shape") and len(X.shape) <= 2:
            return make_pipeline(StandardScaler(with_mean=not issparse(X)), LogisticRegression(max_iter=1000))
        from skada_active import deep

        objective = reduce(add, [getattr(deep, name)() for name in sorted(trained)]) if trained else None
        return deep.AdaptationClassifier(objective, n_heads=self._n_heads, random_state=self.random_state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.non_deterministic = False
        if self.estimator is None and not self.needs:
            # No column of X is ever read.
            tags.no_validation = tags.input_tags.sparse = tags.input_tags.allow_nan = True
            return tags
        given = self.estimator is not None
        inner = get_tags(self.estimator if given else QueryStrategy._default_estimator(self, csr_matrix((0, 0))))
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags


def check_n_queries(n_queries: Any) -> int:
    """Return `n_queries` as an int; anything but an integer >= 0 is an error."""
    if not isinstance(n_queries, Integral) or isinstance(n_queries, bool) or n_queries < 0:
        raise ValueError(f"n_queries must be an integer >= 0, got {n_queries!r}.")
    return int(n_queries)
