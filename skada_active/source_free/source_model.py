"""Model of a source domain that travels without its rows, and what it is the start of."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from skada_active.deep import AdaptationClassifier
from skada_active.domains import check_inputs
from skada_active.io import load, save
from skada_active.labels import encode_labels
from skada_active.metrics import em_shares
from skada_active.metrics.held_out import held_out_proba
from skada_active.pool.readers import ModelReader
from skada_active.source_free.hypothesis_transfer import HypothesisTransfer
from skada_active.source_free.stored_rows import n_stored_rows
from skada_active.source_free.summary import (
    SourceSummary,
    calibration_temperature,
    held_out_accuracy,
    moments_by_class,
)
from skada_active.source_free.transfer import log_proba
from skada_active.utils.fitting import fit_estimator, is_frozen, seed_estimator, split_pipeline
from skada_active.utils.random import check_rng
from skada_active.utils.rows import take_rows
from skada_active.utils.warn import warn_user

__all__ = ["SourceModel"]

_MAX_SEED = np.iinfo(np.int32).max


class SourceModel(FrozenEstimator):
    """Model of a source domain with a summary of the rows that it was trained on: what one site hands to another.

    It predicts as the model does and is never trained again (`sklearn.frozen.FrozenEstimator`); `adaptable` is the
    estimator that goes on from it. It holds no row.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier, or Pipeline that ends in one.
    summary : SourceSummary
        Counts and moments of the source rows.

    See Also
    --------
    HypothesisTransfer : Going on from any model with probabilities.
    skada_active.deep.AdaptationClassifier : Its `init` is going on from a network.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skada_active import ActiveAdaptationLoop
    >>> from skada_active.datasets import make_shifted_blobs
    >>> from skada_active.source_free import SourceModel
    >>> X, y, sample_domain = make_shifted_blobs(random_state=0)
    >>> is_source = sample_domain >= 0
    >>> source = SourceModel.from_fit(LogisticRegression(), X[is_source], y[is_source], random_state=0)  # at site A
    >>> loop = ActiveAdaptationLoop(source.adaptable(), budget=10, random_state=0)  # at site B
    >>> loop = loop.fit(X[~is_source], y[~is_source], sample_domain=sample_domain[~is_source])
    >>> len(loop.queried_ids_), loop.score(X[~is_source], y[~is_source]) > source.score(X[~is_source], y[~is_source])
    (10, True)
    """

    def __init__(self, estimator: Any, summary: SourceSummary) -> None:
        super().__init__(estimator)
        self.summary = summary

    @classmethod
    def from_fit(
        cls,
        model: Any,
        X: Any,
        y: ArrayLike,
        sample_domain: ArrayLike | None = None,
        *,
        min_rows: int = 5,
        cv: int = 5,
        random_state: Any = None,
    ) -> SourceModel:
        """Fit a model on source rows, and summarise these.

        Parameters
        ----------
        model : estimator
            Classifier with probabilities, or Pipeline that ends in one; it is cloned. A fitted one in `FrozenEstimator`
            stays as it is, and the rows should be some that it was not trained on: temperature and accuracy are
            theirs.
        X : array-like of shape (n, ...), table or dataset
            Source rows; target rows train a domain-aware model, without entering the summary.
        y : array-like of shape (n,)
            Their labels.
        sample_domain : array-like of shape (n,) of int, default=None
            Domain number per row. ``None``: all rows are of the source domain 0.
        min_rows : int, default=5
            Fewest rows of a class in a domain whose moments are kept; others are left out, count and all.
        cv : int, default=5
            Folds in which the rows are held out, each by a clone of the model, for temperature and accuracy.
        random_state : int, RandomState instance or None, default=None
            Seed of the model and the folds.

        Returns
        -------
        SourceModel
            The fitted model and the summary.

        Raises
        ------
        ValueError
            If the model has no probabilities, keeps rows that it was trained on (nearest neighbours, support vectors,
            Gaussian processes), a class has a single row, or none has `min_rows`.

        Warns
        -----
        UserWarning
            If classes were left out of the summary.

        Notes
        -----
        Costs `cv` + 1 fits and one pass over the rows. Means of few rows say much about each of them: raise `min_rows`
        where that matters. This is no differential privacy.
        """
        if min_rows < 2:
            raise ValueError(f"min_rows must be an integer >= 2, got {min_rows!r}: the mean of one row is that row.")
        X, y, roles = check_inputs(X, y, sample_domain)
        if not len(roles.source):
            raise ValueError("X holds no source row (sample_domain >= 0), so there is nothing to hand over.")
        rng = check_rng(random_state)
        proba, classes = held_out_proba(model, X, y, roles, cv, rng)
        fitted = model
        if not is_frozen(model):
            fitted = fit_estimator(seed_estimator(clone(model), int(rng.randint(_MAX_SEED))), X, y, roles)
        while isinstance(fitted, FrozenEstimator):
            fitted = fitted.estimator
        rows = take_rows(X, roles.source)
        features = ModelReader.from_estimator(fitted).outputs(rows, {"features"})["features"]
        if n_stored := n_stored_rows(fitted, rows, features):
            raise ValueError(
                f"{type(split_pipeline(fitted)[1]).__name__} keeps {n_stored} row(s) that it was trained on, which "
                "would be handed over with it; choose a model that keeps none, such as LogisticRegression, "
                "HistGradientBoostingClassifier or AdaptationClassifier."
            )
        labels, codes = fitted.classes_, encode_labels(y[roles.source], fitted.classes_)
        domains, count, mean, std, few = moments_by_class(
            features, codes, roles.domain[roles.source], len(labels), min_rows
        )
        left_out = tuple((domain, labels.tolist()[code]) for domain, code in few)
        if not len(domains):
            raise ValueError(f"No class of any domain has min_rows={min_rows} rows; give more, or lower it.")
        if left_out:
            warn_user(
                f"The summary leaves out what has fewer than min_rows={min_rows} rows, as (domain, class): "
                f"{', '.join(map(str, left_out[:10]))}{', ...' if len(left_out) > 10 else ''}. The model knows them."
            )
        held_out, of_source = proba[roles.source], encode_labels(y[roles.source], classes)
        temperature = calibration_temperature(held_out, of_source)
        accuracy = held_out_accuracy(held_out.argmax(axis=1) == of_source)
        return cls(fitted, SourceSummary(labels, domains, count, mean, std, temperature, accuracy, left_out))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, trusted: str | type | Iterable[str | type] = ()) -> SourceModel:
        """Return what `save` wrote; see `skada_active.io.load` for `trusted` and the errors."""
        model = load(path, trusted=trusted)
        if not isinstance(model, cls):
            raise TypeError(
                f"{path} holds {type(model).__name__}, not a SourceModel; load it by skada_active.io.load and wrap it, "
                "HypothesisTransfer(FrozenEstimator(model)) or AdaptationClassifier(init=FrozenEstimator(network))."
            )
        return model

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write model and summary to one skops file; see `skada_active.io.save`."""
        save(self, path)

    def adaptable(self, objective: Any = None, **params: Any) -> Any:
        """Return an unfitted estimator that goes on from the model, for a loop, a session or a search.

        Parameters
        ----------
        objective : Objective, default=None
            Domain adaptation loss that does without source rows, such as ``MCC()``; for networks only.
        **params
            Further parameters of `AdaptationClassifier` or `HypothesisTransfer`.

        Returns
        -------
        AdaptationClassifier, HypothesisTransfer or Pipeline
            A network that starts from this one, behind the frozen steps that stand before it; for any other model the
            logistic regression on what it says.

        Raises
        ------
        ValueError
            If there is an objective, and the model is no network; if the summary is of another model.
        """
        self._check_summary()
        before, last = split_pipeline(self.estimator)
        if isinstance(last, AdaptationClassifier):
            start = self if before is None else FrozenEstimator(last)
            network = AdaptationClassifier(objective, init=start, **params)
            return network if before is None else make_pipeline(FrozenEstimator(before), network)
        if objective is not None:
            raise ValueError(
                f"objective={objective!r} trains networks, and the source model is a {type(last).__name__}; leave it "
                "out, or train an AdaptationClassifier at the source."
            )
        return HypothesisTransfer(self, **params)

    def _check_summary(self) -> None:
        own, summarized = self.estimator.classes_.tolist(), self.summary.classes.tolist()
        if own != summarized:
            raise ValueError(
                f"The summary is of another model, for it has the classes {summarized[:5]}, the model {own[:5]}; make "
                "both by SourceModel.from_fit."
            )

    def calibrated_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the class probabilities (n, C) at the temperature of the summary."""
        return softmax(log_proba(self.estimator.predict_proba(X)) / self.summary.temperature, axis=1)

    def target_shares(self, X: Any) -> NDArray[np.float64]:
        """Return the class shares (C,) that the target rows `X` have under label shift, by EM; see `em_shares`.

        Classes that the summary leaves out have none.
        """
        self._check_summary()
        known = np.flatnonzero(self.summary.class_shares)
        proba = self.calibrated_proba(X)[:, known]
        shares = np.zeros(len(self.summary.classes))
        shares[known] = em_shares(self.summary.class_shares[known], proba / proba.sum(axis=1, keepdims=True))
        return shares
