"""Check the fields of a pool view one by one and against each other."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.utils.arrays import is_tensor, to_host

__all__ = ["as_positions", "check_axes", "frozen", "read_only", "taken"]

# How each field is laid out: the letters name axes, and equal letters must agree in length.
_AXES = {
    "index": "n",
    "target_domain": "n",
    "proba": "nC",
    "logits": "nC",
    "features": "nD",
    "head_weight": "CD",
    "head_bias": "C",
    "source_logit": "n",
    "class_domain_grad": "nCD",
    "labeled_features": "lD",
    "labeled_y": "l",
    "source_features": "sD",
    "source_y": "s",
    "source_domain": "s",
    "committee_proba": "MnC",
    "virtual_divergence": "n",
}
_DISCRIMINATOR_AXES = ("HD", "H", "CH", "C")
# These may be torch tensors, which stay where they are; every other field is small and comes to the host.
_TENSOR_FIELDS = frozenset({"features", "labeled_features", "source_features", "class_domain_grad"})
_INTEGER_FIELDS = ("index", "target_domain", "labeled_y", "source_y", "source_domain")


def read_only(value: Any) -> Any:
    """Return a read-only view of an array, of every array of a tuple, or the value itself."""
    if isinstance(value, tuple):
        return tuple(map(read_only, value))
    if not isinstance(value, np.ndarray):
        return value
    value = value.view()
    value.flags.writeable = False
    return value


def frozen(name: str, value: Any) -> Any:
    """Return the value of a field, checked by itself and read-only."""
    if name == "n_initial":
        return _integer(name, value)
    if name == "class_domain_grad" and callable(value):
        return value
    if name == "class_discriminator":
        return tuple(part.detach() if is_tensor(part) else read_only(np.asarray(part)) for part in value)
    if is_tensor(value) and name in _TENSOR_FIELDS:
        return value.detach()
    array = to_host(value)
    if name in _INTEGER_FIELDS:
        array = _integers(name, array)
    if name in ("proba", "committee_proba"):
        _check_probabilities(name, array)
    return read_only(array)


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"PoolView.{name} must be an integer, got {value!r}; round it first.") from None


def _integers(name: str, array: NDArray[Any]) -> NDArray[np.int64]:
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(
            f"PoolView.{name} must hold integers, got dtype {array.dtype} with values such as "
            f"{array.ravel()[:1].tolist()[0]!r}; pass row numbers, column positions or domain numbers."
        )
    return array.astype(np.int64, copy=False)


def _check_probabilities(name: str, array: NDArray[Any]) -> None:
    # A matrix product is several times as fast as a sum of short rows.
    sums = array @ np.ones(array.shape[-1], dtype=np.result_type(np.float32, array))
    if array.size and (not (np.abs(sums - 1) <= 1e-3).all() or array.min() < 0):
        raise ValueError(
            f"{name} must hold probabilities: rows of finite non-negative numbers that sum to 1 (within 1e-3); "
            "pass logits as `logits` instead."
        )


def check_axes(filled: dict[str, Any]) -> dict[str, int]:
    """Return the length of every axis; fields that do not agree are an error."""
    arrays = [(name, axes, filled[name]) for name, axes in _AXES.items() if hasattr(filled.get(name), "shape")]
    parts = filled.get("class_discriminator")
    if parts is not None:
        if len(parts) != len(_DISCRIMINATOR_AXES):
            raise ValueError(f"PoolView.class_discriminator must be a tuple (W1, b1, W2, b2), got {len(parts)} parts.")
        arrays += [("class_discriminator", *pair) for pair in zip(_DISCRIMINATOR_AXES, parts, strict=True)]
    sizes: dict[str, int] = {}
    for name, axes, array in arrays:
        if array.ndim != len(axes):
            raise ValueError(f"PoolView.{name} must have shape ({', '.join(axes)}), got {tuple(array.shape)}.")
        for axis, size in zip(axes, array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(f"PoolView.{name} has {axis}={size}, but an earlier field has {axis}={sizes[axis]}.")
    return sizes


@dataclass(frozen=True)
class _Taken:
    """A function of positions, for some of the candidates that it counts."""

    function: Callable[[NDArray[np.int64]], NDArray[Any]]
    positions: NDArray[np.int64]

    def __call__(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return the values for some rows."""
        return self.function(self.positions[index])


def taken(name: str, value: Any, positions: NDArray[np.int64]) -> Any:
    """Return a field for some of the candidates; one without a row for each is the same for all."""
    if callable(value):
        return _Taken(value, positions)
    axis = _AXES.get(name, "").find("n")
    if axis < 0:
        return value
    return value[positions] if is_tensor(value) else value.take(positions, axis=axis)


def as_positions(positions: ArrayLike, n: int) -> NDArray[np.int64]:
    """Return positions of candidates as int64; anything but integers from 0 to n - 1 is an error."""
    positions = np.asarray(positions)
    if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
        raise ValueError(
            f"positions must be a list of integers, got dtype {positions.dtype} of shape {positions.shape}; turn a "
            "mask into positions with numpy.flatnonzero(mask)."
        )
    if positions.size and not 0 <= positions.min() <= positions.max() < n:
        raise ValueError(
            f"positions must be from 0 to {n - 1}, got {positions.min()} to {positions.max()}; find row numbers of X "
            "among the candidates with numpy.flatnonzero(numpy.isin(view.index, ids))."
        )
    return positions.astype(np.int64, copy=False)
