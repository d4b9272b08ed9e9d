"""Rows on the way to the network: their shape, their units, and the layers that fit them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import assert_all_finite, validate_data
from torch import Tensor, nn
from torch.utils.data import Dataset

from skada_active.deep.augmentation import default_augmentation
from skada_active.deep.batches import row_blocks
from skada_active.networks import MLP, ConvNet, Standardize
from skada_active.utils.moments import ColumnMoments, along_columns, minus
from skada_active.utils.rows import as_row, as_rows, column_names, is_dataset

__all__ = ["InputConfig", "InputProfile", "Intake", "check_rows", "default_backbone", "embedding_width"]

#: Default networks by the number of axes of a row.
_DEFAULT_NETWORKS = {1: MLP, 3: ConvNet}
#: Types of rows that are looked at as they are; objects and the like become the first.
_NUMBERS = tuple(map(np.dtype, ("f8", "f4", "f2", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?")))
#: An offset of so many deviations costs a float32 more than one ten-thousandth of a deviation.
_FAR = 2**10
#: Scales beyond these go by a unit of their own, for the sake of a float32's exponent.
_SMALLEST_SCALE, _LARGEST_SCALE = 2.0**-60, 2.0**60
#: Columns at other scales than this multiple of the common one are not of its kind.
_KIN = 30
#: So many items of a dataset are read twice, to see whether a random transform stands in it.
_ITEMS_READ_TWICE = 4
#: Fewest pixels a side that the default network for images takes, and most that a last axis of channels has.
_MIN_PIXELS, _MOST_CHANNELS = 4, 4


class InputConfig(Protocol):
    """Parameters of `AdaptationClassifier` that its inputs depend on."""

    module: Any
    standardize: bool | str
    augmentation: Any
    net_params: dict[str, Any] | None


@dataclass(frozen=True)
class Intake:
    """Conversion of rows of any real type to those that the network takes, which are float32 or bytes.

    Parameters
    ----------
    row_shape : tuple of int
        Shape of one row.
    is_default : bool, default=False
        Whether the rows are for a default network.
    shift, unit : ndarray of shape (d,), float64, default=None
        What is subtracted from every column (or channel), and then divides it, before a float32 would lose its digits;
        ``None``: nothing is, as in ordinary data.
    """

    row_shape: tuple[int, ...]
    is_default: bool = False
    shift: NDArray[np.float64] | None = None
    unit: NDArray[np.float64] | None = None

    def read(self, X: Any) -> Any:
        """Return rows for the network: an array that torch can share, or a dataset that converts item by item."""
        if is_dataset(X):
            return _ReadDataset(X, self)
        # torch takes no negative strides, and warns of read-only memory.
        return np.require(self.convert(X), requirements=["C", "W"])

    def convert(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return an array of rows as float32, bytes as they are."""
        if self.shift is None or self.unit is None:
            return X if X.dtype in (np.uint8, np.float32) else _single(X)
        shift, unit = (along_columns(values, X.ndim) for values in (self.shift, self.unit))
        rows = np.empty(X.shape, dtype=np.float32)
        start = 0
        for block in row_blocks(X, X.shape[1:]):
            rows[start : start + len(block)] = _single(minus(block, shift) / unit)
            start += len(block)
        return rows

    def check_shape(self, shape: tuple[int, ...], item: int | None = None) -> None:
        """Raise a ValueError if a row of this shape is none like those that the network was made for."""
        if shape == self.row_shape:
            return
        if len(shape) == len(self.row_shape) and shape[:1] == self.row_shape[:1]:
            if self.is_default:  # images of any size
                _check_default(shape)
            return
        where = "" if item is None else f", first as item {item}"
        raise ValueError(
            f"X has rows of shape {shape}{where}, but the network was made for rows of shape {self.row_shape}"
            f"{_as_read(shape)}"
        )


class _ReadDataset(Dataset):
    """Rows of a dataset as an `Intake` converts them, checked one by one."""

    def __init__(self, items: Any, intake: Intake) -> None:
        self.items, self.intake = items, intake

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self._read(self.items[index], index)

    def __getitems__(self, index: list[int]) -> list[NDArray[Any]]:
        items = self.items.__getitems__(index) if hasattr(self.items, "__getitems__") else map(self._item, index)
        return [self._read(item, number) for item, number in zip(items, index, strict=True)]

    def _item(self, index: int) -> Any:
        return self.items[index]

    def _read(self, item: Any, number: int) -> NDArray[Any]:
        row = as_row(item, number)
        self.intake.check_shape(row.shape, number)
        return row if self.intake.shift is None else self.intake.convert(row[np.newaxis])[0]


@dataclass(frozen=True)
class InputProfile:
    """Shape and statistics of the rows that a net is made for.

    Parameters
    ----------
    intake : Intake
        Conversion of the rows.
    standardize : Standardize or None
        First layer of the default network.
    augmentation : callable or None
        Second views, fitted to the rows if it can be.
    """

    intake: Intake
    standardize: Standardize | None
    augmentation: Any

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.intake.row_shape

    @classmethod
    def from_rows(
        cls, config: InputConfig, X: Any, given: tuple[Intake, bool] | None = None
    ) -> tuple[InputProfile, Any]:
        """Return the profile for rows like those of `X`, and these as the network takes them.

        With `given`, the intake of a trained network and whether it standardises, the profile is that of this network.
        """
        shape = _shape_of_items(X) if is_dataset(X) else X.shape[1:]
        if given is not None:
            given[0].check_shape(shape)
            return cls.blank(config, *given)._for_rows(X)
        intake, layer = Intake(shape, config.module is None), None
        if intake.is_default:
            _check_default(shape)
        if intake.is_default and config.standardize is not False:
            workers = (config.net_params or {}).get("iterator_train__num_workers", 0)
            moments = ColumnMoments(row_blocks(intake.read(X) if is_dataset(X) else X, shape, {"num_workers": workers}))
            intake, layer = _standardized(moments, shape, config.standardize)
        return cls(intake, layer, _augmentation(config, shape))._for_rows(X)

    @classmethod
    def blank(cls, config: InputConfig, intake: Intake, standardizes: bool) -> InputProfile:
        """Return a profile without statistics, for a net whose state is going to be loaded."""
        width = intake.row_shape[0]
        layer = Standardize(torch.zeros(width), torch.ones(width)) if standardizes else None
        return cls(intake, layer, _augmentation(config, intake.row_shape))

    def _for_rows(self, X: Any) -> tuple[InputProfile, Any]:
        """Return the profile with its augmentation fitted to rows, and these as the network takes them."""
        rows = self.intake.read(X)
        fits = hasattr(self.augmentation, "fit")
        return (replace(self, augmentation=self.augmentation.fit(rows)) if fits else self), rows


def check_rows(estimator: Any, X: Any, *, reset: bool, intake: Intake | None = None) -> Any:
    """Return rows as an array of numbers or a dataset; with `reset` the estimator remembers their columns.

    With `intake`, images of other channels than it was made for are an error.
    """
    X = as_rows(X)
    if is_dataset(X):
        if not len(X):
            raise ValueError("X is a dataset of 0 rows; give one of at least 1.")
        if reset:
            for name in ("n_features_in_", "feature_names_in_"):
                vars(estimator).pop(name, None)  # those of an array that was fitted before
        return X
    shape = tuple(getattr(X, "shape", ()))[1:]
    if len(shape) == 0 and len(X) and (values := np.asarray(X)).dtype.kind in "OUSV":
        first, example = type(values[0]).__name__, str(values[0])[:40]
        raise TypeError(
            f"X holds one object of type {first} a row, {example!r} first, and a network takes "
            "numbers: turn texts and records into columns of them; paths of images become rows by "
            "skada_active.datasets.ImageFiles(X), other files by a dataset whose __getitem__ reads one."
        )
    if intake is not None and max(len(shape), len(intake.row_shape)) > 1:
        intake.check_shape(shape)
    try:
        if np.asarray(X.iloc[:1] if hasattr(X, "iloc") else X[:1]).dtype.kind in "mM":
            raise TypeError("its values are dates or times")
        return validate_data(estimator, X, dtype=_NUMBERS, allow_nd=True, reset=reset)
    except (TypeError, ValueError) as error:
        if names := _columns_without_numbers(X):
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f"X has columns that hold no numbers, {names[:5]}: {str(error)[:80]}. Encode them in a Pipeline, as in "
                "make_pipeline(make_column_transformer((OneHotEncoder(), columns), remainder='passthrough'), model); "
                "a date becomes a number by what it is subtracted from."
            ) from error
        raise


def default_backbone(inputs: InputProfile) -> nn.Module:
    """Return the network for rows of tables or images, its statistics in front."""
    default = _DEFAULT_NETWORKS[len(inputs.row_shape)](inputs.row_shape[0])
    return default if inputs.standardize is None else nn.Sequential(inputs.standardize, default)


def embedding_width(backbone: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the width D of the embedding of a row; a backbone that makes none of it is an error."""
    backbone.eval()
    try:
        with torch.no_grad():
            embedding = backbone(torch.zeros(2, *shape))
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"module cannot embed a row of shape {shape} ({error}){_as_read(shape)}") from error
    backbone.train()
    is_tensor = isinstance(embedding, Tensor)
    if not (is_tensor and embedding.ndim == 2 == len(embedding) and embedding.is_floating_point()):
        found = f"{tuple(embedding.shape)} of {embedding.dtype}" if is_tensor else f"a {type(embedding).__name__}"
        raise ValueError(f"module must return an embedding, one tensor (n, D) of floats, got {found} for two rows.")
    return embedding.shape[1]


def _shape_of_items(X: Any) -> tuple[int, ...]:
    """Return the shape of a dataset's rows; items that come out differently each time are an error."""
    for number in range(min(_ITEMS_READ_TWICE, len(X))):
        first, again = (as_row(X[number], number) for _ in range(2))
        if not np.array_equal(first, again, equal_nan=first.dtype.kind == "f"):
            raise ValueError(
                f"X is a dataset whose item {number} is another one each time it is read, so that predictions and "
                "queries would be random. Let the dataset return the rows as they are predicted, and put what is "
                "random, such as crops and flips, into train_transform."
            )
    return as_row(X[0], 0).shape


def _augmentation(config: InputConfig, shape: tuple[int, ...]) -> Any:
    return default_augmentation(len(shape)) if config.augmentation == "auto" else config.augmentation


def _standardized(
    moments: ColumnMoments, shape: tuple[int, ...], standardize: bool | str
) -> tuple[Intake, Standardize]:
    varies = moments.std > 0
    own = np.where(varies, moments.std, 1.0)
    scale = _shared_scale(moments, own) if standardize == "auto" and len(shape) == 1 and varies.any() else own
    center = moments.origin + moments.mean
    shift, unit = np.zeros_like(center), np.ones_like(center)
    if moments.dtype.itemsize > 2 and moments.dtype != np.float32:
        # Rows that are float32 already have no more digits to lose, and are not copied.
        shift = np.where(np.abs(center) > _FAR * own, center, 0.0)
        unit = np.where((scale > _SMALLEST_SCALE) & (scale < _LARGEST_SCALE), 1.0, 2.0 ** np.round(np.log2(scale)))
    is_plain = not shift.any() and (unit == 1).all()
    intake = Intake(shape, True) if is_plain else Intake(shape, True, shift, unit)
    mean = (moments.origin - shift + moments.mean) / unit
    scale = np.maximum(scale / unit, np.finfo(np.float32).smallest_subnormal)
    return intake, Standardize(*(torch.as_tensor(values, dtype=torch.float32) for values in (mean, scale)))


def _shared_scale(moments: ColumnMoments, own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the one scale of columns of one kind, as of ready-made embeddings, otherwise that of every column."""
    deviations = own[moments.std > 0]
    low, high = np.percentile(deviations, [5, 95])
    if high >= 10 * low:
        return own
    common = np.median(deviations)
    # Few columns in units of their own; a column that is hardly ever anything but 0 still spans what others do.
    is_other = (own > _KIN * common) | ((moments.span > 0) & (moments.span < common / _KIN))
    return np.where(is_other, own, common)


def _check_default(shape: tuple[int, ...]) -> None:
    if len(shape) not in _DEFAULT_NETWORKS:
        hint = "; grey images need an axis of channels, X[:, None]" if len(shape) == 2 else ""
        raise ValueError(
            f"X has rows of shape {shape}; the default networks take (d,) or (C, H, W){hint}. Otherwise pass a network "
            "as `module`."
        )
    if len(shape) == 3 and (min(shape[1:]) < _MIN_PIXELS or _looks_channels_last(shape)):
        raise ValueError(
            f"X has rows of shape {shape}, but the default network takes images of {_MIN_PIXELS} x {_MIN_PIXELS} "
            f"pixels or more{_as_read(shape)} For a network of your own, pass `module`."
        )


def _looks_channels_last(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[2] <= _MOST_CHANNELS < shape[0]


def _as_read(shape: tuple[int, ...]) -> str:
    """Return how a row of three axes is read, as the end of a sentence."""
    if len(shape) != 3:
        return "."
    hint = "; if its channels come last, give numpy.moveaxis(X, -1, 1)" if shape[2] <= _MOST_CHANNELS else ""
    return f". A row is read as (C, H, W) = {shape}{hint}."


def _single(X: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is an error
        rows = X.astype(np.float32)
        if X.dtype == np.float64:
            assert_all_finite(rows, input_name="X")
    return rows


def _columns_without_numbers(X: Any) -> list[Any]:
    """Return the names of the columns of a table, or the numbers of those of an array, that hold no numbers."""
    if isinstance(X, np.ndarray):
        is_mixed = X.ndim == 2 and X.dtype.kind in "OUSmM"
        return [number for number in range(X.shape[1] if is_mixed else 0) if not _is_numeric(X[:, number])]
    names = column_names(X)
    columns = [X.iloc[:, position] if hasattr(X, "iloc") else X[name] for position, name in enumerate(names)]
    return [name for name, column in zip(names, columns, strict=True) if not _is_numeric(column)]


def _is_numeric(column: Any) -> bool:
    try:
        np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return np.asarray(column[:1]).dtype.kind not in "mM"
