"""Fitted loops as one skops file: parameters, events, rows, and the trained model."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skada_active.domains import Roles
from skada_active.io.estimators import dumps, errors_name, is_loadable, loads, write_bytes
from skada_active.io.fingerprint import check_fingerprint, fingerprint
from skada_active.io.parameters import describe_parameters, differences
from skada_active.labels import labels_from_list, labels_to_list
from skada_active.session import AdaptationSession
from skada_active.session.events import from_json, to_json
from skada_active.session.state import SessionState
from skada_active.session.store import MemoryStore
from skada_active.session.trainer import TrainedModel, Trainer
from skada_active.utils.rows import as_rows, is_dataset
from skada_active.utils.versions import package_versions
from skada_active.utils.warn import warn_user

if TYPE_CHECKING:
    from skada_active.loop.active_loop import ActiveAdaptationLoop

__all__ = ["load_loop", "save_loop"]

_FORMAT = 1
_PARTS = ("estimator", "strategy")  # what can be given again to `load`
_CSR = ("data", "indices", "indptr")
Loop = TypeVar("Loop", bound="ActiveAdaptationLoop")


class _SavedStore(MemoryStore):
    """Events of a saved loop, with its trained `model` and the fingerprint of its rows."""

    model: Any = None
    data: Any = None

    def restore_model(self, trainer: Trainer, state: SessionState) -> None:
        trainer.restore(TrainedModel(*self.model))


def save_loop(loop: ActiveAdaptationLoop, path: Path) -> None:
    """Write a fitted loop to a file, see `ActiveAdaptationLoop.save`."""
    session, params = loop.session_, loop.get_params(deep=False)
    estimator = session.estimator_
    missing = [found for name in _PARTS for found in _unsaveable(params[name], name)]
    columns = {name: getattr(loop, name) for name in ("n_features_in_", "feature_names_in_") if hasattr(loop, name)}
    model = [_packed(estimator, missing, "estimator__"), *session.trainer.model[1:]]
    content = {
        "format": _FORMAT,
        "versions": package_versions(),
        "described": {name: describe_parameters(params[name], name) for name in _PARTS},
        "missing": missing,
        "params": {name: dumps(_without(value, missing, f"{name}__")) for name, value in params.items()},
        "columns": columns,
        "model": dumps(model),
        **_session_content(session),
    }
    write_bytes(path, dumps(content))


def load_loop(
    kind: type[Loop], path: Path, *, X: Any, eval_set: Any, given: Mapping[str, Any], trusted: Sequence[str | type]
) -> Loop:
    """Return the loop of a file, see `ActiveAdaptationLoop.load`."""
    with errors_name(path):
        content = loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise ValueError(
                f"{path} has a loop of format {content['format']}, this version reads {_FORMAT}; load it with "
                f"skada-active {content['versions']['skada-active']}."
            )
        _check_given(content, given, path)
        params = {
            name: given[name] if given.get(name) is not None else loads(blob, trusted)
            for name, blob in content["params"].items()
        }
        estimator, *trained = loads(content["model"], trusted)
    loop = kind(**params)
    if content["missing"]:
        estimator = _unpacked(estimator, content["missing"], "estimator__", params["estimator"])
    loop._adopt(_load_session(loop, content, [estimator, *trained], path, X, eval_set))
    vars(loop).update(content["columns"])
    return loop


def _session_content(session: AdaptationSession) -> dict[str, Any]:
    settings, (y, roles, _) = session.settings, session.state.as_of(0)
    recorded = session.store.data if isinstance(session.store, _SavedStore) else None
    eval_X, eval_y = (None, None) if session.eval_set is None else session.eval_set
    return {
        "seed": settings.seed,
        "rounds": list(settings.rounds),
        "costs": settings.costs,
        "n_annotators": settings.n_annotators,
        "events": [to_json(event) for event in session.events],
        "y": _packed_labels(y),
        "domain": roles.domain,
        "is_labeled": roles.is_labeled,
        "y_true": _packed_labels(session.y_true),
        "eval_y": _packed_labels(eval_y),
        "X": _packed_rows(session.X, "X=X"),
        "eval_X": _packed_rows(eval_X, "eval_set=(X, y)"),
        "fingerprint": json.dumps(recorded if session.X is None else fingerprint(session.X, y, roles.domain)),
    }


def _load_session(
    loop: ActiveAdaptationLoop, content: dict[str, Any], model: list[Any], path: Path, X: Any, eval_set: Any
) -> AdaptationSession:
    y, roles = _unpacked_labels(content["y"]), Roles(content["domain"], content["is_labeled"])
    data = json.loads(content["fingerprint"])
    X = _unpacked_rows(content["X"]) if X is None else as_rows(X)
    if X is not None:
        check_fingerprint(data, X, y, roles.domain, what=f"the loop in {path}")
    settings = replace(
        loop._settings(roles, content["costs"], content["n_annotators"]),
        seed=content["seed"],
        rounds=content["rounds"],
    )
    store = _SavedStore(settings, [from_json(line) for line in content["events"]])
    store.model, store.data = model, data
    if eval_set is None and content["eval_X"] is not None:
        eval_set = _unpacked_rows(content["eval_X"]), _unpacked_labels(content["eval_y"])
    y_true, make_loop = _unpacked_labels(content["y_true"]), clone(loop)._fitted_clone
    return AdaptationSession(store, X, y, roles, y_true=y_true, eval_set=eval_set, make_loop=make_loop)


def _unsaveable(value: Any, name: str) -> list[str]:
    """Return the paths of parameters that cannot be made again from a file: modules, callbacks, code of one's own."""
    if not hasattr(value, "get_params"):
        return []
    params = {path: item for path, item in value.get_params().items() if not _holds_estimators(item)}
    return [f"{name}__{path}" for path, item in sorted(params.items()) if not is_loadable(item)]


def _holds_estimators(item: Any) -> bool:
    if isinstance(item, list | tuple):
        return any(map(_holds_estimators, item))
    return hasattr(item, "get_params") and not isinstance(item, type)


def _check_given(content: dict[str, Any], given: Mapping[str, Any], path: Path) -> None:
    for name in _PARTS:
        missing = [found for found in content["missing"] if found.startswith(f"{name}__")]
        recorded = content["described"][name]
        if given.get(name) is None and missing:
            parts = ", ".join(f"{found} ({recorded.get(found, 'unknown')})" for found in missing)
            raise ValueError(
                f"{path}: {parts} cannot be made from a file. Give it: ActiveAdaptationLoop.load(path, {name}=...)."
            )
        if given.get(name) is not None:
            changed = differences(recorded, describe_parameters(given[name], name))
            if changed:
                raise ValueError(f"{name} is not the one that the loop was saved with: {'; '.join(changed)}.")


def _own(missing: Sequence[str], prefix: str) -> list[str]:
    return [path.removeprefix(prefix) for path in missing if path.startswith(prefix)]


def _without(value: Any, missing: Sequence[str], prefix: str) -> Any:
    """Return a parameter of the loop without what is missing in it."""
    own = _own(missing, prefix)
    return copy.deepcopy(value).set_params(**dict.fromkeys(own)) if own else value


def _packed(fitted: Any, missing: Sequence[str], prefix: str) -> Any:
    """Return a fitted estimator without what is missing in it; a network as its state."""
    own = _own(missing, prefix)
    if not own:
        return fitted
    if isinstance(fitted, Pipeline):
        packed = copy.copy(fitted)
        packed.steps = [(name, _packed(step, missing, f"{prefix}{name}__")) for name, step in fitted.steps]
        return packed
    if isinstance(fitted, FrozenEstimator):
        return FrozenEstimator(_packed(fitted.estimator, missing, f"{prefix}estimator__"))
    if hasattr(fitted, "net_"):
        return {**fitted.__getstate__(), **{name.partition("__")[0]: None for name in own}}
    return copy.copy(fitted).set_params(**dict.fromkeys(own))


def _unpacked(packed: Any, missing: Sequence[str], prefix: str, given: Any) -> Any:
    """Return the fitted estimator of `_packed`, with what is missing taken from an unfitted one."""
    own = _own(missing, prefix)
    if not own:
        return packed
    if isinstance(packed, Pipeline):
        packed.steps = [
            (name, _unpacked(step, missing, f"{prefix}{name}__", given.named_steps[name]))
            for name, step in packed.steps
        ]
        return packed
    if isinstance(packed, FrozenEstimator):
        return FrozenEstimator(_unpacked(packed.estimator, missing, f"{prefix}estimator__", given.estimator))
    if isinstance(packed, dict):
        network = type(given).__new__(type(given))
        network.__setstate__(
            {**packed, **{name: getattr(given, name) for name in {path.partition("__")[0] for path in own}}}
        )
        return network
    return packed.set_params(**{path: given.get_params()[path] for path in own})


def _packed_labels(labels: NDArray[Any] | None) -> dict[str, Any] | None:
    return None if labels is None else {"dtype": labels.dtype.str, "values": json.dumps(labels_to_list(labels))}


def _unpacked_labels(packed: dict[str, Any] | None) -> Any:
    return (
        None if packed is None else labels_from_list(json.loads(packed["values"]), np.empty(0, dtype=packed["dtype"]))
    )


def _packed_rows(X: Any, argument: str) -> dict[str, Any] | None:
    """Return rows of numbers as arrays, None for rows of any other form."""
    if X is None:
        return None
    packed: dict[str, Any] | None = None
    if isinstance(X, np.ndarray):
        packed = {"arrays": [np.asarray(X)]}
    elif sparse.issparse(X):
        packed = {
            "arrays": [getattr(X, part) for part in _CSR],
            "shape": X.shape,
            "is_array": isinstance(X, sparse.sparray),
        }
    elif hasattr(X, "iloc") and not is_dataset(X) and all(isinstance(name, str) for name in X.columns):
        packed = {"arrays": [X.iloc[:, number].to_numpy() for number in range(X.shape[1])], "columns": list(X.columns)}
    if packed is None or any(array.dtype.kind not in "biuf" for array in packed["arrays"]):
        warn_user(f"Rows of type {type(X).__name__} are not saved; to go on, give them to load(path, {argument}).")
        return None
    return packed


def _unpacked_rows(packed: dict[str, Any] | None) -> Any:
    if packed is None:
        return None
    if "columns" in packed:
        from pandas import DataFrame  # rows that were a DataFrame came from a place that has it

        return DataFrame(dict(zip(packed["columns"], packed["arrays"], strict=True)))
    if "is_array" in packed:
        return (sparse.csr_array if packed["is_array"] else sparse.csr_matrix)(
            tuple(packed["arrays"]), shape=packed["shape"]
        )
    return packed["arrays"][0]
