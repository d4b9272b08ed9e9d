"""Real data sets that come with the package, and generators of shifted domains.

Every function returns ``(X, y, sample_domain)``: all labels, those of the target rows too, and per row one integer,
positive for a source domain and negative for a target domain.
"""

from __future__ import annotations

from skada_active.datasets._blobs import make_multi_source_blobs, make_shifted_blobs
from skada_active.datasets._digits import load_digits_pair
from skada_active.datasets._label_shift import make_label_shift
from skada_active.datasets._moons import make_shifted_moons
from skada_active.datasets._tabular import load_gas_drift, load_heart_disease, load_wine_quality

__all__ = [
    "load_digits_pair",
    "load_gas_drift",
    "load_heart_disease",
    "load_wine_quality",
    "make_label_shift",
    "make_multi_source_blobs",
    "make_shifted_blobs",
    "make_shifted_moons",
]
