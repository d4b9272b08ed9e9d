"""Steps of a Pipeline that learn from labels: fitted on the labelled rows, where a Pipeline would hand them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from inspect import Parameter, signature
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from skada_active.labels import native_labels
from skada_active.utils.rows import take_rows

__all__ = ["fitted_on_labels", "learns_from_labels"]


@contextmanager
def fitted_on_labels(estimator: Any, is_labeled: NDArray[np.bool_]) -> Iterator[None]:
    """Context in which fitting a Pipeline fits the steps before its last that learn from labels on the labelled rows.

    Such a step gives its ``fit_transform`` to the labelled rows (a target encoder cross-fits it) and its ``transform``
    to the others. All other steps are fitted on all rows. A step that puts several together (`ColumnTransformer`,
    `FeatureUnion`) is fitted as a whole; a `Pipeline` in a Pipeline is gone through step by step.

    Parameters
    ----------
    estimator : estimator
        Anything; what is no Pipeline is left alone.
    is_labeled : ndarray of shape (n,), bool
        Rows whose label is known.
    """
    if is_labeled.all():
        yield
        return
    _put(estimator, is_labeled)
    try:
        yield
    finally:
        _take(estimator)


def learns_from_labels(step: Any) -> bool | None:
    """Tell whether a step learns from labels; None where only trying it out can tell.

    It does where scikit-learn's tags require a target, it selects features, its ``fit`` takes `y` without a default,
    or a step inside of it does. Any other step of scikit-learn itself does not.
    """
    if step is None or isinstance(step, str | FrozenEstimator):
        return False
    if isinstance(step, Pipeline | FeatureUnion | ColumnTransformer):
        answers = {learns_from_labels(part) for part in _parts(step)}
        return True if True in answers else None if None in answers else False
    # Feature selectors read labels without declaring that they need them.
    if isinstance(step, SelectorMixin):
        return not isinstance(step, VarianceThreshold)
    if (hasattr(step, "__sklearn_tags__") and get_tags(step).target_tags.required) or _needs_y(step):
        return True
    inner = getattr(step, "estimator", None)
    if type(step).__module__.startswith("sklearn."):
        # A search over steps; an imputer's regressor, which has no `transform`, is fitted on columns of X.
        return learns_from_labels(inner) if hasattr(inner, "transform") else False
    return None


def _parts(step: Any) -> list[Any]:
    if isinstance(step, ColumnTransformer):
        return [*(part for _, part, _ in step.transformers), step.remainder]
    return [part for _, part in (step.steps if isinstance(step, Pipeline) else step.transformer_list)]


def _needs_y(step: Any) -> bool:
    y = signature(step.fit).parameters.get("y") if hasattr(step, "fit") else None
    return y is not None and y.default is Parameter.empty


def _put(estimator: Any, is_labeled: NDArray[np.bool_], last: bool = True) -> None:
    """Put every step of a Pipeline that may learn from labels into one that hands it the labelled rows."""
    if not isinstance(estimator, Pipeline):
        return
    estimator.steps = list(estimator.steps)
    for position, (name, step) in enumerate(estimator.steps):
        if isinstance(step, Pipeline):
            _put(step, is_labeled, last=last and position == len(estimator.steps) - 1)
        elif (not last or position < len(estimator.steps) - 1) and learns_from_labels(step) is not False:
            estimator.steps[position] = (name, _LabeledStep(step, is_labeled))


def _take(estimator: Any) -> None:
    if not isinstance(estimator, Pipeline):
        return
    for position, (name, step) in enumerate(estimator.steps):
        if isinstance(step, _LabeledStep):
            estimator.steps[position] = (name, step.step)
        else:
            _take(step)


class _LabeledStep(BaseEstimator):
    """Step that fits another one, in place as a Pipeline does, on the labelled rows if it learns from labels."""

    def __init__(self, step: Any, is_labeled: NDArray[np.bool_]) -> None:
        self.step = step
        self.is_labeled = is_labeled

    def get_metadata_routing(self) -> Any:
        has_routing = hasattr(self.step, "get_metadata_routing")
        return self.step.get_metadata_routing() if has_routing else super().get_metadata_routing()

    def fit(self, X: Any, y: Any = None, **params: Any) -> _LabeledStep:
        self.fit_transform(X, y, **params)
        return self

    def fit_transform(self, X: Any, y: Any, **params: Any) -> Any:
        if params:  # routed here because the step asks for the domains: it tells rows without a label itself
            return _fit_transform(self.step, X, y, **params)
        rows, others = np.flatnonzero(self.is_labeled), np.flatnonzero(~self.is_labeled)
        known, labels = take_rows(X, rows), native_labels(y[rows])
        if learns_from_labels(self.step) is None and self._ignores(known, labels, X):
            return _fit_transform(self.step, X, None)
        first, second = _fit_transform(self.step, known, labels), self.step.transform(take_rows(X, others))
        return _stack(first, second, np.argsort(np.concatenate([rows, others])))

    def transform(self, X: Any) -> Any:
        return self.step.transform(X)

    def _ignores(self, known: Any, labels: NDArray[Any], X: Any) -> bool:
        """Tell whether the step becomes the same with the labels and without any."""
        informed = deepcopy(self.step).fit(known, labels).transform(X)
        try:
            uninformed = deepcopy(self.step).fit(known).transform(X)
        except Exception:
            return False  # it cannot be fitted without
        return bool(joblib.hash(informed) == joblib.hash(uninformed))


def _fit_transform(step: Any, X: Any, y: Any, **params: Any) -> Any:
    if hasattr(step, "fit_transform"):
        return step.fit_transform(X, y, **params)
    return step.fit(X, y, **params).transform(X)


def _stack(first: Any, second: Any, order: NDArray[np.int64]) -> Any:
    """Return the rows of two tables of one kind, one after the other, in another order."""
    if isinstance(first, tuple):  # such as PLSRegression's scores of X and y
        raise TypeError("fit_transform of a step returns a tuple, which a Pipeline cannot hand to the next step.")
    if sparse.issparse(first):
        return sparse.vstack([first, second], format="csr")[order]
    if hasattr(first, "iloc"):
        import pandas as pd  # here, for the package imports without it

        return pd.concat([first, second]).iloc[order]
    if hasattr(first, "vstack"):  # a DataFrame of polars
        return first.vstack(second)[order]
    return np.concatenate([first, second])[order]
