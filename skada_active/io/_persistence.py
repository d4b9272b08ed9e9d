"""Fitted estimators as files without pickle: networks as safetensors and JSON, scikit-learn's through skops."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skada_active.io._plain import from_plain, to_plain

__all__ = ["UnsaveableError", "load_fitted", "save_fitted"]

# Whose classes may be made from a file; none but numpy's functions of numbers may be called from one.
_TRUSTED = ("sklearn", "numpy", "scipy")
# A dict with this as its only key stands for an array in the file of a network.
_FILED = "$filed"
Writers = dict[str, Callable[[Path], Any]]


class UnsaveableError(ValueError):
    """A fitted estimator cannot be written without pickle."""


def save_fitted(estimator: Any, name: str = "estimator") -> tuple[dict[str, Any], Writers]:
    """Return how a fitted estimator is restored, JSON-able, and the writers of its files.

    Parameters
    ----------
    estimator : estimator
        `AdaptationClassifier`, scikit-learn estimator, `Pipeline` or `FrozenEstimator` of them, fitted.
    name : str, default="estimator"
        Start of the names of the files.

    Returns
    -------
    tree : dict
        For `load_fitted`.
    writers : dict of str -> callable
        Each writes the file whose path it is given.

    Raises
    ------
    UnsaveableError
        If skops is needed and not installed, or the estimator is made of classes of other packages.
    """
    if estimator is None or isinstance(estimator, str):
        return {"kind": "none", "value": estimator}, {}
    if isinstance(estimator, FrozenEstimator):
        tree, writers = save_fitted(estimator.estimator, name)
        return {"kind": "frozen", "estimator": tree}, writers
    if isinstance(estimator, Pipeline):
        trees, writers = [], {}
        for number, (_, step) in enumerate(estimator.steps):
            tree, more = save_fitted(step, f"{name}_{number}")
            trees.append(tree)
            writers |= more
        return {"kind": "pipeline", "steps": trees}, writers
    if hasattr(estimator, "net_"):
        return _save_network(estimator, name)
    return _save_with_skops(estimator, name)


def load_fitted(tree: dict[str, Any], files: dict[str, Path], unfitted: Any) -> Any:
    """Return the fitted estimator that `save_fitted` wrote.

    Parameters
    ----------
    tree : dict
        What `save_fitted` returned.
    files : dict of str -> Path
        The files.
    unfitted : estimator
        An estimator with the same parameters; never changed.

    Raises
    ------
    ValueError
        If the files do not fit the parameters.
    """
    if tree["kind"] == "none":
        return tree["value"]
    if tree["kind"] == "frozen":
        return FrozenEstimator(load_fitted(tree["estimator"], files, unfitted.estimator))
    if tree["kind"] == "pipeline":
        steps = zip(unfitted.steps, tree["steps"], strict=True)
        fitted = clone(unfitted)
        fitted.steps = [(name, load_fitted(of_step, files, step)) for (name, step), of_step in steps]
        return fitted
    if tree["kind"] == "network":
        return _load_network(tree, files[tree["file"]], unfitted)
    return _load_with_skops(files[tree["file"]])


def _save_network(model: Any, name: str) -> tuple[dict[str, Any], Writers]:
    params, state = model.get_params(deep=False), model.__getstate__()
    arrays: dict[str, Any] = {}
    try:
        for callback, values in state["net_"]["callbacks"].items():
            if not isinstance(values, dict):
                raise TypeError(f"callback {callback!r} of class {type(values).__qualname__}")
        learned = {key: value for key, value in state.items() if key not in params}
        tree = to_plain(_without_arrays(learned, "state", arrays))
    except TypeError as error:
        raise UnsaveableError(
            f"{type(model).__name__} is trained with {error}, whose state has no form without pickle; leave it out of "
            "net_params."
        ) from None
    file = f"{name}.safetensors"
    return {"kind": "network", "state": tree, "file": file}, {file: partial(_write_arrays, arrays)}


def _load_network(tree: dict[str, Any], file: Path, unfitted: Any) -> Any:
    from safetensors.numpy import load_file

    learned, arrays = from_plain(tree["state"]), load_file(file)
    model = type(unfitted).__new__(type(unfitted))
    model.__setstate__({**clone(unfitted).get_params(deep=False), **_with_arrays(learned, arrays)})
    return model


def _without_arrays(tree: Any, path: str, arrays: dict[str, Any]) -> Any:
    if isinstance(tree, np.ndarray) and tree.dtype.kind in "biuf":
        arrays[path] = np.ascontiguousarray(tree).reshape(tree.shape)
        return {_FILED: path}
    if isinstance(tree, dict):
        return {key: _without_arrays(value, f"{path}.{key}", arrays) for key, value in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(_without_arrays(item, f"{path}.{number}", arrays) for number, item in enumerate(tree))
    return tree


def _with_arrays(tree: Any, arrays: dict[str, Any]) -> Any:
    if isinstance(tree, dict):
        if tree.keys() == {_FILED}:
            return arrays[tree[_FILED]]
        return {key: _with_arrays(value, arrays) for key, value in tree.items()}
    return type(tree)(_with_arrays(item, arrays) for item in tree) if type(tree) in (list, tuple) else tree


def _write_arrays(arrays: dict[str, Any], path: Path) -> None:
    from safetensors.numpy import save

    # Its `save_file` writes to a file of a random name first, which a kill leaves behind and only its owner may read.
    path.write_bytes(save(arrays))


def _save_with_skops(estimator: Any, name: str) -> tuple[dict[str, Any], Writers]:
    if find_spec("skops") is None:
        raise UnsaveableError(
            f"{type(estimator).__name__} is saved through skops, which is not installed: pip install skops. (An "
            "AdaptationClassifier needs nothing more.)"
        )
    from skops.io import dumps, get_untrusted_types

    content = dumps(estimator)
    foreign = _foreign(get_untrusted_types(data=content))
    if foreign:
        raise UnsaveableError(
            f"{type(estimator).__name__} holds {foreign[0]}, which is of no package whose classes are made from files; "
            "only estimators of scikit-learn and AdaptationClassifier are saved without pickle."
        )
    file = f"{name}.skops"
    return {"kind": "skops", "file": file}, {file: lambda path: path.write_bytes(content)}


def _load_with_skops(path: Path) -> Any:
    if find_spec("skops") is None:
        raise ValueError(f"{path} is read through skops, which is not installed: pip install skops.")
    from skops.io import get_untrusted_types, load

    types = get_untrusted_types(file=path)
    foreign = _foreign(types)
    if foreign:
        raise ValueError(f"{path} holds {foreign[0]}, which is of no package whose classes are made from files.")
    return load(path, trusted=types)


def _foreign(types: list[str]) -> list[str]:
    return [name for name in types if not _is_trusted(name)]


def _is_trusted(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    parts = module.split(".")
    if parts[0] not in _TRUSTED or {"tests", "testing", "conftest"} & set(parts):
        return False
    try:
        return isinstance(getattr(import_module(module), attribute), type | np.ufunc)
    except (ImportError, AttributeError):
        return False
