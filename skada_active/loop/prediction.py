"""Prediction by the model that a loop has fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin
from sklearn.utils import TransformerTags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skada_active.utils._sklearn import wrap_output
from skada_active.utils.fitting import explain_dataset, split_pipeline
from skada_active.utils.methods import DomainMetadata, gets_at_fit
from skada_active.utils.rows import as_rows, is_dataset
from skada_active.utils.scores import score_known

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DelegatedPrediction"]


def _estimator_has(*names: str) -> Callable[[Any], bool]:
    def has(loop: Any) -> bool:
        if hasattr(loop, "estimator_"):
            return all(hasattr(loop.estimator_, name) for name in names)
        estimator = loop.estimator
        return estimator is None or all(hasattr(estimator, name) or gets_at_fit(estimator, name) for name in names)

    return has


class DelegatedPrediction(DomainMetadata, ClassifierMixin, BaseEstimator):
    """Prediction side of a meta-estimator: predict by `estimator_`, and have its tags.

    Every method also takes ``sample_domain`` and ``allow_source``, as skada's scorers pass them, and reads neither: the
    model predicts any row alike.
    """

    # What scikit-learn's `set_output` and ``set_config(transform_output=...)`` look for.
    _sklearn_auto_wrap_output_keys: ClassVar[set[str]] = {"transform"}

    estimator: Any
    estimator_: Any
    fit: Callable[..., Any]

    def predict(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[Any]:
        """Return the label of every row, shape (n,)."""
        return self._delegate("predict", X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[Any]:
        """Return class probabilities, shape (n, C)."""
        return self._delegate("predict_proba", X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[Any]:
        """Return the decision function of the estimator, shape (n, C) or (n,) for two classes."""
        return self._delegate("decision_function", X)

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        sample_domain: Any = None,
        *,
        allow_source: bool = False,
    ) -> float:
        """Return the accuracy on the rows whose label is known; a missing one (-1, NaN or None) leaves its row out."""
        check_is_fitted(self)
        return score_known(self, X, y, sample_weight)

    @available_if(_estimator_has("transform"))
    def transform(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> Any:
        """Return the embedding, shape (n, D): an array, or what `set_output` asks for."""
        return wrap_output("transform", self._delegate("transform", X), X, self)

    @available_if(_estimator_has("transform"))
    def fit_transform(self, X: Any, y: ArrayLike, **fit_params: Any) -> Any:
        """Return the embedding of the rows that the loop was fitted on, shape (n, D); parameters as in `fit`."""
        return self.fit(X, y, **fit_params).transform(X)

    @available_if(_estimator_has("transform"))
    def set_output(self, *, transform: str | None = None) -> Self:
        """Set the container that `transform` returns, as in scikit-learn.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Container; ``"default"``: what the estimator's own ``transform`` returns. ``None``: as it was.

        Returns
        -------
        ActiveAdaptationLoop
            The loop itself. The columns are named by `get_feature_names_out`.
        """
        if transform is not None:
            self._sklearn_output_config = {**getattr(self, "_sklearn_output_config", {}), "transform": transform}
        return self

    @available_if(_estimator_has("transform", "get_feature_names_out"))
    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the columns of the embedding, those of the estimator, shape (D,)."""
        check_is_fitted(self)
        last = split_pipeline(self.estimator_)[1]
        # Some number what they return, whether or not the steps before them name what they hand on.
        source = last if isinstance(last, ClassNamePrefixFeaturesOutMixin) else self.estimator_
        return source.get_feature_names_out(input_features)

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
