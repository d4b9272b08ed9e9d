"""Rows that are identical."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skada_active.utils.arrays import Array, to_host

__all__ = ["find_duplicates"]


def find_duplicates(marks: NDArray[np.float64], keys: Sequence[Array]) -> NDArray[np.int64]:
    """Return for each row the lowest position of a row that agrees with it in all keys, shape (n,).

    Only rows with equal marks are compared; identical rows must have equal ones.
    """
    leaders = np.arange(len(marks))
    order = np.argsort(marks, kind="stable")
    same = marks[order[1:]] == marks[order[:-1]]
    if not same.any():
        return leaders
    suspects = np.sort(order[np.append(same, False) | np.append(False, same)])
    content = np.concatenate([to_host(key[suspects]).reshape(len(suspects), -1) for key in keys], axis=1) + 0.0
    one_each = content.view(np.dtype((np.void, content.itemsize * content.shape[1]))).ravel()
    _, first, group = np.unique(one_each, return_index=True, return_inverse=True)
    leaders[suspects] = suspects[first[group]]
    return leaders
