"""Private names of scikit-learn that the package uses: the only file that imports any."""

from __future__ import annotations

from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.validation import _num_samples as num_samples

__all__ = [
    "BaseComposition",
    "HasMethods",
    "Interval",
    "LinearClassifierMixin",
    "StrOptions",
    "num_samples",
    "safe_indexing",
]
