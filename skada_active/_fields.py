"""Check the fields of a pool view one by one and against each other."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_axes", "frozen", "read_only"]

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
        return tuple(read_only(np.asarray(part)) for part in value)
    array = np.asarray(value)
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
    sums = array.sum(axis=-1, dtype=np.float64)
    if array.size and (not (np.abs(sums - 1) <= 1e-3).all() or array.min() < 0):
        raise ValueError(
            f"{name} must hold probabilities: rows of finite non-negative numbers that sum to 1 (within 1e-3); "
            "pass logits as `logits` instead."
        )


def check_axes(filled: dict[str, Any]) -> dict[str, int]:
    """Return the length of every axis; fields that do not agree are an error."""
    arrays = [(name, axes, filled[name]) for name, axes in _AXES.items() if isinstance(filled.get(name), np.ndarray)]
    parts = filled.get("class_discriminator")
    if parts is not None:
        if len(parts) != len(_DISCRIMINATOR_AXES):
            raise ValueError(f"PoolView.class_discriminator must be a tuple (W1, b1, W2, b2), got {len(parts)} parts.")
        arrays += [("class_discriminator", *pair) for pair in zip(_DISCRIMINATOR_AXES, parts, strict=True)]
    sizes: dict[str, int] = {}
    for name, axes, array in arrays:
        if array.ndim != len(axes):
            raise ValueError(f"PoolView.{name} must have shape ({', '.join(axes)}), got {array.shape}.")
        for axis, size in zip(axes, array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(f"PoolView.{name} has {axis}={size}, but an earlier field has {axis}={sizes[axis]}.")
    return sizes
