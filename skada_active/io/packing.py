"""Estimators without what no file can bring along, such as modules and callbacks, and with it again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from skada_active.io.estimators import is_loadable

__all__ = ["missing_parameters", "packed", "unpacked"]


def missing_parameters(value: Any) -> list[str]:
    """Return the paths of parameters that cannot be made again from a file: modules, callbacks, code of one's own."""
    params = sorted(value.get_params().items()) if hasattr(value, "get_params") else ()
    # With its name, for the value of some parameters alone is harmless.
    return [path for path, item in params if not (_has_parts(item) or is_loadable({path.rpartition("__")[2]: item}))]


def packed(value: Any, missing: Sequence[str]) -> Any:
    """Return an estimator, fitted or not, without what is missing in it; a fitted network as its state."""
    parts = _by_part(missing)
    if not parts:
        return value
    if hasattr(value, "net_"):
        state = {**value.__getstate__(), **dict.fromkeys(parts)}
        callbacks = {
            name: held if isinstance(held, dict) else {key: v for key, v in vars(held).items() if is_loadable(v)}
            for name, held in state["net_"]["callbacks"].items()
        }
        return {**state, "net_": {**state["net_"], "callbacks": callbacks}}
    params = value.get_params()
    return copy.copy(value).set_params(
        **{name: packed(params[name], below) if below else None for name, below in parts.items()}
    )


def unpacked(packed: Any, missing: Sequence[str], given: Any) -> Any:
    """Return the fitted estimator of `packed`, with what is missing taken from an unfitted one."""
    parts = _by_part(missing)
    if not parts:
        return packed
    params = given.get_params()
    if isinstance(packed, dict):
        network = object.__new__(type(given))
        network.__setstate__({**packed, **{name: params[name] for name in parts}})
        return network
    held = packed.get_params()
    return packed.set_params(
        **{name: unpacked(held[name], below, params[name]) if below else params[name] for name, below in parts.items()}
    )


def _by_part(paths: Sequence[str]) -> dict[str, list[str]]:
    """Return the paths below each parameter; none where the parameter itself is meant."""
    parts: dict[str, list[str]] = {}
    for path in paths:
        name, _, below = path.partition("__")
        parts.setdefault(name, []).extend([below] if below else [])
    return parts


def _has_parts(item: Any) -> bool:
    if isinstance(item, list | tuple):
        return any(map(_has_parts, item))
    return hasattr(item, "get_params") and not isinstance(item, type)
