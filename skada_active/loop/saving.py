"""Fitted loops as one skops file: parameters, events, rows, and the trained model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone

from skada_active.domains import Roles
from skada_active.exceptions import DamagedFileError, UntrustedFileError
from skada_active.io.estimators import dumps, errors_name, loads, read_bytes, write_bytes
from skada_active.io.fingerprint import check_fingerprint, fingerprint
from skada_active.io.packing import missing_parameters, packed, unpacked
from skada_active.io.parameters import describe_parameters, differences
from skada_active.labels import labels_from_list, labels_to_list
from skada_active.loop._validation import check_eval_set
from skada_active.session import AdaptationSession
from skada_active.session.events import from_json, to_json
from skada_active.session.state import SessionState
from skada_active.session.store import MemoryStore
from skada_active.session.trainer import TrainedModel, Trainer
from skada_active.utils.rows import as_rows, is_dataset
from skada_active.utils.versions import package_versions
from skada_active.utils.warn import warn_user

__all__ = ["load_loop", "save_loop"]

_FORMAT = 1
_PARTS = ("estimator", "strategy")  # what can be given again to `load`
_COLUMNS = ("n_features_in_", "feature_names_in_")


class _SavedStore(MemoryStore):
    """Events of a saved loop, with its trained `model` and the fingerprint of its rows."""

    model: Any = None
    data: Any = None

    def restore_model(self, trainer: Trainer, state: SessionState) -> None:
        trainer.restore(TrainedModel(*self.model))
        if trainer.model.purchases != state.purchases():
            raise DamagedFileError("its model is not trained on its answers.")


def save_loop(loop: Any, path: Path) -> None:
    """Write a fitted loop to a file, see `ActiveAdaptationLoop.save`."""
    session, params = loop.session_, loop.get_params(deep=False)
    estimator, settings, (y, roles, _) = session.estimator_, session.settings, session.state.as_of(0)
    missing = {name: missing_parameters(params[name]) for name in _PARTS}
    recorded = session.store.data if isinstance(session.store, _SavedStore) else None
    eval_X, eval_y = (None, None) if session.eval_set is None else session.eval_set
    model = [packed(estimator, missing["estimator"]), *session.trainer.model[1:3]]
    content = {
        "format": _FORMAT,
        "versions": package_versions(),
        "described": json.dumps({name: describe_parameters(params[name], name) for name in _PARTS}),
        "missing": missing,
        "params": {name: dumps(packed(value, missing.get(name, []))) for name, value in params.items()},
        "columns": {name: getattr(loop, name) for name in _COLUMNS if hasattr(loop, name)},
        "model": dumps(model),
        "purchases": json.dumps(session.trainer.model.purchases),
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
    write_bytes(path, dumps(content))


def load_loop(
    kind: Any,
    path: Path,
    *,
    X: Any,
    eval_set: Any,
    given: Mapping[str, Any],
    trusted: str | type | Iterable[str | type],
) -> Any:
    """Return the loop of a file, see `ActiveAdaptationLoop.load`."""
    X, eval_set, is_given = (
        None if X is None else as_rows(X),
        None if eval_set is None else check_eval_set(eval_set),
        X is not None,
    )
    given = {name: value for name, value in given.items() if value is not None}
    with _errors_of(path):
        content = loads(read_bytes(path))
        version, is_known = content["versions"]["skada-active"], content["format"] == _FORMAT
        described = json.loads(content["described"])
        recorded = [(name, dict(described[name]), list(content["missing"][name])) for name in _PARTS]
    if not is_known:
        raise ValueError(f"{path} has a loop of another format; load it with skada-active {version}, which wrote it.")
    for part in recorded:
        _check_given(*part, given, path)
    with _errors_of(path):
        params = {
            name: given[name] if name in given else loads(blob, trusted) for name, blob in content["params"].items()
        }
        estimator, *trained = loads(content["model"], trusted)
        loop = kind(**params)
        estimator = unpacked(estimator, content["missing"]["estimator"], params["estimator"])
        model = [estimator, *trained, json.loads(content["purchases"])]
        y, roles = _unpacked_labels(content["y"]), Roles(content["domain"], content["is_labeled"])
        X, data = X if is_given else _unpacked_rows(content["X"]), json.loads(content["fingerprint"])
    with _errors_of(path, *([ValueError] if is_given else [])):
        if X is not None:
            check_fingerprint(data, X, y, roles.domain, what=f"the loop in {path}")
    with _errors_of(path):
        settings = loop._settings(roles, content["costs"], content["n_annotators"])
        settings = replace(settings, seed=content["seed"], rounds=content["rounds"])
        store = _SavedStore(settings, [from_json(line) for line in content["events"]])
        store.model, store.data = model, data
        if eval_set is None and content["eval_X"] is not None:
            eval_set = _unpacked_rows(content["eval_X"]), _unpacked_labels(content["eval_y"])
        y_true = _unpacked_labels(content["y_true"])
        make_loop = clone(loop)._fitted_clone
        loop._adopt(AdaptationSession(store, X, y, roles, y_true=y_true, eval_set=eval_set, make_loop=make_loop))
        for name in set(_COLUMNS) & set(content["columns"]):
            setattr(loop, name, content["columns"][name])
    return loop


@contextmanager
def _errors_of(path: Path, *others: type[Exception]) -> Iterator[None]:
    """Let any error in what is made of a file, but for some others, say that the file is damaged."""
    with errors_name(path):
        try:
            yield
        except (DamagedFileError, UntrustedFileError, OSError):
            raise
        except others:
            raise
        except Exception as error:
            raise DamagedFileError(f"it holds no loop that can be used ({type(error).__name__}: {error}).") from error


def _check_given(
    name: str, described: Mapping[str, str], missing: Sequence[str], given: Mapping[str, Any], path: Path
) -> None:
    if name in given:
        changed = differences(described, describe_parameters(given[name], name))
        if changed:
            raise ValueError(f"{name} is not the one that the loop was saved with: {'; '.join(changed)}.")
    elif missing:
        parts = ", ".join(f"{name}__{part} ({described.get(f'{name}__{part}', 'unknown')})" for part in missing)
        raise ValueError(
            f"{path}: {parts} cannot be made from a file. Give it: ActiveAdaptationLoop.load(path, {name}=...)."
        )


def _packed_labels(labels: NDArray[Any] | None) -> Any:
    return json.dumps(labels_to_list(labels)) if labels is not None and labels.dtype.kind == "O" else labels


def _unpacked_labels(packed: Any) -> Any:
    return labels_from_list(json.loads(packed), np.empty(0, dtype=object)) if isinstance(packed, str) else packed


def _packed_rows(X: Any, argument: str) -> Any:
    """Return rows of numbers as they are, a DataFrame as its columns, None for rows of any other form."""
    packed, dtypes = X, []
    if isinstance(X, np.ndarray) or sparse.issparse(X):
        packed, dtypes = np.asarray(X) if isinstance(X, np.ndarray) else X, [X.dtype]
    elif hasattr(X, "iloc") and not is_dataset(X) and X.columns.is_unique and all(isinstance(n, str) for n in X):
        packed, dtypes = {name: X[name].to_numpy() for name in X}, list(X.dtypes)
    if X is None or (dtypes and all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in dtypes)):
        return packed
    warn_user(f"Rows of type {type(X).__name__} are not saved; to go on, give them to load(path, {argument}).")
    return None


def _unpacked_rows(packed: Any) -> Any:
    if not isinstance(packed, dict):
        return packed
    from pandas import DataFrame  # rows that were a DataFrame came from a place that has it

    return DataFrame(packed)
