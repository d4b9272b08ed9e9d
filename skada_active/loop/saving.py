"""Fitted loops as one skops file: parameters, events, rows, and the trained model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone

from skada_active.domains import Roles
from skada_active.exceptions import DamagedFileError
from skada_active.io.estimators import dumps, errors_of, is_loadable, loads, read_bytes, write_bytes
from skada_active.io.fingerprint import check_fingerprint, fingerprint
from skada_active.io.packing import missing_parameters, packed
from skada_active.io.parameters import describe_parameters, differences
from skada_active.labels import labels_from_list, labels_to_list
from skada_active.loop._validation import check_eval_set
from skada_active.session import AdaptationSession
from skada_active.session.events import from_json, to_json
from skada_active.session.store import MemoryStore
from skada_active.session.trainer import TrainedModel
from skada_active.utils.rows import as_rows, is_dataset
from skada_active.utils.versions import package_versions
from skada_active.utils.warn import warn_user

__all__ = ["load_loop", "save_loop"]

_FORMAT = 1
_PARTS = ("estimator", "strategy")  # what can be given again to `load`
_COLUMNS = ("n_features_in_", "feature_names_in_", "_sklearn_output_config")


def save_loop(loop: Any, path: Path) -> None:
    """Write a fitted loop to a file, see `ActiveAdaptationLoop.save`."""
    session, params = loop.session_, loop.get_params(deep=False)
    parts = {name: getattr(loop, name) for name in _PARTS}  # parameters, or what a recipe builds from its own
    _ = session.estimator_  # trained first where that was interrupted
    settings, (y, roles, _) = session.settings, session.state.as_of(0)
    missing = {name: missing_parameters(part) for name, part in parts.items()}
    is_recipe = not params.keys() >= parts.keys()
    absent = sorted({path.partition("__")[0] for path in missing_parameters(loop)}) if is_recipe else []
    eval_X, eval_y = session.eval_set or (None, None)
    params["scoring"] = _packed_scoring(params["scoring"])
    content = {
        "format": _FORMAT,
        "versions": package_versions(),
        "described": json.dumps({name: describe_parameters(part, name) for name, part in parts.items()}),
        "missing": missing,
        "params": {
            name: dumps(None if name in absent else packed(value, missing.get(name, [])))
            for name, value in params.items()
        },
        "absent": absent,
        "recipe": dumps(type(loop)()) if is_recipe else None,
        "columns": {name: getattr(loop, name) for name in _COLUMNS if hasattr(loop, name)},
        "model": dumps(session.trainer.model.packed(missing["estimator"])),
        "purchases": json.dumps(session.trainer.model.purchases),
        "rounds": list(settings.rounds),
        **{name: getattr(settings, name) for name in ("seed", "costs", "n_annotators")},
        "events": [to_json(event) for event in session.events],
        "y": _packed_labels(y),
        "domain": roles.domain,
        "is_labeled": roles.is_labeled,
        "y_true": _packed_labels(session.y_true),
        "eval_y": _packed_labels(eval_y),
        "X": _packed_rows(session.X, "X=X"),
        "eval_X": _packed_rows(eval_X, "eval_set=(X, y)"),
        "fingerprint": json.dumps(session.store.data if session.X is None else fingerprint(session.X, y, roles.domain)),
    }
    write_bytes(path, dumps(content))


def load_loop(
    kind: Any, path: Path, *, X: Any, eval_set: Any, scoring: Any, given: Mapping[str, Any], trusted: Any
) -> Any:
    """Return the loop of a file, see `ActiveAdaptationLoop.load`."""
    X, eval_set = None if X is None else as_rows(X), None if eval_set is None else check_eval_set(eval_set)
    data, file_errors = read_bytes(path), partial(errors_of, "it holds no loop that can be used", f"{path}: ")
    with file_errors():
        content = loads(data)
        version, missing = content["versions"]["skada-active"], content["missing"]
        if content["format"] != _FORMAT:
            raise DamagedFileError(f"it has another format; load it with skada-active {version}, which wrote it.")
        then = json.loads(content["described"])
        parts = [(name, given[name], dict(then[name]), list(missing[name])) for name in _PARTS]
        y, roles = _unpacked_labels(content["y"]), Roles(content["domain"], content["is_labeled"])
        recorded, saved_X = json.loads(content["fingerprint"]), _unpacked_rows(content["X"])
        check_data = partial(check_fingerprint, recorded, y=y, domain=roles.domain, what=f"the loop in {path}")
        if X is None and saved_X is not None:
            check_data(saved_X)
    kind = _kind_of(kind, content.get("recipe"), path, trusted)
    # Not in the block: what is wrong with the parameters or rows that were given is no damage of the file.
    for part in parts:
        _check_given(path, *part)
    if X is not None:
        check_data(X)
    with file_errors():
        blobs = content["params"].items()
        params = {name: loads(blob, trusted) if given.get(name) is None else given[name] for name, blob in blobs}
        params["scoring"] = params.get("scoring") if scoring is None else scoring
        params |= {name: _given_again(name, given) for name in content.get("absent", ())}
        loop, model, purchases = kind(**params), loads(content["model"], trusted), json.loads(content["purchases"])
        rows = saved_X if X is None else X
        settings = loop._settings(rows, roles, content["costs"], content["n_annotators"])
        settings = replace(settings, seed=content["seed"], rounds=content["rounds"])
        model = TrainedModel.unpacked(model, missing["estimator"], loop.estimator, purchases)
        store = MemoryStore(settings, [from_json(line) for line in content["events"]], model, recorded)
        if eval_set is None and content["eval_X"] is not None:
            eval_set = _unpacked_rows(content["eval_X"]), _unpacked_labels(content["eval_y"])
        known = {"y_true": _unpacked_labels(content["y_true"]), "eval_set": eval_set, "scoring": params["scoring"]}
        make_loop = clone(loop)._fitted_clone
        loop._adopt(AdaptationSession(store, rows, y, roles, **known, make_loop=make_loop))
        vars(loop).update({name: value for name, value in content["columns"].items() if name in _COLUMNS})
    return loop


def _kind_of(kind: Any, recipe: bytes | None, path: Path, trusted: Any) -> Any:
    """Return the class of the loop in a file: that of a recipe, or `kind`."""
    saved = None if recipe is None else type(loads(recipe, trusted, f"{path}: "))
    if saved is not None and not issubclass(saved, kind):
        raise ValueError(f"{path} holds a {saved.__name__}, not a {kind.__name__}; use {saved.__name__}.load(path).")
    if saved is None and not {*_PARTS} <= kind().get_params(deep=False).keys():
        raise ValueError(f"{path} holds no {kind.__name__}; use ActiveAdaptationLoop.load(path).")
    return saved or kind


def _given_again(name: str, given: Mapping[str, Any]) -> Any:
    """Return the parameter of a recipe that no file holds from the part, given again, that was built with it."""
    held = {} if given["estimator"] is None else given["estimator"].get_params(deep=False)
    return held.get(name, given["strategy"])


def _check_given(path: Path, name: str, given: Any, described: Mapping[str, str], missing: Sequence[str]) -> None:
    if given is not None:
        if changed := differences(described, describe_parameters(given, name)):
            raise ValueError(f"{name} is not the one that the loop was saved with: {'; '.join(changed)}.")
    elif missing:
        parts = ", ".join(f"{name}__{part} ({described.get(f'{name}__{part}', 'unknown')})" for part in missing)
        raise ValueError(f"{path}: {parts} cannot be made from a file. Give it: load(path, {name}=...).")


def _packed_scoring(scoring: Any) -> Any:
    if is_loadable(scoring):
        return scoring
    warn_user("scoring holds functions, which are not saved; to go on with them, give them to load(path, scoring=...).")
    return None


def _packed_labels(labels: NDArray[Any] | None) -> Any:
    return json.dumps(labels_to_list(labels)) if labels is not None and labels.dtype.kind == "O" else labels


def _unpacked_labels(packed: Any) -> Any:
    return labels_from_list(json.loads(packed), np.empty(0, dtype=object)) if isinstance(packed, str) else packed


def _packed_rows(X: Any, argument: str) -> Any:
    """Return rows of numbers as they are, a DataFrame as its columns, None for rows of any other form."""
    is_frame = (
        hasattr(X, "iloc") and not is_dataset(X) and X.columns.is_unique and all(isinstance(name, str) for name in X)
    )
    is_array = isinstance(X, np.ndarray)
    dtypes = list(X.dtypes) if is_frame else [X.dtype] if is_array or sparse.issparse(X) else [None]
    if X is None or all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in dtypes):
        if is_frame:
            return {name: X[name].to_numpy() for name in X}
        return np.asarray(X) if is_array else X  # a memory map as an array
    warn_user(f"Rows of type {type(X).__name__} are not saved; to go on, give them to load(path, {argument}).")
    return None


def _unpacked_rows(packed: Any) -> Any:
    if not isinstance(packed, dict):
        return packed
    from pandas import DataFrame  # rows that were a DataFrame came from a place that has it

    return DataFrame(packed)
