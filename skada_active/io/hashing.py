"""Hashes: digests of chained texts, and of values."""

from __future__ import annotations

import pickle
import re
from hashlib import blake2b
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

__all__ = ["array_hash", "chain_digest", "value_hash"]


def chain_digest(before: str, content: str | bytes) -> str:
    """Return the digest of a text and of all texts before it, whose digest is `before`."""
    encoded = content if isinstance(content, bytes) else content.encode()
    return blake2b(before.encode() + encoded, digest_size=16).hexdigest()


def value_hash(value: Any) -> str | None:
    """Return a hash of any value, the same in every process for equal values; None where it cannot be pickled."""
    try:
        return joblib.hash(value)
    except (pickle.PicklingError, AttributeError, TypeError, RecursionError):
        return None


def array_hash(array: NDArray[Any]) -> str:
    """Return a hash of values, shape and type of an array, whatever its layout in memory and order of bytes.

    Objects count by their text, without the address in memory that some texts hold.
    """
    if array.dtype.names is not None:
        return joblib.hash([(name, array_hash(array[name])) for name in array.dtype.names])
    if array.dtype.kind in "OT" or array.dtype.char in "gG":  # extended floats hold bytes that mean nothing
        return joblib.hash([array.shape, "\n".join(map(_text, array.ravel().tolist()))])
    # A copy: an array that is contiguous may still have strides of its own along axes of length 1 or 0.
    return joblib.hash(np.array(array, dtype=array.dtype.newbyteorder("<"), order="C"))


def _text(item: Any) -> str:
    if isinstance(item, np.ndarray):
        return f"{item.dtype} {array_hash(item)}"
    text = repr(item.item() if isinstance(item, np.generic) else item)
    return text if isinstance(item, str) else re.sub(r" at 0x\w+", "", text)
