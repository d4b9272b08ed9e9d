"""Parameters of estimators as texts by their paths, to be written down and compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator

from skada_active.io.hashing import array_hash, value_hash

__all__ = ["describe_parameters", "differences", "stateful_parameters"]

#: Parameters, of any part, that do not say what is trained.
_FREE = frozenset({"device", "n_jobs", "verbose"})
_SHOWN_LENGTH = 80
_GENERATORS = (np.random.RandomState, np.random.Generator)
_PLAIN = (bool, int, float, complex, str, bytes, slice, np.dtype, type(None))


def describe_parameters(value: Any, name: str) -> dict[str, str]:
    """Return a text for a value and for each of its parameters, by the paths of ``get_params(deep=True)``.

    Plain values are shown. Objects are named, with a hash of what is in them where they are no estimators; a
    `FrozenEstimator` has a hash of what it learned.
    """
    params = {f"{name}__{path}": item for path, item in _deep_params(value) if path.rpartition("__")[2] not in _FREE}
    return {path: _text(item) for path, item in {name: value, **params}.items()}


def differences(recorded: Mapping[str, str], now: Mapping[str, str], *, shared_only: bool = False) -> list[str]:
    """Return in words what differs between two descriptions, one line per parameter; with `shared_only`, in both."""
    lines: list[str] = []
    changed: list[str] = []
    for path in dict.fromkeys([*recorded, *now]):
        then, is_now = recorded.get(path, "not there"), now.get(path, "not there")
        if then == is_now or (shared_only and not (path in recorded and path in now)):
            continue
        if not any(path.startswith(f"{known}__") for known in changed):  # what a changed object holds changes with it
            lines.append(f"{path} was {_cut(then)}, is {_cut(is_now)}")
        changed.append(path)
    return lines


def stateful_parameters(value: Any, name: str) -> list[str]:
    """Return the paths of parameters that have a state of their own: modules and random generators."""
    items = _deep_params(value)
    return [f"{name}__{path}" for path, item in items if isinstance(item, _GENERATORS) or _is_module(item)]


def _deep_params(value: Any) -> Iterable[tuple[str, Any]]:
    return sorted(value.get_params().items()) if _is_estimator(value) else ()


def _text(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, list | tuple):
        items = ", ".join(map(_text, value))
        return f"[{items}]" if isinstance(value, list) else f"({items})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(key)}: {_text(item)}' for key, item in value.items())}}}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} with the hash {array_hash(value)[:8]}"
    if isinstance(value, partial):
        return f"partial({_text(value.func)}, {_text(value.args)}, {_text(value.keywords)})"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    name = type(value).__qualname__
    if isinstance(value, FrozenEstimator):
        return f"{name} that learned {_hash(value.estimator)}"
    return name if _is_estimator(value) else f"{name} with the hash {_hash(value)}"


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _is_module(value: Any) -> bool:
    return hasattr(value, "state_dict") and hasattr(value, "named_modules")


def _hash(value: Any) -> str | None:
    try:
        return value_hash(_content(value))
    except Exception:  # whatever an object that cannot be taken apart raises
        return None


def _content(value: Any) -> str:
    """Return a text of all that an object holds, the same for equal ones, however they lie in memory."""
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return array_hash(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(key)}: {_content(item)}' for key, item in value.items())}}}"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(_content, value)))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_content, value))}]"
    if isinstance(value, (*_PLAIN, np.generic, partial)) or hasattr(value, "__qualname__"):
        return _text(value)
    return _content(_parts(value))


def _parts(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [value.shape, value.tolist()]
    if sparse.issparse(value):
        rows = value.tocsr().sorted_indices()
        return [rows.shape, rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data]
    if _is_module(value):
        # Layers without weights, and settings such as a dropout rate, show in the text of a module alone.
        weights = {name: _as_array(tensor) for name, tensor in value.state_dict().items()}
        return [re.sub(r" at 0x\w+", "", repr(value)), weights]
    if hasattr(value, "net_"):  # whose history holds times
        return [value.net_.module_, value.net_.criterion_]
    if _is_estimator(value):
        free = {*_FREE, "random_state"}
        return [type(value), {name: item for name, item in vars(value).items() if name not in free}]
    if isinstance(value, _GENERATORS):  # whose seed, which a file does not hold, says no more
        return value.get_state(legacy=False) if isinstance(value, np.random.RandomState) else value.bit_generator.state
    return list(value.__reduce_ex__(4)[1:])


def _as_array(tensor: Any) -> Any:
    try:
        return tensor.detach().cpu().numpy()
    except (AttributeError, TypeError, RuntimeError, ValueError):
        return repr(tensor)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 25]} ... {text[-20:]}"
