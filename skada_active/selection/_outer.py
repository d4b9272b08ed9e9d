"""Outer products, and the factors that these and dense vectors are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from skada_active.selection._on_demand import OnDemand
from skada_active.utils.arrays import Array, Floats, as_floats, is_tensor, namespace, rows_inner, to_host

__all__ = ["Outer", "Vectors", "as_factors", "product_sq_norms"]


@dataclass(frozen=True, eq=False)
class Outer:
    """Hold n outer products ``left_i (x) right_i`` without forming them.

    Parameters
    ----------
    left : ndarray of shape (n, C)
        First factors, for example ``p_i - onehot(argmax p_i)``.
    right : ndarray of shape (n, D)
        Second factors, for example embeddings.

    Raises
    ------
    ValueError
        If a factor is not two-dimensional or their lengths differ.

    Notes
    -----
    Stands for n vectors of R^(C D). An inner product of two of them costs C + D multiplications, not C D, since
    ``<a (x) h, a' (x) h'> = <a, a'> <h, h'>``; the memory is that of the two factors. The primitives compute in the
    factors' common floating type: pass both as float32 to work in float32.

    Examples
    --------
    >>> import numpy as np
    >>> from skada_active.selection import Outer
    >>> vectors = Outer(np.array([[1.0, -1.0], [0.5, -0.5]]), np.array([[3.0, 4.0], [1.0, 0.0]]))
    >>> len(vectors), vectors.sq_norms().tolist()
    (2, [50.0, 0.5])
    """

    left: Array
    right: Array

    def __post_init__(self) -> None:
        for name in ("left", "right"):
            value = getattr(self, name)
            value = value if is_tensor(value) else np.asarray(value)
            if value.ndim != 2:
                raise ValueError(f"Outer.{name} must have shape (n, width), got {value.shape}.")
            object.__setattr__(self, name, value)
        if len(self.left) != len(self.right):
            raise ValueError(f"Outer needs as many left as right factors, got {len(self.left)} and {len(self.right)}.")

    def __len__(self) -> int:
        return len(self.left)

    def __getitem__(self, index: NDArray[Any] | slice) -> Outer:
        return Outer(self.left[index], self.right[index])

    def sq_norms(self) -> Floats:
        """Return the squared Euclidean norms, shape (n,), as an ndarray; one out of range is a ValueError."""
        with np.errstate(over="ignore", invalid="ignore"):
            norms: Floats = to_host(product_sq_norms(as_floats(self.left, self.right)))
        if not np.isfinite(norms).all():
            raise ValueError(
                f"The outer product of row {np.isfinite(norms).argmin()} has a squared norm beyond the range of "
                f"{norms.dtype}; scale the factors down first."
            )
        return norms


#: What most primitives take.
Vectors: TypeAlias = ArrayLike | Outer


def as_factors(vectors: Vectors, name: str) -> tuple[Array, ...]:
    """Return the validated factors, one of dense vectors and two of outer products, in one floating type."""
    if isinstance(vectors, OnDemand):
        raise TypeError(
            f"{name} must be an array or an Outer here, not OnDemand, which farthest_first and kmeans_plusplus alone "
            "accept; form the vectors of a subset of the rows instead."
        )
    parts: dict[str, Array] = {name: vectors}
    if isinstance(vectors, Outer):
        parts = {f"{name}.left": vectors.left, f"{name}.right": vectors.right}
    return tuple(as_floats(*(_checked(part, key) for key, part in parts.items())))


def _checked(part: Array, name: str) -> Array:
    """Return one factor of two dimensions, of a floating type and finite."""
    if not is_tensor(part):
        return check_array(part, dtype=[np.float64, np.float32], ensure_min_samples=0, input_name=name)
    if part.ndim != 2:
        raise ValueError(f"{name} must have shape (n, d), got {tuple(part.shape)}.")
    if not namespace(part).isfinite(part).all():
        raise ValueError(f"{name} contains NaN or infinity; leave such rows out.")
    return part


def product_sq_norms(factors: Sequence[Array]) -> Array:
    """Return the squared norms of products of factors, shape (n,)."""
    return math.prod(rows_inner(factor, factor) for factor in factors)
