"""Fields of a pool view: the one table of all that is known of them, and the checks that follow from it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skada_active.utils.arrays import is_tensor, to_host

__all__ = [
    "FIELDS",
    "Field",
    "RowFunction",
    "as_positions",
    "as_probabilities",
    "check_axes",
    "frozen",
    "named",
    "names_from",
    "read_only",
    "taken",
]

Source = Literal["output", "head", "discriminator", "labeled", "source", "roles", "extra"]

_LINEAR = (
    "a linear model such as LogisticRegression, a Pipeline that ends in one, or an "
    "AdaptationClassifier (skada_active.deep)"
)
_TRAINED = "an AdaptationClassifier whose objective trains a {}"
_GIVEN = "a strategy that fills it by itself, such as QueryByCommittee"
_PROBA = "a classifier with predict_proba (wrap others in sklearn.calibration.CalibratedClassifierCV)"


@dataclass(frozen=True)
class Field:
    """Field of a pool view: how it is laid out, where it comes from, and which model supplies it.

    Parameters
    ----------
    name : str
        Name of the attribute of `PoolView`.
    axes : str or tuple of str
        One letter per axis; equal letters agree in length within a view: n candidates, C classes, D features, H hidden
        units, M members, l and s rows of the labelled groups. A tuple describes a tuple of arrays, ``""`` an integer.
    source : str
        Where a snapshot finds it: ``"output"`` (a row of the model's outputs per candidate), ``"head"`` or
        ``"discriminator"`` (parts of the model), ``"labeled"`` or ``"source"`` (the revealed target rows and the source
        rows), ``"roles"`` (the roles of the candidates), ``"extra"`` (given by whoever asks for the snapshot).
    integer : bool, default=False
        Whether it holds integers.
    on_device : bool, default=False
        Whether it may hold torch tensors, which stay where they are; other fields are small and come to the host.
    remedy : str, default=None
        What supplies it, for the error message where a model does not; ``None``: any model will do.
    objective : str, default=None
        Objective of `skada_active.deep` that trains what it is read from.
    alternative : str, default=None
        Field that is read in its place where there is one: it tells the same, and more cheaply.
    is_probability : bool, default=False
        Whether its last axis holds probabilities, which sum to one.
    """

    name: str
    axes: str | tuple[str, ...]
    source: Source
    integer: bool = False
    on_device: bool = False
    remedy: str | None = None
    objective: str | None = None
    alternative: str | None = None
    is_probability: bool = False


_TABLE = [
    Field("index", "n", "roles", integer=True),
    Field("target_domain", "n", "roles", integer=True),
    Field("proba", "nC", "output", remedy=_PROBA, is_probability=True),
    Field("logits", "nC", "output", remedy=_LINEAR),
    Field("features", "nD", "output", on_device=True),
    Field("head_weight", "CD", "head", remedy=_LINEAR),
    Field("head_bias", "C", "head", remedy=_LINEAR),
    Field(
        "source_logit", "n", "output", remedy=_TRAINED.format("domain discriminator, such as DANN"), objective="DANN"
    ),
    Field(
        "class_domain_grad",
        "nCD",
        "discriminator",
        on_device=True,
        remedy=_TRAINED.format("class-wise domain discriminator, such as TSF"),
        objective="TSF",
        alternative="class_discriminator",
    ),
    Field(
        "class_discriminator",
        ("HD", "H", "CH", "C"),
        "discriminator",
        on_device=True,
        remedy=_TRAINED.format("class-wise domain discriminator of one hidden layer, such as TSF"),
        objective="TSF",
    ),
    Field("labeled_features", "lD", "labeled", on_device=True),
    Field("labeled_y", "l", "labeled", integer=True),
    Field("source_features", "sD", "source", on_device=True),
    Field("source_y", "s", "source", integer=True),
    Field("source_domain", "s", "source", integer=True),
    Field("committee_proba", "MnC", "extra", remedy=_GIVEN, is_probability=True),
    Field("n_initial", "", "roles", integer=True),
]
#: The fields of a pool view by name.
FIELDS = {field.name: field for field in _TABLE}


def named(names: Iterable[str]) -> list[Field]:
    """Return the fields of these names in alphabetical order; an unknown name is an error."""
    names = sorted(names)
    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        raise TypeError(f"PoolView has no field {unknown[0]!r}; the fields are {', '.join(sorted(FIELDS))}.")
    return [FIELDS[name] for name in names]


def names_from(*sources: Source) -> frozenset[str]:
    """Return the names of the fields that come from one of the sources."""
    return frozenset(field.name for field in _TABLE if field.source in sources)


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
    field = FIELDS[name]
    if not field.axes:
        return _integer(name, value)
    if field.source == "discriminator" and callable(value):
        return value
    if isinstance(field.axes, tuple):
        return tuple(_detached(part) for part in value)
    if field.on_device:
        return _detached(value)
    if field.is_probability:
        return read_only(as_probabilities(name, value))
    array = value if isinstance(value, np.ndarray) else to_host(value)
    if field.integer:
        array = _integers(name, array)
    return read_only(array)


def _detached(value: Any) -> Any:
    return read_only(np.asarray(value)) if not is_tensor(value) else value.detach()


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


def as_probabilities(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return the values of a field of probabilities as an ndarray; another shape or other numbers are an error."""
    array = values if isinstance(values, np.ndarray) else to_host(values)
    _check_n_axes(name, FIELDS[name].axes, array)
    # A matrix product is several times as fast as a sum of short rows.
    sums = array @ np.ones(array.shape[-1], dtype=np.result_type(np.float32, array))
    if array.size and (not (np.abs(sums - 1) <= 1e-3).all() or array.min() < 0):
        raise ValueError(
            f"{name} must hold probabilities: rows of finite non-negative numbers that sum to 1 (within 1e-3); "
            "pass logits as `logits` instead."
        )
    return array


def _check_n_axes(name: str, axes: str | tuple[str, ...], array: Any) -> None:
    if array.ndim != len(axes):
        raise ValueError(f"PoolView.{name} must have shape ({', '.join(axes)}), got {tuple(array.shape)}.")


def check_axes(filled: dict[str, Any]) -> dict[str, int]:
    """Return the length of every axis; fields that do not agree are an error."""
    sizes: dict[str, int] = {}
    for name, value in filled.items():
        whole = [(FIELDS[name].axes, value)] if hasattr(value, "shape") else []
        for axes, array in _parts(name, value) if isinstance(value, tuple) else whole:
            _check_n_axes(name, axes, array)
            for axis, size in zip(axes, array.shape, strict=True):
                if sizes.setdefault(axis, size) != size:
                    raise ValueError(
                        f"PoolView.{name} has {axis}={size}, but an earlier field has {axis}={sizes[axis]}."
                    )
    return sizes


def _parts(name: str, value: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Return the arrays of a field that is a tuple of them, with their axes."""
    axes = FIELDS[name].axes
    if len(value) != len(axes):
        raise ValueError(f"PoolView.{name} must be a tuple (W1, b1, W2, b2), got {len(value)} parts.")
    return list(zip(axes, value, strict=True))


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
    array = np.asarray(positions)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"positions must be a list of integers, got dtype {array.dtype} of shape {array.shape}; turn a "
            "mask into positions with numpy.flatnonzero(mask)."
        )
    if array.size and not 0 <= array.min() <= array.max() < n:
        raise ValueError(
            f"positions must be from 0 to {n - 1}, got {array.min()} to {array.max()}; find row numbers of X "
            "among the candidates with numpy.flatnonzero(numpy.isin(view.index, ids))."
        )
    return array.astype(np.int64, copy=False)
