"""The strategy of a loop that names none: a rule that holds up on any task, by what its model supplies."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from skada_active.pool.readers import ModelReader
from skada_active.query._base import QueryStrategy
from skada_active.query.clue import CLUE
from skada_active.query.k_means import KMeansSampling
from skada_active.query.mixed import Mixed
from skada_active.query.random_sampling import RandomSampling
from skada_active.query.staged import Staged
from skada_active.query.uncertainty import MarginSampling
from skada_active.utils.rows import table_columns, take_rows

__all__ = ["default_strategy"]

#: Kinds of columns that hold texts: objects, and strings of numpy and of pandas.
_TEXTS = "OUST"


def default_strategy(estimator: Any, X: Any = None) -> QueryStrategy:
    """Return the query strategy that is robust for a model: rarely the best on a task, and not below random rows.

    Parameters
    ----------
    estimator : estimator
        Classifier, fitted or not.
    X : array-like or dataset, default=None
        Rows that it reads.

    Returns
    -------
    QueryStrategy
        For models with an embedding and a linear head (`AdaptationClassifier`, logistic regression and their pipelines)
        `KMeansSampling` in the first round, then `CLUE`. Half random rows and half `MarginSampling` for all others with
        probabilities, and for sparse rows and texts, whose embedding may be as wide as a vocabulary. `RandomSampling`
        without probabilities.

    Notes
    -----
    Any single score can be worse than random rows where its model is wrong about the target: it asks about one region,
    or one class, for rounds. Clusters weighted by doubt spread over the pool, but before the first answer the doubt is
    that of a model of another domain; plain clusters do not trust it.
    ``benchmarks/robust_default.py`` chose the rule on one half of its tasks and reports it on the other.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.svm import LinearSVC
    >>> from skada_active.query import default_strategy
    >>> default_strategy(LogisticRegression()), default_strategy(LinearSVC())
    (Staged(stages=[(KMeansSampling(), 1), (CLUE(), None)]), RandomSampling())
    """
    supplies = ModelReader.from_estimator(estimator).supplies
    if "proba" not in supplies:
        return RandomSampling()
    if "head_weight" in supplies and not _may_be_wide(X):
        return Staged([(KMeansSampling(), 1), (CLUE(), None)])
    return Mixed([(RandomSampling(), 0.5), (MarginSampling(), 0.5)])


def _may_be_wide(X: Any) -> bool:
    """Tell whether a pipeline may embed rows sparsely: sparse rows, a list of texts, a table with a column of them."""
    if issparse(X):
        return True
    if hasattr(X, "iloc") and hasattr(X, "columns"):  # categories are few, and no texts
        return any(dtype.kind in _TEXTS and not hasattr(dtype, "categories") for dtype in X.dtypes)
    if table_columns(X):
        return np.asarray(take_rows(X, np.arange(1))).dtype.kind in _TEXTS
    return hasattr(X, "dtype") and X.dtype.kind in _TEXTS
