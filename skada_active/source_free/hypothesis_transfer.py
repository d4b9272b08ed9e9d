"""Going on from any classifier on labelled target rows, without the rows that it was trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from skada_active.domains import check_inputs
from skada_active.labels import encode_labels, native_labels
from skada_active.pool.readers import ModelReader
from skada_active.source_free.transfer import Transfer, choose_C, fit_transfer, log_proba
from skada_active.utils._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    check_feature_names,
    check_n_features,
    check_sample_weight,
)
from skada_active.utils.methods import DomainMetadata
from skada_active.utils.random import check_rng
from skada_active.utils.rows import as_rows, is_dataset, n_rows, take_rows
from skada_active.utils.scores import score_known

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["HypothesisTransfer"]

#: Dimensions that wider sparse features, such as those of texts, are reduced to.
_N_COMPONENTS = 100


class HypothesisTransfer(
    DomainMetadata, ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
    """Logistic regression on labelled target rows that starts at a source model, whose rows are not at hand.

    Its logits are those of the source model, times a factor, plus a bias and a linear function of the features, all
    three learned from the labels that there are and pulled to the source model: without any label it predicts exactly
    what that one does, and with many it is a model of its own. The source model can be any classifier with
    probabilities; it is not trained.

    Parameters
    ----------
    source_model : FrozenEstimator or SourceModel, default=None
        Fitted classifier with ``predict_proba``, or Pipeline that ends in one, in `sklearn.frozen.FrozenEstimator`, so
        that clones keep it. ``None``: none, a logistic regression on the labels alone.
    C : float or "auto", default="auto"
        Inverse strength of the pull of the weights to zero, as in `sklearn.linear_model.LogisticRegression`; 0: there
        are no weights. ``"auto"``: by cross-validation of the log loss on the labelled rows, from 0 to 1, or no change
        at all where the source model as it is does best; 0 with fewer than 5 labels.
    features : {"auto", "input"}, FrozenEstimator or None, default="auto"
        What the linear function reads, standardised by the target rows, gaps as means. ``"auto"``: the input of the
        last step of a Pipeline, the embedding of an `AdaptationClassifier`, else `X`; sparse features of more than 100
        columns are reduced to 100 dimensions at most by a truncated SVD of the target rows; where there are no numbers,
        nothing. ``"input"``: `X`. A fitted transformer (a function in `sklearn.preprocessing.FunctionTransformer`):
        what it returns. ``None``: nothing, only factor and bias are learned.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the cross-validation. A number: so many, the classes spread over them. Otherwise as in scikit-learn,
        with positions among the labelled rows that are learned from, those of weight 0 included.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds and of the SVD.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Labels, those of the source model.
    coef_ : ndarray of shape (C, D)
        Weights of the standardised features.
    intercept_ : ndarray of shape (C,)
        Bias of each class.
    n_labels_ : int
        How many labels were learned from.
    temperature_ : float
        What the source model's logits are divided by.
    C_ : float or None
        The C that was used; None: the source model was left as it is.
    n_features_in_, feature_names_in_
        Number and names of the columns of `X`.

    See Also
    --------
    skada_active.deep.AdaptationClassifier : Networks go on by its `init`.
    SourceModel : Model that travels with a summary of its rows.

    Notes
    -----
    Probabilities below 1e-4, such as the zeros of trees, count as 1e-4 in the logarithm once there is a label.

    Where there are target rows, only their labels are learned: the source model has learned the others. Bias and
    logarithm of the factor have a Gaussian prior of variance 1, whatever `C` is.

    `sample_weight` counts in the loss and in mean and deviation of the features: a row of weight 2 is one that stands
    twice, and one of weight 0 is not there. Only the folds of a number are of rows: copies may fall into different
    ones.

    To query strategies it supplies probabilities, logits, features (the standardised ones and the source model's
    log-probabilities, side by side) and the linear head on these.

    Costs one pass of the source model over the target rows, then O(n min(n, D) D) for n labels, and eight fits for each
    fold: for 200 labels of 10 classes and 2048 features a second.

    References
    ----------
    .. [1] Kuzborskij and Orabona, "Stability and Hypothesis Transfer Learning", ICML 2013: biased regularisation.
    .. [2] Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: temperature.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.source_free import HypothesisTransfer
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> source = LogisticRegression().fit(X[sample_domain > 0], y[sample_domain > 0])
    >>> X, y = X[sample_domain < 0], y[sample_domain < 0]
    >>> known = np.where(np.arange(len(y)) < 20, y, -1)
    >>> model = HypothesisTransfer(FrozenEstimator(source), random_state=0).fit(X, known, np.full(len(y), -1))
    >>> bool(model.score(X, y) > source.score(X, y))
    True
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"sample_domain": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "source_model": [FrozenEstimator, None],
        "C": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "features": [StrOptions({"auto", "input"}), FrozenEstimator, None],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split", "get_n_splits"]), Iterable],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        source_model: Any = None,
        C: float | str = "auto",
        features: Any = "auto",
        *,
        cv: Any = 5,
        random_state: Any = None,
    ) -> None:
        self.source_model = source_model
        self.C = C
        self.features = features
        self.cv = cv
        self.random_state = random_state

    @property
    def fits_without_labels(self) -> bool:
        """Whether `fit` needs no label: the source model knows the classes."""
        return self.source_model is not None

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_domain: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from the labelled target rows.

        Parameters
        ----------
        X : array-like of shape (n, ...), table, list or dataset
            Rows as the source model takes them.
        y : array-like of shape (n,)
            Labels; target rows may miss theirs (-1 in integer, NaN in float, None in object `y`).
        sample_domain : array-like of shape (n,) of int, default=None
            Domain number per row: ``>= 0`` source, ``< 0`` target. ``None``: all rows are learned from.
        sample_weight : array-like of shape (n,), default=None
            How often each row counts, those without a label included; ``None``: once.

        Returns
        -------
        HypothesisTransfer
            The fitted model.

        Raises
        ------
        TypeError
            If the source model is not in a `FrozenEstimator`, or has no ``predict_proba``; if `features` is a
            transformer or function that is not in one.
        ValueError
            If a label is none of the source model's classes, or the source model is not fitted.
        """
        self._check_frozen()
        self._validate_params()
        X = as_rows(X)
        self._check_columns(X, reset=True)
        X, y, roles = check_inputs(X, y, sample_domain)
        weight = np.ones(len(roles))
        if sample_weight is not None:
            weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        given = roles.target if weight[roles.target].any() else np.arange(len(roles))
        rows = given[weight[given] > 0]
        labeled = np.flatnonzero(roles.is_labeled[rows])
        labels = native_labels(y[rows[labeled]])
        check_classification_targets(labels)
        if self.source_model is None and not len(labels):
            raise ValueError(
                "y has no label at all, and there is no source_model that knows the classes; give "
                "source_model=FrozenEstimator(fitted_classifier), or rows with labels."
            )
        self.classes_ = np.unique(labels) if self.source_model is None else self.source_model.classes_
        codes = encode_labels(labels, self.classes_)
        rng = check_rng(self.random_state)
        Z, offset, _ = self._read(take_rows(X, rows), rng, None if sample_weight is None else weight[rows])
        Z, offset, counts = Z[labeled], offset[labeled], weight[rows[labeled]]
        if isinstance(self.C, str):
            of_label = given[roles.is_labeled[given]]
            folds = _folds(self.cv, y[of_label], weight[of_label] > 0)
            self.C_ = choose_C(Z, offset, codes, folds, rng, counts, may_stay=self.source_model is not None)
        else:
            self.C_ = float(self.C)
        self.coef_, self.intercept_, scale = fit_transfer(Z, offset, codes, self.C_, counts)
        self.temperature_ = 1 / scale
        self.n_labels_, self._n_features_out = len(codes), Z.shape[1] + len(self.classes_)
        return self

    def predict(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[Any]:
        """Return the label of every row, shape (n,)."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def predict_proba(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[Any]:
        """Return class probabilities, shape (n, C): before the first label exactly those of the source model."""
        return self.pool_outputs(X, {"proba"})["proba"]

    def decision_function(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[Any]:
        """Return logits, shape (n, C); for two classes their difference, shape (n,)."""
        logits = self.pool_outputs(X, {"logits"})["logits"]
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def transform(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[Any]:
        """Return what the linear head reads, shape (n, D + C): features and log-probabilities of the source model."""
        return self.pool_outputs(X, {"features"})["features"]

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
        check_is_fitted(self, "coef_")
        return score_known(self, X, y, sample_weight)

    # What `pool.snapshot` reads.

    @property
    def pool_supplies(self) -> frozenset[str]:
        """Names of the `PoolView` fields that the model can fill, fitted or not."""
        return frozenset({"proba", "logits", "features", "head_weight", "head_bias"})

    def pool_outputs(self, X: Any, names: Collection[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for the rows of `X`, all from one pass of the source model."""
        check_is_fitted(self, "coef_")
        X = as_rows(X)
        self._check_columns(X, reset=False)
        Z, offset, proba = self._read(X)
        logits = Transfer(self.coef_, self.intercept_, 1 / self.temperature_).logits(Z, offset)
        if proba is None or (self.n_labels_ and self.C_ is not None):
            proba = softmax(logits, axis=1)
        found = {"proba": proba, "logits": logits}
        if "features" in names:
            # In single precision where the source model's are: they are what takes the memory.
            found["features"] = np.concatenate([Z, offset], axis=1, dtype=self._feature_type)
        return {name: found[name] for name in names}

    def pool_head(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight (C, D + C) and bias (C,) of the linear head."""
        check_is_fitted(self, "coef_")
        of_source = np.eye(len(self.classes_)) / self.temperature_
        return np.concatenate([self.coef_, of_source], axis=1), self.intercept_.copy()

    def pool_moments(self) -> dict[str, NDArray[Any]] | None:
        """Return moments of the features in the source domains, from the summary of a `SourceModel`; None without one.

        The log-probabilities, of which it says nothing, count as constant.
        """
        summary = getattr(self.source_model, "summary", None)
        if summary is None or self.features != "auto" or hasattr(self, "svd_") or not self.coef_.shape[1]:
            return None
        width, own = summary.mean.shape[2], self.coef_.shape[1]
        if width != own:
            raise ValueError(
                f"The summary of source_model is of another model: its moments are of {width} features, and the model "
                f"has {own}; make both by SourceModel.from_fit."
            )
        scale, padding = self.scaler_.scale_, np.zeros((len(summary.domains), len(self.classes_)))
        mean = np.concatenate([(summary.source_mean - self.scaler_.mean_) / scale, padding], axis=1)
        std = np.concatenate([summary.source_std / scale, padding], axis=1)
        return {"source_mean": mean, "source_std": std, "source_count": summary.source_count}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        if self.source_model is not None:
            tags.input_tags = get_tags(self.source_model).input_tags
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_columns(self, X: Any, *, reset: bool) -> None:
        if not is_dataset(X) and len(getattr(X, "shape", ())) > 1:  # texts have no columns
            check_feature_names(self, X, reset=reset)
            check_n_features(self, X, reset=reset)

    def _check_frozen(self) -> None:
        source, features = self.source_model, self.features
        if source is not None and not isinstance(source, FrozenEstimator):
            raise TypeError(
                f"source_model must be a fitted classifier in sklearn.frozen.FrozenEstimator, which clones keep, got "
                f"{type(source).__name__}; pass FrozenEstimator(model)."
            )
        if source is not None and not hasattr(source, "predict_proba"):
            raise TypeError(
                f"source_model={source!r} has no predict_proba; wrap the model in "
                "sklearn.calibration.CalibratedClassifierCV, fitted at the source."
            )
        if source is not None:
            check_is_fitted(source, msg=f"source_model={source!r} is not fitted; fit it on source rows first.")
        if callable(features) or (hasattr(features, "transform") and not isinstance(features, FrozenEstimator)):
            raise TypeError(
                f"features must be a fitted transformer in sklearn.frozen.FrozenEstimator, which clones keep, got "
                f"{features!r}; pass FrozenEstimator(transformer), a function as "
                "FrozenEstimator(FunctionTransformer(function))."
            )
        if isinstance(features, FrozenEstimator) and not hasattr(features, "transform"):
            raise TypeError(f'features={features!r} has no transform; give a transformer, "auto", "input" or None.')

    def _read(
        self, X: Any, rng: np.random.RandomState | None = None, weight: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any] | None]:
        """Return standardised features (n, D), and log-probabilities and probabilities (n, C) of the source model.

        With `rng`, it is learned from these rows, of these weights, how features are reduced and standardised.
        """
        features, proba = self._source_outputs(X)
        if rng is not None:
            self._prepare(features, rng, weight)
        Z = self._dense(features)
        if hasattr(self, "scaler_"):
            Z = np.nan_to_num(self.scaler_.transform(Z), copy=False)  # a gap is no more than the mean
        if proba is None:
            return Z, np.zeros((len(Z), len(self.classes_))), None
        return Z, log_proba(proba), proba

    def _prepare(self, features: Any, rng: np.random.RandomState, weight: NDArray[np.float64] | None) -> None:
        for name in ("scaler_", "svd_"):
            self.__dict__.pop(name, None)
        self._feature_type = np.dtype(np.float32 if features.dtype.itemsize <= 4 else np.float64)
        if sparse.issparse(features) and features.shape[1] > _N_COMPONENTS:
            weighted = features if weight is None else sparse.diags_array(np.sqrt(weight)) @ features
            self.svd_ = _reduction(weighted, rng)
        Z = self._dense(features)
        if Z.shape[1]:
            self.scaler_ = StandardScaler().fit(Z, sample_weight=weight)

    def _dense(self, features: Any) -> NDArray[np.float64]:
        if hasattr(self, "svd_"):
            return self.svd_.transform(features)
        return np.asarray(features.toarray() if sparse.issparse(features) else features, dtype=np.float64)

    def _source_outputs(self, X: Any) -> tuple[Any, NDArray[Any] | None]:
        """Return features (n, D) and probabilities (n, C), which are None without a source model."""
        source, features = self.source_model, np.empty((n_rows(X), 0))
        if isinstance(self.features, FrozenEstimator):
            features = self.features.transform(X)
        elif self.features == "input" or (source is None and self.features == "auto"):
            features = X if sparse.issparse(X) else check_array(X, ensure_all_finite="allow-nan", allow_nd=True)
            features = features.reshape(features.shape[0], -1)
        if source is None:
            return features, None
        if self.features != "auto":
            return features, source.predict_proba(X)
        reader = ModelReader.from_estimator(source)
        rows = X if reader.transformer is None else reader.transformer.transform(X)
        if hasattr(reader.model, "pool_outputs"):
            outputs = reader.model.pool_outputs(rows, {"features", "proba"})
            return outputs["features"], outputs["proba"]
        return _numbers(rows), reader.model.predict_proba(rows)


def _numbers(rows: Any) -> Any:
    """Return rows as an array (n, d) or sparse matrix; without columns where they are no numbers."""
    if sparse.issparse(rows):
        return rows
    try:
        array = np.asarray(rows)
        numbers = array if array.dtype.kind in "biuf" else array.astype(np.float64)
        return numbers.reshape(len(numbers), -1)
    except (TypeError, ValueError):
        return np.empty((n_rows(rows), 0))


def _reduction(features: Any, rng: np.random.RandomState) -> TruncatedSVD:
    """Return a truncated SVD of sparse rows without components of no variation.

    Copies of rows leave such: nothing but rounding errors, which would be standardised to the size of the others, and
    directions in which any other row lies far away.
    """
    svd = TruncatedSVD(_N_COMPONENTS, random_state=rng.randint(np.iinfo(np.int32).max)).fit(features)
    values = svd.singular_values_
    least = values.max(initial=0) * max(features.shape) * np.finfo(values.dtype).eps
    svd.components_ = svd.components_[values > least]
    return svd


def _folds(cv: Any, labels: NDArray[Any], is_kept: NDArray[np.bool_]) -> Any:
    """Return the number of folds, or the folds as positions among the labelled rows that are kept, made when read."""
    if isinstance(cv, Integral):
        return cv
    position, splits = np.cumsum(is_kept) - 1, check_cv(cv).split(np.zeros((len(labels), 1)), native_labels(labels))
    return (tuple(position[part[is_kept[part]]] for part in split) for split in splits)
