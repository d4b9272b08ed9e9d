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
        from safetensors.torch import load_file

        from skada_active.deep._state import restore_network

        return restore_network(clone(unfitted), from_plain(tree["state"]), load_file(files[tree["file"]]))
    return _load_with_skops(files[tree["file"]])


def _save_network(model: Any, name: str) -> tuple[dict[str, Any], Writers]:
    from skada_active.deep._state import hidden_state, network_state

    hidden = hidden_state(model)
    if hidden is not None:
        raise UnsaveableError(
            f"{type(model).__name__} is trained with {hidden}, whose state has no form without pickle; leave it out of "
            "net_params."
        )
    state, tensors = network_state(model)
    file = f"{name}.safetensors"
    return {"kind": "network", "state": to_plain(state), "file": file}, {file: partial(_write_tensors, tensors)}


def _write_tensors(tensors: dict[str, Any], path: Path) -> None:
    from safetensors.torch import save

    # Its `save_file` writes to a file of a random name first, which a kill leaves behind and only its owner may read.
    path.write_bytes(save(tensors))


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
