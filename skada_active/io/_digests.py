"""Digests of what objects hold: the same in every process for the same values."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pickle import PicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skada_active.io._names import full_name

__all__ = ["array_digest", "feed_array", "learned_digest", "state_digest", "type_name"]

_CHUNK = 8 * 2**20  # bytes of an array that are copied at a time


def array_digest(array: NDArray[Any]) -> str:
    """Return a short digest of the values of an array."""
    digest = blake2b(digest_size=8)
    feed_array(digest, array)
    return digest.hexdigest()


def feed_array(digest: Any, array: NDArray[Any]) -> None:
    """Feed a digest with the values of an array in C order, whatever its layout in memory or order of bytes."""
    if array.dtype.names is not None:
        for name in array.dtype.names:
            feed_array(digest, array[name])
        return
    for piece in _pieces(array):
        if piece.dtype.kind in "OT" or piece.dtype.char in "gG":  # extended floats hold bytes that mean nothing
            digest.update("\n".join(map(_text, piece.ravel().tolist())).encode("utf-8", "surrogatepass") + b"\n")
        else:
            plain = np.ascontiguousarray(piece, dtype=piece.dtype.newbyteorder("<"))
            digest.update(plain.reshape(-1).view(np.uint8))


def _pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield parts of at most `_CHUNK` bytes, which are the array in C order."""
    if array.nbytes <= _CHUNK or array.size <= 1:
        yield array
    elif len(array) == 1:
        yield from _pieces(array[0])
    else:
        step = max(1, _CHUNK * len(array) // array.nbytes)
        for start in range(0, len(array), step):
            yield from _pieces(array[start : start + step])


def _text(item: Any) -> str:
    if isinstance(item, np.ndarray):
        return f"{type_name(item.dtype)} {item.shape} {array_digest(item)}"
    text = repr(item.item() if isinstance(item, np.generic) else item)
    return text if isinstance(item, str) or " at 0x" not in text else re.sub(r" at 0x\w+", "", text)


def type_name(dtype: Any) -> str:
    """Return the name of a dtype of numpy or pandas, which says nothing of the order of bytes."""
    if isinstance(dtype, np.dtype):
        return str(dtype.newbyteorder("<"))
    if not hasattr(dtype, "categories"):
        return str(dtype)
    order = "ordered" if dtype.ordered else "unordered"
    return f"category ({len(dtype.categories)} {order}, {array_digest(np.asarray(dtype.categories, dtype=object))})"


def state_digest(value: Any) -> str | None:
    """Return a digest of a random generator, a network or a tensor; None for anything else."""
    if isinstance(value, np.random.RandomState):
        return _text_digest(_learned(value.get_state(legacy=False)))
    if isinstance(value, np.random.Generator):
        return _text_digest(_learned(value.bit_generator.state))
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.nn.Module):
        # Layers without weights, and settings such as a dropout rate, show in the text of a module alone.
        return _tensors_digest(re.sub(r" at 0x\w+", "", repr(value)), value.state_dict())
    return _tensors_digest("", {"": value}) if torch is not None and isinstance(value, torch.Tensor) else None


def learned_digest(estimator: Any) -> str | None:
    """Return a digest of what a fitted estimator holds beside its parameters; None if that cannot be read.

    Networks count by their weights, anything else by its values; times and the optimiser's state of a net do not count.
    """
    try:
        return _text_digest(_learned(estimator))
    except (AttributeError, PicklingError, RecursionError, TypeError):
        return None


def _text_digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _tensors_digest(text: str, tensors: dict[str, Any]) -> str:
    torch = sys.modules["torch"]
    digest = blake2b(text.encode(), digest_size=16)
    for name, tensor in tensors.items():
        digest.update(name.encode())
        if isinstance(tensor, torch.Tensor) and not (tensor.is_meta or torch.nn.parameter.is_lazy(tensor)):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _learned(value: Any) -> str:
    """Return a text that depends on values alone: not on memory, on references that are shared, or on a version."""
    if (digest := state_digest(value)) is not None:
        return digest
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return _text(value)
    if isinstance(value, np.ndarray):
        return _learned(value.tolist()) if value.dtype == object else _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_learned, value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(_learned, value)))}}}"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{_learned(key)}: {_learned(item)}' for key, item in value.items()))}}}"
    if isinstance(value, np.dtype):
        return type_name(value)
    if hasattr(value, "__qualname__"):
        return full_name(value)
    if sparse.issparse(value):
        coo = value.tocoo()
        return _learned([coo.shape, coo.row, coo.col, coo.data])
    if type(value).__module__.startswith("skada_active.loop.") and not hasattr(value, "get_params"):
        return full_name(type(value))  # a loop's session holds the data, too
    return _learned_of_object(value)


def _learned_of_object(value: Any) -> str:
    if not hasattr(value, "get_params"):
        reduced = value.__reduce_ex__(2)
        return (
            reduced
            if isinstance(reduced, str)
            else _learned([list(part) if isinstance(part, Iterator) else part for part in reduced])
        )
    state = vars(value)
    skorch = sys.modules.get("skorch")
    if skorch is not None and isinstance(value, skorch.NeuralNet):
        # The history holds times, and the optimiser does not predict.
        state = {name: item for name, item in state.items() if name.endswith("_") and hasattr(item, "state_dict")}
        state.pop("optimizer_", None)
    settings = value.get_params(deep=False).keys()
    plain = bool | int | float | str | None
    learned = {name: item for name, item in state.items() if not (name in settings and isinstance(item, plain))}
    return f"{full_name(type(value))}({_learned(learned)})"
