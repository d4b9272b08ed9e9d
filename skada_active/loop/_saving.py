"""Fitted loops in a folder, without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skada_active.domains import Roles
from skada_active.io._data_files import data_files, load_data
from skada_active.io._description import RebuildError, describe, differences, rebuild
from skada_active.io._persistence import load_fitted, save_fitted
from skada_active.io._plain import from_plain, to_plain
from skada_active.io._storage import read_bundle, write_bundle
from skada_active.io.fingerprint import check_fingerprint, fingerprint
from skada_active.loop._validation import check_eval_set
from skada_active.session._checkpoint import model_files, restore_model
from skada_active.session.session import AdaptationSession
from skada_active.session.state import Ledger
from skada_active.session.store import Record
from skada_active.session.trainer import SessionModel
from skada_active.utils.rows import as_rows
from skada_active.utils.versions import package_versions
from skada_active.utils.warn import warn_user

if TYPE_CHECKING:
    from skada_active.loop.active_loop import ActiveAdaptationLoop

__all__ = ["SavedLoop"]

_FORMAT, _NAME = 1, "loop"
_COLUMNS = ("n_features_in_", "feature_names_in_")


class SavedLoop:
    """Save a fitted loop to a folder, and load it: the lasting side of a loop."""

    def save(self, folder: Any) -> None:
        """Write the fitted loop to a folder, in JSON, safetensors and npz; nothing is pickled.

        Networks need nothing more; scikit-learn estimators are written through skops, where it is installed. Rows of
        numbers (arrays, CSR, DataFrames) are written too, so that the loaded loop can go on; any others have to be
        given again to `load`.

        Parameters
        ----------
        folder : str or path
            Folder, made if it is not there. A loop that was saved there before is replaced, all at once.

        Raises
        ------
        ValueError
            If the loop holds what cannot be written without pickle; the message says what.
        """
        check_is_fitted(self)
        with self.session_._turn:
            self._save(Path(folder), self.session_)

    def _save(self, folder: Path, session: AdaptationSession) -> None:
        session._follow()
        model, writers = model_files(session._model)
        frozen, frozen_writers = _frozen_files(self)
        data, data_writers = _rows_files(session)
        content = {
            "format": _FORMAT,
            "versions": package_versions(),
            "loop": _described(self),
            "frozen": frozen,
            "columns": {name: to_plain(getattr(self, name)) for name in _COLUMNS if hasattr(self, name)},
            "model": model,
            "data": data,
            **_session_content(session),
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_bundle(folder, _NAME, content, writers | frozen_writers | data_writers)

    @classmethod
    def load(
        cls, folder: Any, *, X: Any = None, eval_set: Any = None, estimator: Any = None, strategy: Any = None
    ) -> ActiveAdaptationLoop:
        """Return a fitted loop that `save` wrote; it predicts, and goes on by `resume`.

        Parameters
        ----------
        folder : str or path
            The folder.
        X : array-like of shape (n, ...) or dataset, default=None
            The rows that the loop was fitted on, for one that was saved without them; needed to go on, not to predict.
        eval_set : tuple (X, y), default=None
            Likewise.
        estimator, strategy : default=None
            The unfitted estimator or strategy of the loop, for one that holds code of yours (a module, a class), which
            no file can bring along.

        Returns
        -------
        ActiveAdaptationLoop
            The fitted loop.

        Raises
        ------
        FileNotFoundError
            If no loop was saved there.
        ValueError
            If a file is damaged, or what was given is not what the loop was saved with.
        """
        folder = Path(folder)
        try:
            content, files = read_bundle(folder, _NAME)
        except FileNotFoundError:
            raise FileNotFoundError(f"No loop was saved in {folder}: it has no {_NAME}.json.") from None
        if content["format"] != _FORMAT:
            raise ValueError(
                f"{folder} has a loop of format {content['format']}, this version reads {_FORMAT}; load it with "
                f"skada-active {content['versions']['skada-active']}."
            )
        loop = cls(**_params(content["loop"], {"estimator": estimator, "strategy": strategy}))
        for path, tree in content["frozen"].items():
            unfitted = loop.get_params()[path]
            loop.set_params(**{path: FrozenEstimator(load_fitted(tree, files, unfitted.estimator))})
        if eval_set is None and content["data"]["eval_X"] is not None:
            eval_set = load_data(content["data"]["eval_X"], files), from_plain(content["eval_y"])
        session = _load_session(loop, folder, content, files, X, check_eval_set(eval_set))
        loop._adopt(session)
        for name, value in content["columns"].items():
            setattr(loop, name, from_plain(value))
        return loop


class _SavedRecord(Record):
    """Restore the trained model (`saved`) from the files of a saved loop; `data` is the fingerprint of its rows."""

    saved: Any = None
    data: Any = None

    def restore(self, model: SessionModel, ledger: Ledger) -> None:
        restore_model(model, *self.saved)


def _session_content(session: AdaptationSession) -> dict[str, Any]:
    record, ledger = session.record, session._ledger
    y, roles, _ = ledger.as_of(0)
    return {
        "y": to_plain(y),
        "domain": roles.domain.tolist(),
        "is_labeled": roles.is_labeled.tolist(),
        "answers": to_plain(session.answers),
        "eval_y": None if session.eval_set is None else to_plain(session.eval_set[1]),
        "fingerprint": record.data if session.X is None else fingerprint(session.X, y, roles.domain),
        "seed": record.seed,
        "rounds": list(record.rounds),
        "costs": to_plain(record.costs),
        "n_annotators": record.n_annotators,
        "events": to_plain(record.events),
    }


def _load_session(
    loop: Any, folder: Path, content: dict[str, Any], files: dict[str, Path], X: Any, eval_set: Any
) -> AdaptationSession:
    y = from_plain(content["y"])
    roles = Roles(np.array(content["domain"], dtype=np.int64), np.array(content["is_labeled"], dtype=bool))
    if X is not None:
        X = as_rows(X)
        check_fingerprint(content["fingerprint"], X, y, roles.domain, what=f"the loop in {folder}")
    elif content["data"]["X"] is not None:
        X = load_data(content["data"]["X"], files)
    record = _SavedRecord(
        content["seed"],
        content["rounds"],
        from_plain(content["costs"]),
        content["n_annotators"],
        events=from_plain(content["events"]),
    )
    record.saved, record.data = (content["model"], files), content["fingerprint"]
    return AdaptationSession(loop, X, y, roles, record, answers=from_plain(content["answers"]), eval_set=eval_set)


def _described(loop: Any) -> dict[str, Any]:
    described = {name: describe(value) for name, value in loop.get_params(deep=False).items()}
    for name in sorted(described.keys() - {"estimator", "strategy"}):  # those two can be given to `load`
        try:
            rebuild(described[name], path=name)
        except RebuildError as error:
            raise ValueError(
                f"{error.path}: {error.name} cannot be written without pickle; give the loop a plain value before "
                f"saving, by loop.set_params({name}=...)."
            ) from error
    return described


def _rows_files(session: AdaptationSession) -> tuple[dict[str, Any], dict[str, Any]]:
    trees, writers = {}, {}
    eval_X = None if session.eval_set is None else session.eval_set[0]
    for name, rows, given in (("X", session.X, "X=X"), ("eval_X", eval_X, "eval_set=(X, y)")):
        trees[name], more = (None, {}) if rows is None else data_files(rows, name)
        writers |= more
        if rows is not None and trees[name] is None:
            warn_user(
                f"Rows of type {type(rows).__name__} are not saved; to go on, give them to load(folder, {given}).",
            )
    return trees, writers


def _frozen_files(loop: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    trees, writers = {}, {}
    for path, value in sorted(loop.get_params().items()):
        if isinstance(value, FrozenEstimator):
            trees[path], more = save_fitted(value.estimator, f"frozen_{len(trees)}")
            writers |= more
    return trees, writers


def _params(described: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    params = {}
    for name, tree in described.items():
        if given.get(name) is not None:
            changed = differences(tree, describe(given[name]), path=name)
            if changed:
                raise ValueError(f"{name} is not the one that the loop was saved with: {'; '.join(changed)}.")
            params[name] = given[name]
            continue
        try:
            params[name] = rebuild(tree, path=name)
        except RebuildError as error:
            raise ValueError(f"{error} Give it: ActiveAdaptationLoop.load(folder, {name}=...).") from error
    return params
