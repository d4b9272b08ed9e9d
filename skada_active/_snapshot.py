"""Read what a model says of many rows: a block of rows at a time, into arrays that are made once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_even_slices

from skada_active._arrays import Array, empty_like
from skada_active._readers import ModelReader
from skada_active._rows import is_dataset, take_rows

__all__ = ["check_needs", "read_outputs"]

#: A block holds so many bytes of X, but so many rows at least: few rows at a time would be slow to read.
_BLOCK_BYTES, _MIN_ROWS = 2**27, 2**10
#: Rows of a block of a dataset, whose rows have no size before they are read; a network reads them batch by batch.
_DATASET_ROWS = 2**14
#: What a value of a table of several types takes.
_ITEM_BYTES = 8


def check_needs(needs: Iterable[str], y: Any, extra: Iterable[str]) -> frozenset[str]:
    """Return the names of the fields to read, without those that are given; what cannot be read is an error."""
    if isinstance(needs, str):
        raise TypeError(f"needs must be a collection of field names, got the string {needs!r}; pass {{{needs!r}}}.")
    needs = frozenset(needs) - set(extra)
    unlabeled = sorted(needs & {"labeled_y", "source_y"})
    if y is None and unlabeled:
        raise ValueError(f"needs names {unlabeled[0]!r}, but y is None; pass the labels of all rows as y.")
    return needs


def read_outputs(
    reader: ModelReader,
    X: Any,
    groups: dict[str, NDArray[np.int64]],
    names: dict[str, frozenset[str]],
    on_device: frozenset[str] = frozenset(),
) -> dict[str, dict[str, Array]]:
    """Return the outputs of the model for groups of rows, all read in one pass.

    Parameters
    ----------
    reader : ModelReader
        Reader of the fitted model.
    X : array-like of shape (n_rows, ...) or dataset
        All rows.
    groups : dict of str to ndarray of int64
        Row numbers of each group.
    names : dict of str to frozenset of str
        Names of the outputs of each group.
    on_device : frozenset of str
        Names of outputs that stay on the model's device where it has one.

    Returns
    -------
    dict of str to dict of str to ndarray or Tensor
        Outputs by group and name.

    Notes
    -----
    Beside what is returned, one block of rows and its outputs are held; a single block is returned without a copy.
    """
    outputs: dict[str, dict[str, Array]] = {group: {} for group in groups}
    rows = np.concatenate(list(groups.values()))
    for block in gen_even_slices(len(rows), math.ceil(len(rows) / _block_rows(X))):
        spans = _spans(groups, block)
        wanted = frozenset().union(*(names[group] for group in spans))
        if wanted:
            # Handed on without a name of its own: nothing holds a block while the next one is read.
            _store(reader.outputs(take_rows(X, rows[block]), wanted, on_device), block.start, spans, names, outputs)
    return outputs


def _block_rows(X: Any) -> int:
    """Return how many rows of `X` are read at a time."""
    if is_dataset(X) or not hasattr(X, "shape"):
        return _DATASET_ROWS
    item_bytes = getattr(getattr(X, "dtype", None), "itemsize", _ITEM_BYTES)
    # Sparse rows count as dense ones, which their features become.
    return max(_MIN_ROWS, _BLOCK_BYTES // max(1, item_bytes * math.prod(X.shape[1:])))


def _spans(groups: dict[str, NDArray[np.int64]], block: slice) -> dict[str, tuple[int, int, int, int]]:
    """Return, of each group that a block touches, where it starts and ends among all rows, and the overlap does."""
    spans, first = {}, 0
    for group, rows in groups.items():
        last = first + len(rows)
        start, stop = max(first, block.start), min(last, block.stop)
        if start <= stop:  # a group without rows has outputs too, without rows
            spans[group] = first, last, start, stop
        first = last
    return spans


def _store(
    values: dict[str, Array],
    block_start: int,
    spans: dict[str, tuple[int, int, int, int]],
    names: dict[str, frozenset[str]],
    outputs: dict[str, dict[str, Array]],
) -> None:
    """Write the outputs of a block to their places; what is all of a group is kept as it is."""
    for group, (first, last, start, stop) in spans.items():
        for name in names[group]:
            part = values[name][start - block_start : stop - block_start]
            if len(part) == last - first:
                outputs[group][name] = part
                continue
            if name not in outputs[group]:
                outputs[group][name] = empty_like((last - first, *part.shape[1:]), part)
            outputs[group][name][start - first : stop - first] = part
