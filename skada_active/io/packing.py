"""Estimators without what no file can bring along, such as modules and callbacks, and with it again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skada_active.io.estimators import is_loadable

__all__ = ["missing_parameters", "packed", "unpacked"]


def missing_parameters(value: Any) -> list[str]:
    """Return the paths of parameters that cannot be made again from a file: modules, callbacks, code of one's own."""
    params = value.get_params() if hasattr(value, "get_params") else {}
    # With its name, for the value of some parameters alone is harmless.
    return [
        path
        for path, item in sorted(params.items())
        if not (_holds_estimators(item) or is_loadable({path.rpartition("__")[2]: item}))
    ]


def _holds_estimators(item: Any) -> bool:
    if isinstance(item, list | tuple):
        return any(map(_holds_estimators, item))
    return hasattr(item, "get_params") and not isinstance(item, type)


def packed(value: Any, missing: Sequence[str]) -> Any:
    """Return an estimator, fitted or not, without what is missing in it; a fitted network as its state."""
    if not missing:
        return value
    if hasattr(value, "net_"):
        state = {**value.__getstate__(), **dict.fromkeys(path.partition("__")[0] for path in missing)}
        callbacks = {
            name: held if isinstance(held, dict) else {key: v for key, v in vars(held).items() if is_loadable(v)}
            for name, held in state["net_"]["callbacks"].items()
        }
        return {**state, "net_": {**state["net_"], "callbacks": callbacks}}
    if isinstance(value, FrozenEstimator):
        return FrozenEstimator(packed(value.estimator, _below("estimator", missing)))
    if isinstance(value, Pipeline):
        twin = copy.copy(value)
        twin.steps = [(name, packed(step, _below(name, missing))) for name, step in value.steps]
        return twin.set_params(**dict.fromkeys(path for path in missing if "__" not in path))
    return copy.deepcopy(value).set_params(**dict.fromkeys(missing))


def unpacked(packed: Any, missing: Sequence[str], given: Any) -> Any:
    """Return the fitted estimator of `_packed`, with what is missing taken from an unfitted one."""
    if not missing:
        return packed
    if isinstance(packed, dict):
        kind: Any = type(given)
        network = kind.__new__(kind)
        network.__setstate__(
            {**packed, **{name: getattr(given, name) for name in {path.partition("__")[0] for path in missing}}}
        )
        return network
    if isinstance(packed, FrozenEstimator):
        return FrozenEstimator(unpacked(packed.estimator, _below("estimator", missing), given.estimator))
    if isinstance(packed, Pipeline):
        packed.steps = [
            (name, unpacked(step, _below(name, missing), given.named_steps[name])) for name, step in packed.steps
        ]
        missing = [path for path in missing if "__" not in path]
    return packed.set_params(**{path: given.get_params()[path] for path in missing})


def _below(name: str, paths: Sequence[str]) -> list[str]:
    return [path.removeprefix(f"{name}__") for path in paths if path.startswith(f"{name}__")]
