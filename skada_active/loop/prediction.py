"""Prediction by the model that a loop has fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import TransformerTags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skada_active.utils.fitting import explain_dataset
from skada_active.utils.rows import as_rows, is_dataset

__all__ = ["DelegatedPrediction"]


def _estimator_has(name: str) -> Callable[[Any], bool]:
    def has(loop: Any) -> bool:
        if hasattr(loop, "estimator_"):
            return hasattr(loop.estimator_, name)
        return loop.estimator is None or hasattr(loop.estimator, name)

    return has


class DelegatedPrediction(BaseEstimator):
    """Prediction side of a meta-estimator: predict by `estimator_`, and have its tags."""

    estimator: Any
    estimator_: Any
    fit: Callable[..., Any]

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the label of every row, shape (n,)."""
        return self._delegate("predict", X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return class probabilities, shape (n, C)."""
        return self._delegate("predict_proba", X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the decision function of the estimator, shape (n, C) or (n,) for two classes."""
        return self._delegate("decision_function", X)

    @available_if(_estimator_has("transform"))
    def transform(self, X: Any) -> NDArray[Any]:
        """Return the embedding, shape (n, D)."""
        return self._delegate("transform", X)

    @available_if(_estimator_has("transform"))
    def fit_transform(self, X: Any, y: ArrayLike, **fit_params: Any) -> NDArray[Any]:
        """Return the embedding of the rows that the loop was fitted on, shape (n, D); parameters as in `fit`."""
        return self.fit(X, y, **fit_params).transform(X)

    def _delegate(self, method: str, X: Any) -> Any:
        check_is_fitted(self)
        X = as_rows(X)
        if not is_dataset(X) and len(X.shape) == 2:  # the estimator itself explains what is wrong with other shapes
            validate_data(self, X, reset=False, skip_check_array=True)
        try:
            return getattr(self.estimator_, method)(X)
        except (TypeError, ValueError) as error:
            explain_dataset(self.estimator_, X, error)
            raise

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if hasattr(self, "transform"):
            tags.transformer_tags = TransformerTags(preserves_dtype=[])
        if self.estimator is not None:
            inner = get_tags(self.estimator)
            tags.input_tags.sparse = inner.input_tags.sparse
            tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags
