"""Parameters of estimators as texts by their paths, to be written down and compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator

from skada_active.io.hashing import array_hash, value_hash

__all__ = ["describe_parameters", "differences", "stateful_parameters"]

#: Parameters, of any part, that do not say what is trained.
_FREE = frozenset({"device", "n_jobs", "verbose"})
_GENERATORS = (np.random.RandomState, np.random.Generator)


def describe_parameters(value: Any, name: str) -> dict[str, str]:
    """Return a text for a value and for each of its parameters, by the paths of ``get_params(deep=True)``.

    Plain values are shown. Objects are named, with a hash of what is in them where they are no estimators; a
    `FrozenEstimator` has a hash of what it learned.
    """
    params = {f"{name}__{path}": item for path, item in _deep_params(value) if path.rpartition("__")[2] not in _FREE}
    return {path: _written(item, _text) for path, item in {name: value, **params}.items()}


def differences(recorded: Mapping[str, str], now: Mapping[str, str], *, shared_only: bool = False) -> list[str]:
    """Return in words what differs between two descriptions, one line per parameter; with `shared_only`, in both."""
    absent = "not there"
    pairs = {path: (recorded.get(path, absent), now.get(path, absent)) for path in {**recorded, **now}}
    changed = [path for path, pair in pairs.items() if len({*pair}) > 1 and not (shared_only and absent in pair)]
    # What a changed object holds changes with it.
    heads = [path for path in changed if not any(path.startswith(f"{other}__") for other in changed)]
    return [f"{path} was {_cut(pairs[path][0])}, is {_cut(pairs[path][1])}" for path in heads]


def stateful_parameters(value: Any, name: str) -> list[str]:
    """Return the paths of parameters that have a state of their own: modules and random generators."""
    items = _deep_params(value)
    return [f"{name}__{path}" for path, item in items if isinstance(item, _GENERATORS) or _is_module(item)]


def _deep_params(value: Any) -> Iterable[tuple[str, Any]]:
    return sorted(value.get_params().items()) if _is_estimator(value) else ()


def _text(value: Any) -> str:
    name = type(value).__qualname__
    if _is_estimator(value) and not isinstance(value, FrozenEstimator):
        return name
    try:
        return f"{name} with the hash {value_hash(_content(value))}"
    except Exception:  # whatever an object that cannot be taken apart raises
        return f"{name} with unknown content"


def _written(value: Any, write: Callable[[Any], str]) -> str:
    """Return plain values, containers of them and names of functions as text, and anything else as `write` does."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_written(key, write)}: {_written(item, write)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple | set | frozenset):
        items = [_written(item, write) for item in value]
        if isinstance(value, list | tuple):
            return f"[{', '.join(items)}]" if isinstance(value, list) else f"({', '.join(items)})"
        return f"{{{', '.join(sorted(items))}}}"
    if isinstance(value, partial):
        return f"partial{_written((value.func, value.args, value.keywords), write)}"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    is_plain = isinstance(value, bool | int | float | complex | str | bytes | slice | np.dtype | None)
    return repr(value) if is_plain else write(value)


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _is_module(value: Any) -> bool:
    return hasattr(value, "state_dict") and hasattr(value, "named_modules")


def _content(value: Any) -> str:
    """Return a text of all that an object holds, the same for equal ones, however they lie in memory."""
    return _written(value, lambda item: _written(_parts(item), _content))


def _parts(value: Any) -> Any:
    """Return what an object consists of, in plain values, containers and other objects."""
    if isinstance(value, np.ndarray):
        return array_hash(value) if value.dtype.kind != "O" else [value.shape, value.tolist()]
    if sparse.issparse(value):
        return [value.shape, *sparse.find(value)]
    if _is_module(value):
        # Layers without weights, and settings such as a dropout rate, show in the text of a module alone.
        weights = {name: _as_array(tensor) for name, tensor in value.state_dict().items()}
        return [re.sub(r" at 0x\w+", "", repr(value)), weights]
    if hasattr(value, "net_"):  # whose history holds times
        prepared = [value.preprocessor_] if hasattr(value, "preprocessor_") else []
        return [value.net_.module_, value.net_.criterion_, *prepared]
    if _is_estimator(value):
        return [type(value), {name: item for name, item in vars(value).items() if name not in {*_FREE, "random_state"}}]
    if isinstance(value, _GENERATORS):  # whose seed, which a file does not hold, says no more
        return value.get_state(legacy=False) if isinstance(value, np.random.RandomState) else value.bit_generator.state
    return list(value.__reduce_ex__(4)[1:])


def _as_array(tensor: Any) -> Any:
    with suppress(AttributeError, TypeError, RuntimeError, ValueError):
        return tensor.detach().cpu().numpy()
    return repr(tensor)


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:55]} ... {text[-20:]}"
