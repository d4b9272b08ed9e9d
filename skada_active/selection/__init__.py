"""Pure selection primitives on dense and on factored (outer-product) vectors.

Every function takes arrays and returns positions, labels or neighbours; none knows of a model, a pool or a class. All
of them but `top_k` accept a dense array of shape (n, d) or an `Outer`, the n vectors ``left_i (x) right_i`` that are
never formed; `farthest_first` and `kmeans_plusplus` also an `OnDemand`, vectors that are computed a block of rows at a
time, such as `SymmetricKL`, distributions compared by their divergence.

Vectors may be torch tensors on any device: the products with them are made there, and what is returned are numpy
arrays all the same. Without tensors, numpy, scipy and scikit-learn are enough.
"""

from __future__ import annotations

from skada_active.selection._clusters import kmeans_picks, nearest_to_centers
from skada_active.selection._cover import greedy_cover, pure_radius
from skada_active.selection._farthest_first import farthest_first
from skada_active.selection._kmeans import kmeans
from skada_active.selection._kmeans_plusplus import kmeans_plusplus
from skada_active.selection._neighbors import nearest_neighbors
from skada_active.selection._on_demand import OnDemand
from skada_active.selection._outer import Outer
from skada_active.selection._symmetric_kl import SymmetricKL
from skada_active.selection._top_k import top_k

__all__ = [
    "OnDemand",
    "Outer",
    "SymmetricKL",
    "farthest_first",
    "greedy_cover",
    "kmeans",
    "kmeans_picks",
    "kmeans_plusplus",
    "nearest_neighbors",
    "nearest_to_centers",
    "pure_radius",
    "top_k",
]
