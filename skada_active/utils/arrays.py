"""numpy arrays and torch tensors side by side, without importing torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import normalize

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import TypeIs

__all__ = [
    "Array",
    "Floats",
    "as_floats",
    "as_like",
    "empty_like",
    "example",
    "host_dtype",
    "is_tensor",
    "namespace",
    "normalized",
    "on_device",
    "rows_inner",
    "to_host",
]

#: An ndarray or a torch.Tensor: whatever is done with one is done with the other, which no type can say.
Array: TypeAlias = Any
#: An ndarray of float32 or float64.
Floats: TypeAlias = NDArray[np.floating[Any]]


def is_tensor(value: object) -> TypeIs[Tensor]:
    """Tell whether `value` is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def on_device(array: Array) -> bool:
    """Tell whether an array is in the memory of an accelerator."""
    return is_tensor(array) and array.device.type != "cpu"


def namespace(array: Array) -> Any:
    """Return the module whose functions take `array`: what is used of it has one name and meaning in both."""
    return sys.modules["torch"] if is_tensor(array) else np


def to_host(array: Array) -> NDArray[Any]:
    """Return an ndarray with the values of an array on any device; an ndarray itself."""
    if not is_tensor(array):
        return np.asarray(array)
    held = array.detach().cpu()
    # numpy has no bfloat16, which networks may compute in.
    return (held.float() if held.dtype == namespace(held).bfloat16 else held).numpy()


def host_dtype(array: Array) -> np.dtype[Any]:
    """Return numpy's name of the type of an array."""
    return np.dtype(str(array.dtype).rpartition(".")[2]) if is_tensor(array) else array.dtype


def as_like(values: ArrayLike, array: Array) -> Array:
    """Return values in the type of `array`, on its device."""
    if not is_tensor(array):
        return np.asarray(values, dtype=array.dtype)
    return values.to(array) if is_tensor(values) else array.new_tensor(np.asarray(values, dtype=host_dtype(array)))


def as_floats(*arrays: ArrayLike) -> list[Array]:
    """Return arrays in their common floating type, float32 or float64: tensors on one device if any of them is one."""
    given = next(filter(is_tensor, arrays), None)
    if given is None:
        on_host = [np.asarray(array) for array in arrays]
        single = np.result_type(np.float32, *on_host) == np.float32
        return [array.astype(np.float32 if single else np.float64, copy=False) for array in on_host]
    anywhere: list[Array] = [array.detach() if is_tensor(array) else np.asarray(array) for array in arrays]
    single = all("float" in str(array.dtype) and array.dtype.itemsize <= 4 for array in anywhere)
    like = given.new_empty(0, dtype=namespace(given).float32 if single else namespace(given).float64)
    return [as_like(array, like) for array in anywhere]


def empty_like(shape: tuple[int, ...], array: Array) -> Array:
    """Return an array of this shape, in the type of `array` and on its device."""
    return array.new_empty(shape) if is_tensor(array) else np.empty(shape, dtype=array.dtype)


def example(dtype: np.dtype[Any] | type, array: Array) -> Array:
    """Return an empty array of a type, named as in numpy, on the device of `array`."""
    empty = np.empty(0, dtype=dtype)
    return array.new_empty(0, dtype=namespace(array).as_tensor(empty).dtype) if is_tensor(array) else empty


def rows_inner(a: Array, b: Array) -> Array:
    """Return the inner products (n,) of rows with those of the same number."""
    return (a * b).sum(1) if is_tensor(a) else np.einsum("ij,ij->i", a, b)


def normalized(array: Array) -> Array:
    """Return rows (n, d) at Euclidean length 1; those of length 0 stay."""
    if not is_tensor(array):
        return normalize(array)
    lengths = array.square().sum(1, keepdim=True).sqrt()
    lengths[lengths == 0] = 1
    return array / lengths
