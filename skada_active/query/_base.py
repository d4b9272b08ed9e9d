"""The template of all query strategies: fit a model, take one snapshot of the pool, choose rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterable
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skada_active.domains import Roles, resolve_roles
from skada_active.labels import as_labels
from skada_active.pool import PoolView, snapshot
from skada_active.pool.readers import ModelReader
from skada_active.query._validation import check_finite, check_n_queries, check_positions
from skada_active.selection import top_k
from skada_active.utils._sklearn import HasMethods
from skada_active.utils.fitting import fit_estimator, remember_columns
from skada_active.utils.random import check_rng
from skada_active.utils.rows import as_rows, n_rows
from skada_active.utils.warn import warn_user

__all__ = ["QueryStrategy"]

_MAX_SEED = np.iinfo(np.int32).max
_CLASS_WISE_FIELDS = frozenset({"class_domain_grad", "class_discriminator"})
_DISCRIMINATOR_FIELDS = _CLASS_WISE_FIELDS | {"source_logit"}


def _checked_utilities(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def utilities(self: QueryStrategy, view: PoolView) -> NDArray[np.float64]:
        self._validate_params()
        if not len(view):
            return np.empty(0)
        check_finite(self, view, self._read_fields(view))
        return method(self, view)

    return utilities


def _checked_select(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def select(self: QueryStrategy, view: PoolView, n_queries: int, random_state: Any = None) -> NDArray[np.int64]:
        self._validate_params()
        n_queries = min(check_n_queries(n_queries), len(view))
        if n_queries == 0:
            return np.empty(0, dtype=np.int64)
        check_finite(self, view, self._read_fields(view))
        return check_positions(self, method(self, view, n_queries, random_state), n_queries, len(view))

    return select


class QueryStrategy(BaseEstimator):
    """Choose the target rows whose labels are worth most: base class of all query strategies.

    A strategy alone is fitted on data and queried for row numbers; inside `ActiveAdaptationLoop` it is handed a view of
    the pool once a round. A subclass names what it reads (`needs`) and implements `utilities` (higher is asked first),
    `select`, or both; each is a pure function of the view.

    Parameters
    ----------
    estimator : estimator, default=None
        Classifier whose outputs are read. It is cloned and fitted on the labelled rows (with ``sample_domain`` on all
        rows, if its ``fit`` takes it); wrap a fitted one in `sklearn.frozen.FrozenEstimator` to use it as it is.
        ``None``: the cheapest model that supplies what the strategy reads, a logistic regression for tabular data
        unless it reads a domain discriminator; inside a loop, the loop's model.
    random_state : int, RandomState instance or None, default=None
        Seed of every random choice. Inside a loop an integer wins over the loop's seeds.

    Attributes
    ----------
    estimator_ : estimator or None
        The fitted classifier; None where the strategy reads nothing and has no estimator of its own.
    pool_ : PoolView
        What was read of the unlabelled target rows; empty where there are none.
    n_features_in_, feature_names_in_
        Number and names of the columns of `X`, where it has them.
    """

    #: Names of the `PoolView` fields that the strategy reads.
    needs: ClassVar[frozenset[str]] = frozenset()
    #: Which field is read in place of a required one where the model supplies it.
    preferred: ClassVar[dict[str, str]] = {}
    #: Fields that the strategy reads as torch tensors, too, when the model is on an accelerator: ``"features"``.
    on_device: ClassVar[frozenset[str]] = frozenset()

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
        for name, checked in (("utilities", _checked_utilities), ("select", _checked_select)):
            if name in vars(cls):
                setattr(cls, name, checked(vars(cls)[name]))

    def fit(self, X: Any, y: ArrayLike, sample_domain: ArrayLike | None = None) -> QueryStrategy:
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
        X, y = as_rows(X), as_labels(y)
        roles = resolve_roles(y, sample_domain)
        check_consistent_length(range(n_rows(X)), y)
        remember_columns(self, X)
        rng = check_rng(self.random_state)
        self.estimator_ = self.fit_model(X, y, roles)
        self.pool_ = self.view(self.estimator_, X, y, roles, random_state=rng.randint(_MAX_SEED))
        self._query_seed = int(rng.randint(_MAX_SEED))
        return self

    def query(self, n_queries: int = 1, *, return_utilities: bool = False) -> Any:
        """Choose rows to ask about.

        Parameters
        ----------
        n_queries : int, default=1
            How many rows; more than the pool holds gives the whole pool and a warning.
        return_utilities : bool, default=False
            Whether to return the utilities of the chosen rows too (NaN where the strategy has no score per row).

        Returns
        -------
        ids : ndarray of shape (n_queries,), int64
            Distinct row numbers of the fitted `X`, in order of choice. Repeating a query repeats the answer.
        utilities : ndarray of shape (n_queries,), float64
            Only with ``return_utilities=True``.
        """
        check_is_fitted(self)
        n_queries = check_n_queries(n_queries)
        n_pool = len(self.pool_)
        if n_queries > n_pool:
            warn_user(
                f"n_queries={n_queries} exceeds the pool of {n_pool} unlabelled target row(s); all are returned.",
            )
        positions = self.choose(self.pool_, n_queries, random_state=self._query_seed)
        ids = self.pool_.index[positions]
        return (ids, self.chosen_utilities(self.pool_, positions)) if return_utilities else ids

    def utilities(self, view: PoolView) -> NDArray[np.float64]:
        """Return the utility of every candidate, shape (n,): higher is asked first, ``-inf`` never first.

        Parameters
        ----------
        view : PoolView
            The pool.

        Returns
        -------
        ndarray of shape (n,), float64
        """
        raise AttributeError(f"{type(self).__name__} has no utility per candidate; it chooses rows as a set.")

    @_checked_select
    def select(self, view: PoolView, n_queries: int, random_state: Any = None) -> NDArray[np.int64]:
        """Choose candidates: by default the highest utilities, ties by position.

        Parameters
        ----------
        view : PoolView
            The pool.
        n_queries : int
            How many candidates.
        random_state : int, RandomState instance or None, default=None
            Source of random choices; ``None``: the strategy's own `random_state`.

        Returns
        -------
        ndarray of shape (min(n_queries, n),), int64
            Distinct positions into the view, in order of choice.
        """
        return top_k(self.utilities(view), n_queries)

    # What follows is the part that the loop shares with `fit` and `query`.

    def required_fields(self) -> frozenset[str]:
        """Return the fields that this configuration reads: `needs`, unless a parameter changes them."""
        return self.needs

    def model_fields(self) -> frozenset[str]:
        """Return the required fields that the model itself has to supply."""
        return self.required_fields()

    def has_utilities(self) -> bool:
        """Tell whether the strategy has a score per row, or chooses rows as a set only."""
        return type(self).utilities is not QueryStrategy.utilities

    def check_model(self, estimator: Any) -> None:
        """Raise a ValueError if a parameter is not valid or `estimator`, fitted or not, lacks what is read of it."""
        self._validate_params()
        reader = ModelReader.of(estimator)
        reader.check(self._readable(self.model_fields(), reader.supplies))

    def fit_model(self, X: Any, y: NDArray[Any], roles: Roles) -> Any:
        """Return the strategy's estimator, fitted on what is known; an unmet need is refused before any training.

        A strategy that reads nothing trains nothing: without an estimator of its own it returns None.
        """
        if self.estimator is None and not self.required_fields():
            return None
        estimator = self._default_estimator(X) if self.estimator is None else self.estimator
        self.check_model(estimator)
        return fit_estimator(clone(estimator), X, y, roles)

    def view(
        self, estimator: Any, X: Any, y: NDArray[Any], roles: Roles, *, random_state: Any = None, n_initial: Any = None
    ) -> PoolView:
        """Return the view of the pool through the fitted `estimator`: the snapshot and the strategy's own fields."""
        reader = ModelReader.of(estimator)
        if not len(roles.candidates):
            fields = self._readable(self.model_fields(), reader.supplies)
            return snapshot(estimator, X, roles, fields, y=y, n_initial=n_initial)
        extra = self.extra_fields(estimator, X, y, roles, random_state)
        fields = self._readable(self.required_fields(), reader.supplies)
        on_device = self.on_device if reader.on_accelerator else ()
        return snapshot(estimator, X, roles, fields, y=y, n_initial=n_initial, on_device=on_device, **extra)

    def extra_fields(
        self, estimator: Any, X: Any, y: NDArray[Any], roles: Roles, random_state: Any
    ) -> dict[str, NDArray[Any]]:
        """Return fields of the view that need more than one forward pass, such as a committee's votes; none here."""
        return {}

    def choose(self, view: PoolView, n_queries: int, random_state: Any = None) -> NDArray[np.int64]:
        """Return `select` on a pool of any size; an integer `random_state` of the strategy wins over the given one."""
        return self.select(view, n_queries, random_state=self._own_seed(random_state))

    def chosen_utilities(self, view: PoolView, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the utilities of the chosen positions, NaN where the strategy has no score per row."""
        if not len(positions) or not self.has_utilities():
            return np.full(len(positions), np.nan)
        return self.utilities(view)[positions]

    def _own_seed(self, random_state: Any) -> Any:
        return self.random_state if isinstance(self.random_state, Integral) else random_state

    def _rng(self, random_state: Any) -> np.random.RandomState:
        return check_rng(self.random_state if random_state is None else random_state)

    def _readable(self, fields: Iterable[str], supplied: Container[str]) -> frozenset[str]:
        """Return the names of fields, each replaced by the preferred one where that is supplied."""
        return frozenset(self.preferred[name] if self.preferred.get(name) in supplied else name for name in fields)

    def _read_fields(self, view: PoolView) -> frozenset[str]:
        """Return the names of the fields of `view` that the strategy reads."""
        return self._readable(self.required_fields(), vars(view))

    def _default_estimator(self, X: Any) -> Any:
        # Logistic regression supplies probabilities, logits and a head; images and discriminators need a network.
        fields = self.model_fields()
        if not fields & _DISCRIMINATOR_FIELDS and hasattr(X, "shape") and len(X.shape) <= 2:
            return LogisticRegression(max_iter=1000)
        from skada_active.deep import DANN, TSF, AdaptationClassifier

        objective = DANN() if "source_logit" in fields else None
        if fields & _CLASS_WISE_FIELDS:
            objective = TSF() if objective is None else objective + TSF()
        return AdaptationClassifier(objective, random_state=self.random_state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.non_deterministic = False
        given = self.estimator is not None
        inner = get_tags(self.estimator if given else QueryStrategy._default_estimator(self, np.empty((0, 0))))
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags
