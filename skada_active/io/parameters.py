"""Parameters of estimators as texts by their paths, to be written down and compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skada_active.io.hashing import array_hash, value_hash

__all__ = ["describe_parameters", "differences", "stateful_parameters"]

# Parameters, of any part, that do not say what is trained.
_FREE = frozenset({"device", "n_jobs", "verbose"})
_SHOWN_LENGTH = 80


def describe_parameters(value: Any, name: str) -> dict[str, str]:
    """Return a text for a value and for each of its parameters, by the paths of ``get_params(deep=True)``.

    Plain values are shown. Objects are named, with a hash of what is in them where they are no estimators; a
    `FrozenEstimator` has a hash of what it learned.
    """
    described = {name: _text(value)}
    for path, item in _deep_params(value):
        if path.rpartition("__")[2] not in _FREE:
            described[f"{name}__{path}"] = _text(item)
    return described


def differences(recorded: Mapping[str, str], now: Mapping[str, str], *, shared_only: bool = False) -> list[str]:
    """Return in words what differs between two descriptions, one line per parameter; with `shared_only`, in both."""
    lines, changed = [], []
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
    kinds = (np.random.RandomState, np.random.Generator)
    return [f"{name}__{path}" for path, item in _deep_params(value) if isinstance(item, kinds) or _is_module(item)]


def _deep_params(value: Any) -> Iterable[tuple[str, Any]]:
    return sorted(value.get_params().items()) if hasattr(value, "get_params") and not isinstance(value, type) else ()


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str | bytes | slice | np.dtype):
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
        return f"{name} that learned {value_hash(list(_learned(value.estimator)))}"
    if hasattr(value, "get_params"):
        return name
    if _is_module(value):
        return f"{name} with the hash {_module_hash(value)}"
    return f"{name} with the hash {value_hash(value)}"


def _is_module(value: Any) -> bool:
    return hasattr(value, "state_dict") and hasattr(value, "named_modules")


def _module_hash(module: Any) -> str | None:
    # Layers without weights, and settings such as a dropout rate, show in the text of a module alone.
    weights = {name: _as_array(tensor) for name, tensor in module.state_dict().items()}
    return value_hash([re.sub(r" at 0x\w+", "", repr(module)), weights])


def _as_array(tensor: Any) -> Any:
    try:
        return tensor.detach().cpu().numpy()
    except (AttributeError, TypeError, RuntimeError, ValueError):
        return repr(tensor)


def _learned(estimator: Any) -> Iterator[Any]:
    """Yield what predictions depend on: weights of networks, whose history holds times, and attributes of others."""
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            yield from _learned(step)
    elif hasattr(estimator, "net_"):
        yield from (_module_hash(estimator.net_.module_), _module_hash(estimator.net_.criterion_))
    elif hasattr(estimator, "__dict__"):
        yield type(estimator).__qualname__
        yield {name: item for name, item in vars(estimator).items() if name != "random_state"}
    else:
        yield estimator


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 25]} ... {text[-20:]}"
