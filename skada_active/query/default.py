"""The strategy of a loop that names none: a rule that holds up on any task, by what its model supplies."""

from __future__ import annotations

from typing import Any

from scipy.sparse import issparse

from skada_active.pool.readers import ModelReader
from skada_active.query._base import QueryStrategy
from skada_active.query.badge import BADGE
from skada_active.query.clue import CLUE
from skada_active.query.mixed import Mixed
from skada_active.query.random_sampling import RandomSampling
from skada_active.query.uncertainty import MarginSampling

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
        Half `CLUE` and half `BADGE` for models with an embedding and a linear head (`AdaptationClassifier`, logistic
        regression and their pipelines). Half random rows and half `MarginSampling` for all others with probabilities,
        and for sparse rows and texts, whose embedding may be as wide as a vocabulary. `RandomSampling` without
        probabilities.

    Notes
    -----
    Any single score can be worse than random rows where its model is wrong about the target: it asks about one region,
    or one class, for rounds. Clusters weighted by doubt and gradients that repel each other fail on different tasks.
    ``benchmarks/robust_default.py`` chose the rule on one half of its tasks and reports it on the other.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.svm import LinearSVC
    >>> from skada_active.query import default_strategy
    >>> default_strategy(LogisticRegression()), default_strategy(LinearSVC())
    (Mixed(parts=[(CLUE(), 0.5), (BADGE(), 0.5)]), RandomSampling())
    """
    supplies = ModelReader.from_estimator(estimator).supplies
    if "proba" not in supplies:
        return RandomSampling()
    if "head_weight" in supplies and not _may_be_wide(X):
        return Mixed([(CLUE(), 0.5), (BADGE(), 0.5)])
    return Mixed([(RandomSampling(), 0.5), (MarginSampling(), 0.5)])


def _may_be_wide(X: Any) -> bool:
    """Tell whether a pipeline may embed rows sparsely: sparse rows, a list of texts, a table with a column of them."""
    if issparse(X):
        return True
    if hasattr(X, "dtypes"):
        return any(getattr(dtype, "kind", "") in _TEXTS for dtype in X.dtypes)
    return hasattr(X, "dtype") and X.dtype.kind in _TEXTS
