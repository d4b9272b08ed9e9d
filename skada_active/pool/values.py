"""Values of the fields of a pool view: checked, read-only, and taken for some of the candidates."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.pool.fields import FIELDS, Field
from skada_active.utils.arrays import Array, is_tensor, namespace, to_host
from skada_active.utils.rows import as_row_numbers

__all__ = [
    "RowFunction",
    "as_positions",
    "as_probabilities",
    "check_axes",
    "first_bad_row",
    "frozen",
    "named",
    "read_only",
    "taken",
]


def named(names: Iterable[str]) -> list[Field]:
    """Return the fields of these names in alphabetical order; an unknown name is an error."""
    names = sorted(names)
    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        raise TypeError(f"PoolView has no field {unknown[0]!r}; the fields are {', '.join(sorted(FIELDS))}.")
    return [FIELDS[name] for name in names]


def frozen(name: str, value: Any) -> Any:
    """Return the value of a field, checked by itself and read-only."""
    field = FIELDS[name]
    if not field.axes:
        try:
            return operator.index(value)
        except TypeError:
            raise TypeError(f"PoolView.{name} must be an integer, got {value!r}; round it first.") from None
    if field.source == "discriminator" and callable(value):
        return value
    if isinstance(field.axes, tuple):
        return tuple(_detached(name, part) for part in value)
    if field.on_device:
        return _detached(name, value)
    if field.is_probability:
        return read_only(as_probabilities(name, value))
    array = value if isinstance(value, np.ndarray) else to_host(value)
    if not field.integer:
        return _detached(name, array)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(
            f"PoolView.{name} must hold integers, got dtype {array.dtype} with values such as "
            f"{array.ravel()[:1].tolist()[0]!r}; pass row numbers, column positions or domain numbers."
        )
    return read_only(array.astype(np.int64, copy=False))


def read_only(value: Any) -> Any:
    """Return a read-only view of an array, of every array of a tuple, or the value itself."""
    if isinstance(value, tuple):
        return tuple(map(read_only, value))
    if not isinstance(value, np.ndarray):
        return value
    value = value.view()
    value.flags.writeable = False
    return value


def check_axes(filled: dict[str, Any]) -> dict[str, int]:
    """Return the length of every axis; fields that do not agree are an error."""
    sizes: dict[str, int] = {}
    for name, value in filled.items():
        whole = [(FIELDS[name].axes, value)] if hasattr(value, "shape") else []
        for axes, array in _parts(name, value) if isinstance(value, tuple) else whole:
            if array.ndim != len(axes):
                raise ValueError(f"PoolView.{name} must have shape ({', '.join(axes)}), got {tuple(array.shape)}.")
            for axis, size in zip(axes, array.shape, strict=True):
                if sizes.setdefault(axis, size) != size:
                    raise ValueError(
                        f"PoolView.{name} has {axis}={size}, but an earlier field has {axis}={sizes[axis]}."
                    )
    return sizes


def as_probabilities(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return the values of a field of probabilities as an ndarray; another shape or other numbers are an error."""
    array = values if isinstance(values, np.ndarray) else to_host(values)
    if array.dtype.kind not in "fiub":
        raise _not_real(name, array)
    check_axes({name: array})
    # A matrix product is several times as fast as a sum of short rows.
    sums = array @ np.ones(array.shape[-1], dtype=np.result_type(np.float32, array))
    if array.size and (not (np.abs(sums - 1) <= 1e-3).all() or array.min() < 0):
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            raise ValueError(
                f"{name} must hold probabilities, and its row {bad[0, -2]} holds NaN or infinity: the outputs of the "
                "model are not finite. Its training may have diverged (lower its learning rate), or X may hold values "
                "that it cannot take."
            )
        raise ValueError(
            f"{name} must hold probabilities: rows of finite non-negative numbers that sum to 1 (within 1e-3); "
            "pass logits as `logits` instead."
        )
    return array


def first_bad_row(values: Array) -> int | None:
    """Return the number of the first row that holds NaN or infinity, or None."""
    if "float" not in str(getattr(values, "dtype", "")):
        return None
    # A sum is finite only if all values are, and needs no array of flags.
    with np.errstate(over="ignore", invalid="ignore"):
        total = to_host(values.sum())
    if np.isfinite(total) or namespace(values).isfinite(values).all():
        return None
    return int(np.argwhere(~np.isfinite(to_host(values)))[0, 0])


@dataclass(frozen=True)
class RowFunction:
    """Function of row numbers: applies another one to the entries of `rows` that an index array names."""

    function: Callable[[Any], Any]
    rows: Any

    def __call__(self, index: NDArray[np.int64]) -> Any:
        """Return the values for some rows."""
        return self.function(self.rows[index])


def taken(name: str, value: Any, positions: NDArray[np.int64]) -> Any:
    """Return a field for some of the candidates; one without a row for each is the same for all."""
    if callable(value):
        return RowFunction(value, positions)
    axes = FIELDS[name].axes
    if "n" not in axes:
        return value
    axis = axes.index("n")
    return value[positions] if is_tensor(value) else value.take(positions, axis=axis)


def as_positions(positions: ArrayLike, n: int) -> NDArray[np.int64]:
    """Return positions of candidates as int64; anything but integers from 0 to n - 1 is an error."""
    array = as_row_numbers("positions", positions)
    if array.size and not 0 <= array.min() <= array.max() < n:
        raise ValueError(
            f"positions must be from 0 to {n - 1}, got {array.min()} to {array.max()}; find row numbers of X "
            "among the candidates with numpy.flatnonzero(numpy.isin(view.index, ids))."
        )
    return array


def _detached(name: str, value: Any) -> Any:
    if is_tensor(value):
        return value.detach()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise _not_real(name, array)
    return read_only(array)


def _not_real(name: str, array: NDArray[Any]) -> ValueError:
    return ValueError(
        f"PoolView.{name} must hold real numbers, got dtype {array.dtype}; convert it to a floating type."
    )


def _parts(name: str, value: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Return the arrays of a field that is a tuple of them, with their axes."""
    axes = FIELDS[name].axes
    if len(value) != len(axes):
        raise ValueError(f"PoolView.{name} must be a tuple (W1, b1, W2, b2), got {len(value)} parts.")
    return list(zip(axes, value, strict=True))
