"""Values as trees that JSON can hold without losing anything: what is written comes back equal, and of its type."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["from_plain", "to_plain"]

# A JSON object with one of these as its only name stands for what JSON has no form for.
_ARRAY, _SCALAR, _FLOAT, _TUPLE, _DICT = "$array", "$scalar", "$float", "$tuple", "$dict"
_MARKS = frozenset({_ARRAY, _SCALAR, _FLOAT, _TUPLE, _DICT})


def to_plain(value: Any) -> Any:
    """Return the value as a tree of JSON's own types.

    Takes None, booleans, numbers, strings, lists, tuples, dicts of any such keys, numpy scalars and arrays (also of
    strings and of objects that are such values); raises a TypeError for anything else.
    """
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, float) and not isinstance(value, np.generic):
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    if isinstance(value, list):
        return [to_plain(item) for item in value]
    if isinstance(value, tuple):
        return {_TUPLE: [to_plain(item) for item in value]}
    if isinstance(value, dict):
        if all(type(key) is str for key in value) and not (len(value) == 1 and _MARKS & value.keys()):
            return {key: to_plain(item) for key, item in value.items()}
        return {_DICT: [[to_plain(key), to_plain(item)] for key, item in value.items()]}
    if isinstance(value, np.ndarray) and _has_form(value.dtype):
        items = [to_plain(item) for item in value.ravel().tolist()]
        return {_ARRAY: {"dtype": value.dtype.str, "shape": list(value.shape), "items": items}}
    if isinstance(value, np.generic) and _has_form(value.dtype):
        return {_SCALAR: {"dtype": value.dtype.str, "item": to_plain(value.item())}}
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} has no form in JSON.")


def _has_form(dtype: np.dtype[Any]) -> bool:
    # Extended floats are wider than those of Python, which JSON is written from.
    return dtype.kind in "biufUO" and dtype.char != "g"


def from_plain(tree: Any) -> Any:
    """Return the value that `to_plain` made a tree of."""
    if isinstance(tree, list):
        return [from_plain(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) != 1 or not _MARKS & tree.keys():
        return {key: from_plain(item) for key, item in tree.items()}
    ((mark, content),) = tree.items()
    if mark == _FLOAT:
        return float(content)
    if mark == _TUPLE:
        return tuple(from_plain(item) for item in content)
    if mark == _DICT:
        return {from_plain(key): from_plain(item) for key, item in content}
    if mark == _SCALAR:
        return np.dtype(content["dtype"]).type(from_plain(content["item"]))
    items = [from_plain(item) for item in content["items"]]
    array = np.empty(len(items), dtype=np.dtype(content["dtype"]))
    array[:] = items
    return array.reshape(content["shape"])
