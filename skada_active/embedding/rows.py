"""Rows to encode: texts, images, files of images and arrays, each with a hash of its content."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from skada_active.utils._sklearn import check_feature_names, check_n_features
from skada_active.utils.arrays import is_tensor
from skada_active.utils.fitting import remember_columns
from skada_active.utils.rows import as_row, as_rows, is_dataset, n_rows, refuse_what_has_no_rows, table_columns

__all__ = ["Rows", "UnreadRow", "check_rows", "is_image"]

#: Types of numbers that are encoded as they are; others become the first.
_NUMBERS = tuple(map(np.dtype, ("f8", "f4", "f2", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?")))
#: Bytes of a hash. Two of a million million rows share one of this length by a chance of 1 in 10^15.
_KEY_BYTES = 16


class UnreadRow:
    """Row whose hash is known before it is decoded, which it only is where it has to be encoded."""

    def open(self) -> Any:
        """Return the row: a text, an image of PIL or an array."""
        raise NotImplementedError


@dataclass(frozen=True)
class _ImageFile(UnreadRow):
    """File of an image, as it was when its hash was made; it is opened in colours."""

    path: str
    content: bytes

    def open(self) -> Any:
        from PIL import Image, UnidentifiedImageError  # torchvision brings it

        try:
            return Image.open(io.BytesIO(self.content)).convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"X names {self.path}, which is no image that could be read ({error}).") from error


@dataclass(frozen=True)
class _Item(UnreadRow):
    """Row of a dataset that says by itself what it depends on."""

    rows: Rows
    number: int
    key: bytes

    def open(self) -> Any:
        row = self.rows.item(self.number)
        if self.rows.read(self.number)[0] != self.key:
            raise ValueError(f"Row {self.number} of X changed while it was read; call again when nobody writes to it.")
        return row.open() if isinstance(row, UnreadRow) else row


@dataclass(frozen=True)
class Rows:
    """Rows that can be read one by one, from several threads.

    Parameters
    ----------
    items : sequence
        An array of numbers, a list, or a dataset.
    names_files : bool
        Whether a text is the name of a file.
    n_rows : int, default=None
        How many of them count, from the first; ``None``: all.
    """

    items: Any
    names_files: bool
    n_rows: int | None = None

    def __len__(self) -> int:
        return len(self.items) if self.n_rows is None else self.n_rows

    def read(self, number: int) -> tuple[bytes, Any]:
        """Return the hash of a row, and the row: a text, an image of PIL, an array, or an `UnreadRow`."""
        if hasattr(self.items, "row_content"):
            kind = type(self.items)
            key = _hashed(f"{kind.__module__}.{kind.__qualname__}".encode(), [self.items.row_content(number)])
            return key, _Item(self, number, key)
        row = self.item(number)
        return _key(row), row

    def item(self, number: int) -> Any:
        """Return a row."""
        return _row(self.items[number], number, self.names_files)


def check_rows(estimator: Any, X: Any, *, reset: bool, names_files: bool) -> Rows:
    """Return the rows of `X`; with `reset` the estimator remembers its columns, otherwise they have to be the same.

    Raises
    ------
    TypeError
        If `X` has no rows that can be taken by number.
    ValueError
        If there are none, or they are no rows of one table or array.
    """
    refuse_what_has_no_rows(X)
    if (objects := _objects(X)) is None and not is_dataset(X):
        X = as_rows(X)
        if not is_dataset(X) and n_rows(X):
            return Rows(_numbers(estimator, X, reset), names_files)
    is_table = table_columns(X) is not None
    if is_table and not reset:
        check_feature_names(estimator, X, reset=False)
        check_n_features(estimator, X, reset=False)
    elif is_table:
        remember_columns(estimator, X)
    elif reset:
        for name in ("n_features_in_", "feature_names_in_"):
            vars(estimator).pop(name, None)  # those of a table that was fitted before
    rows = X if objects is None else objects
    if not n_rows(rows):
        raise ValueError("X holds 0 rows; give at least 1.")
    return Rows(rows, names_files)


def is_image(row: Any) -> bool:
    """Tell whether a row is an image of PIL."""
    return type(row).__module__.partition(".")[0] == "PIL" and hasattr(row, "getbands")


def _objects(X: Any) -> list[Any] | None:
    """Return a column or list of texts, images or names of files as a list; None for anything else."""
    if (columns := table_columns(X)) is not None:
        if len(columns) != 1:
            return None
        X = X.iloc[:, 0] if hasattr(X, "iloc") else X[columns[0]]
    if not isinstance(X, list | tuple):
        values: NDArray[Any] = np.asarray(X) if hasattr(X, "__array__") and not is_tensor(X) else np.empty(0)
        if values.dtype.kind not in "OUT" or values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] != 1):
            return None
        X = values.ravel().tolist()
    # Of pairs only an image and its label: two texts may as well be two columns.
    return list(X) if any(_is_object(item) or (isinstance(item, tuple) and is_image(item[0])) for item in X) else None


def _is_object(item: Any) -> bool:
    return isinstance(item, str | PathLike) or is_image(item)


def _numbers(estimator: Any, X: Any, reset: bool) -> NDArray[Any]:
    try:
        return validate_data(estimator, X, dtype=_NUMBERS, allow_nd=True, reset=reset)
    except ValueError as error:
        columns = table_columns(X) or ()
        if len(columns) > 1 and "could not convert string" in str(error):
            raise ValueError(
                f"X is a table of the columns {columns[:5]}, not all of them numbers ({error}). An Embedding reads one "
                "column of texts: give X[column], or make_column_transformer((Embedding(...), column))."
            ) from error
        raise


def _row(item: Any, number: int, names_files: bool) -> Any:
    # A labelled dataset yields (row, label, ...).
    if isinstance(item, tuple | list) and item and _is_object(item[0]):
        item = item[0]
    if isinstance(item, str) and not names_files:
        return item
    if isinstance(item, str | PathLike):
        return _file(fspath(item), number)
    if is_image(item):
        return item
    if not hasattr(item, "shape") and not isinstance(item, tuple | list):
        what = "bytes; decode them" if isinstance(item, bytes) else "neither text nor image; fill it or leave it out"
        raise ValueError(f"X holds {item!r} as row {number}, which is {what}.")
    return as_row(item, number)


def _file(path: str, number: int) -> _ImageFile:
    try:
        return _ImageFile(path, Path(path).read_bytes())
    except (OSError, ValueError) as error:
        shown = path if len(path) <= 80 else f"{path[:80]}..."
        raise FileNotFoundError(
            f"X holds {shown!r} as row {number}, which this encoder takes for the file of an image, and it cannot be "
            f"read ({type(error).__name__}). Texts need an encoder of texts."
        ) from error


def _key(row: Any) -> bytes:
    if isinstance(row, str):
        return _hashed(b"text", [row.encode("utf-8", "surrogatepass")])
    if isinstance(row, _ImageFile):
        return _hashed(b"file", [row.content])
    if is_image(row):
        # What preparing steps read besides the pixels.
        more = [row.getpalette(), *(row.info.get(name) for name in ("transparency", "exif", "icc_profile"))]
        return _hashed(repr(("image", row.mode, row.size, more)).encode(), [row.tobytes()])
    array = np.ascontiguousarray(row)
    return _hashed(f"{array.dtype.str}{row.shape}".encode(), [array.data.cast("B")] if array.size else [])


def _hashed(head: bytes, parts: Iterable[Any]) -> bytes:
    # SHA-256 is the fastest of hashlib where the processor has instructions for it.
    state = sha256(head + b"\0")
    for part in parts:
        state.update(part)
    return state.digest()[:_KEY_BYTES]
