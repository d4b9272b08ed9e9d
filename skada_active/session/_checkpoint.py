"""The trained model in a session's folder: a cache that saves training again, never the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skada_active.io._persistence import UnsaveableError, load_fitted, save_fitted
from skada_active.io._plain import from_plain, to_plain
from skada_active.io._storage import read_bundle, remove_bundle, write_bundle
from skada_active.session.state import Ledger
from skada_active.session.trainer import SessionModel
from skada_active.utils.versions import package_versions
from skada_active.utils.warn import warn_user

__all__ = ["model_files", "remove_checkpoint", "restore_checkpoint", "restore_model", "save_checkpoint"]

_NAME = "checkpoint"


def model_files(model: SessionModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the trained model and its history, JSON-able, and the writers of its files."""
    tree, writers = save_fitted(model.estimator_)
    content = {
        "estimator": tree,
        "initial": to_plain(model.initial_),
        "history": to_plain(model.history_),
        "keys": list(model.keys),
    }
    return content, writers


def restore_model(model: SessionModel, content: dict[str, Any], files: dict[str, Path]) -> None:
    """Give a model what `model_files` returned."""
    estimator = load_fitted(content["estimator"], files, model.template)
    model.restore(estimator, from_plain(content["initial"]), from_plain(content["history"]), list(content["keys"]))


def remove_checkpoint(folder: Path) -> None:
    """Remove the model from the session's folder."""
    remove_bundle(folder, _NAME)


def save_checkpoint(folder: Path, session: str, model: SessionModel) -> None:
    """Write the model into the session's folder; where that cannot be done, resuming trains again."""
    try:
        content, writers = model_files(model)
        of = {"session": session, "versions": package_versions(), "eval_set": model.eval_digest}
        write_bundle(folder, _NAME, of | content, writers)
    except UnsaveableError:
        return  # such a model is trained again, as the documentation says
    except Exception as error:
        # A full disk comes out of safetensors as an error of its own. The answers are taken: nothing may stop here.
        warn_user(
            f"The model could not be written to {folder} ({error}). The answers are safe; resuming trains it again.",
        )


def restore_checkpoint(folder: Path, session: str, model: SessionModel, ledger: Ledger) -> None:
    """Restore the model from the session's folder; one that does not fit is left, with a warning."""
    try:
        content, files = read_bundle(folder, _NAME)
        if content["session"] != session:
            raise ValueError("it is of another session")
        if content["versions"] != package_versions():
            raise ValueError(f"it was written with {content['versions']}, now there is {package_versions()}")
        if content["eval_set"] != model.eval_digest:
            raise ValueError("its history is of another eval_set")
        if content["keys"] != ledger.round_keys()[: len(content["keys"])]:
            raise ValueError("it was trained on other answers than the journal has now")
        restore_model(model, content, files)
    except FileNotFoundError:
        return
    except Exception as error:
        # Whatever is wrong with a cache, the journal has all that it takes to train the model again.
        warn_user(
            f"The model in {folder} is not used: {str(error).rstrip('.')}. It is trained again from the journal.",
        )
